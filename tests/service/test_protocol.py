"""What a connection answers, byte by byte, without a socket."""

import pytest

from augfeed_service.protocol import LINGER, MOST_QUEUED
from tests.service.raw import head
from tests.service.wires import BAD, BODY, GET, WAIT, Wire, played, settled

HALF, BROKEN = head("GET", "/half"), head("GET", "/broken")
SEND_SECONDS = 120.0  # as the settings have it


# Answers


@pytest.mark.parametrize("request_", [HALF, BROKEN])
def test_an_answer_that_is_broken_off_does_not_look_whole(request_: bytes) -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(request_)
        assert wire.pipe.sent.endswith(b"\r\n\r\ndo") and not wire.pipe.said
        wire.app.go.set()
        await settled()
        assert wire.pipe.said == ([] if request_ is HALF else ["aborted"])

    played(play)


def test_a_request_that_is_wrong_in_its_body_is_refused_as_its_answer_is_awaited() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(BODY, b"1\r\na\r\n", BAD)
        assert wire.statuses == [400] and wire.app.seen == ["/body", "gone"]
        assert b"connection: close" in wire.pipe.sent and wire.pipe.said == ["end"]
        assert wire.refused == 1
        wire.app.go.set()  # what it answers now is not written
        await settled()
        await wire.feed(GET)
        assert wire.statuses == [400] and wire.app.seen == ["/body", "gone"]
        await wire.clock.pass_time(LINGER)
        assert wire.pipe.said == ["end", "aborted"]
        await wire.clock.pass_time(3600)
        assert wire.pipe.said == ["end", "aborted"]

    played(play)


def test_who_is_refused_can_send_the_rest_and_read_why() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(head("POST", "/wait", "Content-Length: 1000000"), b"a" * 100_000)
        assert wire.pipe.paused  # nobody reads it
        wire.app.go.set()
        wire.protocol.cycle.keep_alive = False
        await settled()
        assert wire.statuses == [200] and wire.pipe.said == ["end"] and not wire.pipe.paused
        await wire.feed(b"a" * 100_000)

    async def behind(wire: Wire) -> None:
        await wire.feed(WAIT)
        wire.protocol.cycle.keep_alive = False  # as when the service ends
        await wire.feed(GET + b"G")
        assert wire.pipe.paused
        wire.app.go.set()
        await settled()
        assert wire.statuses == [200] and wire.pipe.said == ["end"] and not wire.pipe.paused

    played(play)
    played(behind)


def test_who_is_not_let_in_is_not_heard() -> None:
    async def play(wire: Wire) -> None:
        other = Wire()
        other.protocol.open = wire.open
        other.pipe.held = 100
        other.protocol.connection_made(other.protocol.transport)
        await other.feed(GET)
        assert other.statuses == [429] and not other.app.seen
        await other.clock.pass_time(SEND_SECONDS + 1)
        assert other.pipe.said == ["closed", "aborted"]

    played(play, max_client_connections=1)


def test_a_client_that_leaves_is_seen_though_another_request_waits() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(head("GET", "/watch"), GET)
        wire.pipe.lose()
        await settled()
        assert wire.app.seen == ["/watch", "gone"]
        wire.app.go.set()
        await settled()
        assert wire.app.seen == ["/watch", "gone"] and not wire.pipe.sent

    played(play)


@pytest.mark.parametrize("path", ["/half", "/broken"])
def test_nothing_is_written_into_an_answer_that_has_begun(path: str) -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(head("POST", path, "Transfer-Encoding: chunked"), b"1\r\na\r\n", BAD)
        assert wire.pipe.sent.endswith(b"\r\n\r\ndo") and wire.pipe.said == ["aborted"]

    played(play)


@pytest.mark.parametrize("wrong", ["a head", "a body", "a body behind another request"])
def test_a_refusal_waits_for_the_answers_before_it(wrong: str) -> None:
    async def play(wire: Wire) -> None:
        middle = 1 if wrong.endswith("request") else 0
        await wire.feed(WAIT, *[GET] * middle)
        await wire.feed(*([BAD] if wrong == "a head" else [BODY, BAD]))
        assert not wire.pipe.sent and wire.app.seen == ["/wait"]
        await wire.feed(GET)  # is not read any more
        wire.app.go.set()
        await settled()
        assert wire.statuses == [200] * (1 + middle) + [400]
        assert wire.app.seen == ["/wait", *["/"] * middle] and wire.pipe.said == ["end"]

    played(play)


