"""Decoded images on disk: shared by processes, whatever happens to writers and files."""

import json
import math
import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from augfeed.errors import InputError
from augfeed.read.cache import disk as disk_module
from augfeed.read.cache.disk import DiskCache, Key
from augfeed.read.cache.pack_file import RECORD
from augfeed.read.cache.pack_index import BAD, GOOD, PackIndex
from tests.augfeed.read.test_cache import in_child, make_image, work_side_by_side
from tests.template import template

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="written with forked processes")

KEY = Key(8, 3, "reader 1")
SIZES = [make_image(k).size for k in range(100)]


def disk(folder: Path, limit: int | None = 1 << 20, key: Key = KEY) -> DiskCache:
    return DiskCache(folder, key, limit)


def fill(folder: Path, numbers: range) -> None:
    cache = disk(folder)
    for k in numbers:
        cache.put(str(k), make_image(k))
    cache.close()


def found(cache: DiskCache, numbers: range) -> list[int]:
    """Return which images are kept; each must be what was put."""
    kept = []
    for k in numbers:
        view = cache.get(str(k))
        if view is not None:
            np.testing.assert_array_equal(view, make_image(k))
            kept.append(k)
    return kept


def files(folder: Path, ending: str) -> list[Path]:
    return sorted((folder / KEY.name).glob(f"*{ending}"))


# What is kept


def test_images_are_there_in_the_next_run_without_a_copy(tmp_path: Path) -> None:
    fill(tmp_path, range(50))
    cache = disk(tmp_path)
    assert found(cache, range(60)) == list(range(50))
    first, again = cache.get("7"), cache.get("7")
    assert first is not None and again is not None
    assert np.shares_memory(first, again) and not first.flags.writeable
    stats = cache.stats
    assert (stats.hits, stats.misses, stats.pictures) == (52, 10, 50)
    assert stats.bytes == sum(SIZES[:50]) == sum(f.stat().st_size for f in files(tmp_path, ".pack"))
    cache.close()
    np.testing.assert_array_equal(first, make_image(7))
    assert cache.get("7") is None


def test_process_finds_what_it_has_put_itself(tmp_path: Path) -> None:
    cache = disk(tmp_path)
    for k in range(20):
        cache.put(str(k), make_image(k))
        cache.put(str(k), make_image(k + 1))  # the first stays
        assert found(cache, range(100)) == list(range(k + 1))
    cache.refresh()
    assert found(cache, range(100)) == list(range(20))
    assert cache.stats.pictures == 20
    with pytest.raises(InputError, match="height, width, 3"):
        cache.put("x", np.zeros((2, 2, 1), np.uint8))


@pytest.mark.parametrize(
    "other", [Key(9, 3, "reader 1"), Key(8, 1, "reader 1"), Key(8, 3, "reader 2")]
)
def test_images_of_another_side_version_or_channels_are_not_found(
    tmp_path: Path, other: Key
) -> None:
    fill(tmp_path, range(5))
    cache = disk(tmp_path, key=other)
    assert cache.get("1") is None
    cache.put("1", make_image(9, other.channels))
    again = disk(tmp_path, key=other).get("1")
    assert again is not None
    np.testing.assert_array_equal(again, make_image(9, other.channels))
    assert found(disk(tmp_path), range(9)) == list(range(5))
    about = json.loads((tmp_path / other.name / "about.json").read_text())
    assert about == {"format": 1, "side": other.side, "channels": other.channels,
                     "version": other.version}  # fmt: skip


def test_packs_stay_below_their_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "LARGEST", 200)
    fill(tmp_path, range(50))
    sizes = [file.stat().st_size for file in files(tmp_path, ".pack")]
    assert max(sizes) <= 200 and len(sizes) > 10
    assert found(disk(tmp_path), range(50)) == list(range(50))


def test_many_images_are_found(tmp_path: Path) -> None:
    many = range(3000)
    cache = disk(tmp_path)
    for k in many:
        cache.put(str(k), np.full((1, 1, 3), k % 251, np.uint8))
    for one in (cache, disk(tmp_path)):
        views = [one.get(str(k)) for k in many]
        assert [view is not None and int(view[0, 0, 0]) for view in views] == [
            k % 251 for k in many
        ]
        assert one.get("x") is None


