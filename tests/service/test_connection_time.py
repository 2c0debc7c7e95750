"""The time of a connection, second by second, without a socket."""

import asyncio
import gc
import weakref

import pytest

from augfeed_service.protocol import LATE, LINGER
from tests.service.raw import head
from tests.service.wires import BAD, BODY, GET, WAIT, Wire, played, settled

HEAD_SECONDS, SEND_SECONDS = 10.0, 120.0  # as the settings have them


@pytest.mark.parametrize("before", [b"", GET])
@pytest.mark.parametrize("piece", [b"G", b"GET / HTTP/1.1\r\nHo", GET[:-1], b"\r\n"])
def test_a_head_has_its_time_from_its_first_byte_and_no_more(before: bytes, piece: bytes) -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(before)
        await wire.clock.pass_time(5 if before else 0)
        await wire.feed(piece)
        for _ in range(9):  # as it drips, no new time begins
            await wire.clock.pass_time(1)
            await wire.feed(b"\r\n" if piece == b"\r\n" else b"")
        await wire.clock.pass_time(0.9)
        assert wire.statuses == [200] * bool(before)
        await wire.clock.pass_time(0.2)
        assert wire.statuses == [*[200] * bool(before), 408]
        assert wire.pipe.said == ["end"]
        await wire.clock.pass_time(LINGER)
        assert wire.pipe.said == ["end", "aborted"]

    played(play)


def test_who_says_nothing_is_not_answered() -> None:
    async def play(wire: Wire) -> None:
        await wire.clock.pass_time(HEAD_SECONDS - 0.1)
        assert not wire.pipe.said
        await wire.clock.pass_time(0.2)
        assert (wire.pipe.said, wire.pipe.sent) == (["closed"], b"")

    played(play)


def test_a_head_that_was_refused_is_not_late_as_well() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(GET[:-1])
        await wire.clock.pass_time(HEAD_SECONDS - 1)
        await wire.feed(b"nonsense")
        assert wire.statuses == [400]
        await wire.clock.pass_time(2)
        assert wire.statuses == [400] and wire.pipe.said == ["end"] and wire.refused == 1

    played(play)


def test_a_body_and_an_answer_are_not_a_head_that_is_late() -> None:
    async def play(wire: Wire) -> None:
        await wire.clock.pass_time(HEAD_SECONDS - 1)
        await wire.feed(BODY, b"1\r\na\r\n")
        await wire.clock.pass_time(3 * HEAD_SECONDS)
        await wire.feed(b"0\r\n\r\n", WAIT)
        await wire.clock.pass_time(3 * HEAD_SECONDS)
        wire.app.go.set()
        await settled()
        assert wire.statuses == [200, 200] and not wire.pipe.said
        await wire.clock.pass_time(74)
        assert not wire.pipe.said
        await wire.clock.pass_time(2)
        assert wire.pipe.said == ["closed"]

    played(play)


@pytest.mark.parametrize("comes", [True, False])
def test_a_process_that_slept_reads_before_it_calls_a_head_late(comes: bool) -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(GET[:-1])
        await wire.clock.sleep(3600)
        assert not wire.statuses
        if comes:
            await wire.feed(GET[-1:])
        await wire.clock.pass_time(LATE)
        assert wire.statuses == ([200] if comes else [408])

    played(play)


def test_answers_that_are_not_read_have_their_time_and_no_more() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(WAIT)
        wire.protocol.pause_writing()
        await wire.clock.pass_time(SEND_SECONDS + LINGER - 1)
        wire.protocol.pause_writing()
        wire.protocol.resume_writing()  # it was read a little
        await wire.clock.pass_time(2 * SEND_SECONDS)
        assert not wire.pipe.said
        wire.protocol.pause_writing()
        await wire.clock.pass_time(SEND_SECONDS)
        assert not wire.pipe.said  # the answer itself gives up first
        wire.protocol.pause_writing()
        await wire.clock.pass_time(LINGER)
        assert wire.pipe.said == ["aborted"]

    played(play)


def test_time_between_requests_is_not_taken_from_the_next_one() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(BODY, b"1\r\na\r\n", b"0\r\n\r\n")
        await wire.clock.pass_time(70)
        assert wire.statuses == [200] and not wire.pipe.said
        await wire.feed(WAIT)
        await wire.clock.pass_time(70)
        assert not wire.pipe.said
        wire.app.go.set()
        await settled()
        assert wire.statuses == [200, 200] and not wire.pipe.said

    played(play)


def test_a_connection_that_closes_does_so_in_one_time() -> None:
    async def play(wire: Wire) -> None:
        wire.pipe.held = 100
        wire.protocol.close_idle()
        await wire.clock.pass_time(SEND_SECONDS - 1)
        wire.protocol.close_idle()  # the head's time and the keep-alive's are over
        assert len(wire.clock.waiting) == 1
        await wire.clock.pass_time(2)
        assert wire.pipe.said == ["closed", "aborted"]

    played(play)


@pytest.mark.parametrize("held", [0, 100])
def test_the_last_answer_is_sent_to_who_reads_it(held: int) -> None:
    async def play(wire: Wire) -> None:
        wire.pipe.held = held
        await wire.feed(head("GET", "/", "Connection: close"))
        assert wire.statuses == [200] and wire.pipe.said == ["closed"]
        await wire.clock.pass_time(SEND_SECONDS - 1)
        assert wire.pipe.said == ["closed"]
        await wire.clock.pass_time(2)
        assert wire.pipe.said == (["closed", "aborted"] if held else ["closed"])

    played(play)


@pytest.mark.parametrize("state", ["a head", "a reader that stopped", "an answer", "a refusal",
                                   "requests that wait"])  # fmt: skip
def test_nothing_is_kept_of_a_connection_that_has_gone(state: str) -> None:
    async def play() -> None:
        wire = Wire()
        match state:
            case "a head":
                await wire.feed(GET[:-1])
            case "a reader that stopped":
                await wire.feed(GET)
                wire.protocol.pause_writing()
            case "an answer":
                await wire.feed(GET)
            case "a refusal":
                await wire.feed(BAD * 2)
            case _:
                await wire.feed(WAIT, GET, GET)
        wire.pipe.lose()
        await settled()
        wire.app.go.set()
        await settled()
        clock, seen, gone = wire.clock, wire.app.seen, weakref.ref(wire.protocol)
        assert len(wire.open) == 0 and not clock.waiting
        del wire
        gc.collect()
        assert gone() is None
        assert seen == (["/wait"] if state == "requests that wait" else seen)

    asyncio.run(play())