def test_a_refusal_of_head_has_no_body_and_one_of_what_follows_has() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(head("HEAD", "/body", "Transfer-Encoding: chunked"), BAD)
        assert wire.statuses == [400] and wire.pipe.sent.endswith(b"\r\n\r\n")

    async def behind(wire: Wire) -> None:
        await wire.feed(head("HEAD", "/"), BAD)
        assert wire.statuses == [200, 400] and wire.pipe.sent.endswith(b"}")

    played(play)
    played(behind)


def test_an_upgrade_is_the_last_request() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(head("GET", "/", "Connection: Upgrade", "Upgrade: h2c") + GET, GET)
        assert wire.statuses == [200] and wire.app.seen == ["/"]
        assert b"connection: close" in wire.pipe.sent and wire.pipe.said

    played(play)


# Bytes


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize(
    ("path", "header", "status"),
    [("/" + "a" * 70_000, "A: b", 414), ("/", "A: " + "b" * 70_000, 431),
     ("/", "A" * 70_000 + ": b", 431), ("/" + "a" * 30_000, "A: " + "b" * 36_000, 431)],
)  # fmt: skip
def test_a_head_is_bounded_however_it_comes(
    path: str, header: str, status: int, once: bool
) -> None:
    async def play(wire: Wire) -> None:
        text = head("GET", path, header)
        await wire.feed(*([text] if once else (text[k : k + 999] for k in range(0, 99_000, 999))))
        assert wire.statuses == [status] and not wire.app.seen and wire.refused == 1

    played(play)


@pytest.mark.parametrize("piece", [b"a", b"A: b", b"\r\n"])
@pytest.mark.parametrize("before", [b"", GET])
def test_a_head_that_does_not_end_is_bounded(before: bytes, piece: bytes) -> None:
    async def play(wire: Wire) -> None:
        begin = b"" if piece == b"\r\n" else b"GET / HTTP/1.1\r\nA"
        await wire.feed(before + begin, *[piece * 100] * (64_000 // len(piece) // 100))
        assert wire.statuses == [200] * bool(before)
        await wire.feed(*[piece * 100] * (2000 // len(piece) // 100))
        assert wire.statuses == [200] * bool(before) + [431]

    played(play)


def test_each_head_is_counted_by_itself_and_no_body_is() -> None:
    async def play(wire: Wire) -> None:
        long = head("POST", "/body", "A: " + "b" * 40_000, "Content-Length: 200000")
        await wire.feed(long, *[b"a" * 50_000] * 4)
        await wire.feed(long + b"a" * 200_000, GET)
        assert wire.statuses == [200, 200, 200]
        long = head("POST", "/body", "A: " + "b" * 60_000, "Transfer-Encoding: chunked")
        await wire.feed(long, b"1;a=" + b"b" * 8000, b"\r\na\r\n0\r\n\r\n")
        assert wire.statuses == [200, 200, 200, 200]

    played(play)


# Requests that wait


def test_no_more_is_read_while_requests_wait() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(WAIT, BODY)
        assert wire.pipe.paused
        wire.app.go.set()
        await settled()
        assert not wire.pipe.paused and wire.app.seen == ["/wait", "/body"]
        await wire.feed(b"0\r\n\r\n")
        assert wire.statuses == [200, 200]

    async def behind(wire: Wire) -> None:
        await wire.feed(BODY + b"0\r\n\r\n" + WAIT + GET)  # what reads a body reads on
        assert wire.app.seen == ["/body", "/wait"] and wire.pipe.paused

    played(play)
    played(behind)


def test_requests_that_wait_are_bounded_for_each_connection() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(WAIT, *[GET] * MOST_QUEUED)
        assert not wire.refused
        await wire.feed(GET)
        wire.app.go.set()
        await settled()
        assert wire.statuses == [200] * (1 + MOST_QUEUED) + [429] and wire.refused == 1

    played(play)


def test_a_connection_is_idle_between_requests_alone() -> None:
    async def play(wire: Wire) -> None:
        def idle() -> bool:
            return wire.protocol in wire.open._idle

        assert not idle()
        await wire.feed(GET)
        assert idle()
        await wire.feed(b"G")
        assert not idle()
        await wire.feed(GET[1:], WAIT + GET)
        assert not idle()
        wire.app.go.set()
        await settled()
        assert idle() and wire.statuses == [200] * 4

    played(play)


def test_an_idle_connection_that_made_room_is_closed_at_once() -> None:
    async def play(wire: Wire) -> None:
        await wire.feed(GET)
        wire.protocol.close_idle()
        assert wire.pipe.said == ["closed"]
        await settled()
        await wire.clock.pass_time(3600)
        assert wire.pipe.said == ["closed"] and not wire.clock.waiting

    played(play)