def test_digests_that_share_a_half_are_kept_apart() -> None:
    known = PackIndex()
    records = np.zeros(2000, RECORD)
    digests = [b"same----" + k.to_bytes(8, "little") for k in range(2000)]
    records["digest"], records["offset"] = np.array(digests, "V16"), range(2000)
    known.add(records[:1500], 0)  # sorted
    known.add(records[1500:], 1)  # in the dictionary
    for k in (0, 700, 1499, 1500, 1999):
        row = known.find(digests[k])
        assert row is not None and (row.offset, row.pack) == (k, k // 1500)
        known.mark(row, GOOD)
        assert (known.find(digests[k]) or row).state == GOOD
        known.mark(row._replace(state=GOOD), BAD)
        assert known.find(digests[k]) is None
    assert known.find(b"same----" + b"x" * 8) is None
    known.add(records[:1], 7)  # kept again
    row = known.find(digests[0])
    assert row is not None and row.pack == 7


# Processes


def test_two_processes_see_what_the_other_writes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.augfeed.read.test_cache_disk import *\n"
        "cache = disk(Path(sys.argv[1]))\n"
        "for line in open(sys.argv[2]):\n"
        "    first, last = map(int, line.split())\n"
        "    cache.refresh()\n"
        "    seen = found(cache, range(100))\n"
        "    for k in range(first, last): cache.put(str(k), make_image(k))\n"
        "    print(*seen, flush=True)\n"
    )
    asked = tmp_path / "asked"
    os.mkfifo(asked)
    other = template().fork(code, [str(tmp_path / "cache"), str(asked)], os.environ,
                            imports=[__name__])  # fmt: skip
    with other.stdout, other.stderr, open(os.open(asked, os.O_RDWR), "w") as asking:
        cache = disk(tmp_path / "cache")
        for first in range(0, 60, 20):
            for k in range(first, first + 10):
                cache.put(str(k), make_image(k))
            print(first + 10, first + 20, file=asking, flush=True)
            assert other.stdout.readline().split() == [str(k) for k in range(first + 10)]
            cache.refresh()
            assert found(cache, range(100)) == list(range(first + 20))
        asking.close()
        assert other.wait() == 0
    assert len(files(tmp_path / "cache", ".pack")) == 2


def test_get_looks_for_what_others_wrote_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = disk(tmp_path)
    fill(tmp_path, range(3))
    monkeypatch.setattr(cache, "_next", math.inf)
    assert found(cache, range(3)) == []  # so as not to look at every miss
    monkeypatch.setattr(cache, "_next", 0.0)
    assert found(cache, range(5)) == [0, 1, 2]


def test_writers_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    def write_and_wait(first: int) -> bool:
        inner = disk(tmp_path)
        for k in range(first, 400, 2):
            inner.put(str(k), make_image(k))
        inner.refresh()
        return found(inner, range(first, 400)) != []

    assert in_child(lambda: in_child_beside(lambda: write_and_wait(0), lambda: write_and_wait(1)))
    assert found(disk(tmp_path), range(400)) == list(range(400))


def in_child_beside(one: Callable[[], bool], other: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if one() else 1)
    mine = other()
    return mine and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_forked_process_writes_to_a_pack_of_its_own(tmp_path: Path) -> None:
    cache = disk(tmp_path)
    cache.put("0", make_image(0))
    before = files(tmp_path, ".pack")[0].stat().st_size

    def child() -> bool:
        cache.put("1", make_image(1))
        return found(cache, range(5)) == [0, 1]

    with cache._lock, cache._count._lock:  # as another thread may hold them at that moment
        assert in_child(child)
    assert len(files(tmp_path, ".pack")) == 2
    assert before in [file.stat().st_size for file in files(tmp_path, ".pack")]
    cache.put("2", make_image(2))  # the parent's pack goes on
    cache.refresh()
    assert found(cache, range(5)) == [0, 1, 2]
    assert len(files(tmp_path, ".pack")) == 2
    assert found(disk(tmp_path), range(5)) == [0, 1, 2]


def test_copy_opens_the_folder_anew(tmp_path: Path) -> None:
    cache = disk(tmp_path)
    cache.put("0", np.ones((99, 99, 3), np.uint8))
    data = pickle.dumps(cache)
    assert len(data) < 1000
    copy = pickle.loads(data)
    assert copy.get("0") is not None and copy.limit == cache.limit


def test_threads_put_and_get_the_same_images_on_disk(tmp_path: Path) -> None:
    cache = disk(tmp_path)
    work_side_by_side(cache)
    assert (cache.stats.hits, cache.stats.pictures) == (800, 200)
    assert cache.stats.bytes == sum(make_image(k).size for k in range(200))
    assert found(disk(tmp_path), range(200)) == list(range(200))
