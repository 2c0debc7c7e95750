"""Work comes in order, errors in their place, and nothing is left behind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from augfeed.prefetch import Prefetcher


@dataclass
class Piece:
    tasks: list[Callable[[], None]]
    finish: Callable[[], int]


def pieces(count: int, done: list[int], broken: int = -1, unmade: int = -1) -> Iterator[Piece]:
    for k in range(count):
        if k == unmade:
            raise ValueError(f"piece {k} cannot be begun")

        def task(k: int = k) -> None:
            if k == broken:
                raise ValueError(f"piece {k} is broken")
            done.append(k)

        yield Piece([task, task], lambda k=k: k)  # type: ignore[misc]


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("ahead", [1, 2, 9])
def test_pieces_come_in_order_each_once(threads: int, ahead: int) -> None:
    done: list[int] = []
    found = list(Prefetcher(pieces(7, done), threads=threads, ahead=ahead))
    assert found == list(range(7))
    assert sorted(done) == sorted([*range(7)] * 2)


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("fault", ["broken", "unmade"])
def test_an_error_comes_in_its_place(threads: int, fault: str) -> None:
    prefetcher = Prefetcher(pieces(7, [], **{fault: 4}), threads=threads, ahead=3)
    found = []
    with pytest.raises(ValueError, match="piece 4"):
        for piece in prefetcher:
            found.append(piece)
    assert found == [0, 1, 2, 3]
    # A broken piece is followed by the others; where none can be begun, there are no others.
    assert list(prefetcher) == ([5, 6] if fault == "broken" else [])
    assert list(prefetcher) == []


def test_no_more_is_begun_than_asked_for() -> None:
    begun: list[int] = []

    def counted() -> Iterator[Piece]:
        for piece in pieces(9, []):
            begun.append(len(begun))
            yield piece

    prefetcher = Prefetcher(counted(), threads=2, ahead=3)
    assert begun == []
    next(prefetcher)
    assert len(begun) == 4
    prefetcher.close()
    assert list(prefetcher) == []


def test_one_that_could_not_be_made_leaves_no_word() -> None:
    with pytest.raises(ValueError, match="max_workers"):
        Prefetcher(pieces(7, []), threads=-1, ahead=3)


@pytest.mark.parametrize("broken", [-1, 4])
def test_where_no_thread_is_begun_any_more_pieces_are_made_in_place(
    broken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr("augfeed.task_threads.ThreadPoolExecutor.submit", refuse)
    prefetcher = Prefetcher(pieces(7, [], broken=broken), threads=2, ahead=3)
    found = [next(prefetcher) for _ in range(4)]
    if broken == 4:
        with pytest.raises(ValueError, match="piece 4"):
            next(prefetcher)
    assert [*found, *prefetcher] == [k for k in range(7) if k != broken]
