"""Decoded images on disk when writers are killed, files damaged and disks full."""

import errno
import logging
import os
import resource
import shutil
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augfeed.read.cache import pack_file as pack_module
from augfeed.read.cache.disk import Key
from augfeed.read.cache.pack_file import MAGIC, RECORD, checks
from tests.augfeed.read.test_cache import Pixels, in_child, make_image
from tests.augfeed.read.test_cache_disk import KEY, SIZES, disk, files, fill, found

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="written with forked processes")


def killed(work: Callable[[], Any], when: Callable[[], Any] | None = None) -> None:
    """Have a forked process work until it kills itself, or is killed when something returns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(3)
    if when is not None:
        when()
        os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


# Writers that are killed


# An image makes two writes, pixels and record; the first pack makes one before, of its header.
@pytest.mark.parametrize("write", range(9))
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["before", "within", "after"])
def test_writer_killed_at_a_write_loses_that_image_alone(
    tmp_path: Path, write: int, share: float
) -> None:
    fill(tmp_path, range(50, 52))

    def work() -> None:
        number = count()

        def cut_short(file: int, data: Any) -> None:
            if next(number) == write:
                view = memoryview(data)
                os.write(file, view[: int(len(view) * share)])
                os.kill(os.getpid(), signal.SIGKILL)
            whole(file, data)

        whole, pack_module._write = pack_module._write, cut_short
        fill(tmp_path, range(10))

    killed(work)
    whole_records = write + (share == 1.0)  # a record counts once it is there in full
    kept = list(range(max(whole_records - 1, 0) // 2))
    cache = disk(tmp_path)
    assert found(cache, range(60)) == [*kept, 50, 51]
    fill(tmp_path, range(10))
    cache.refresh()
    assert found(cache, range(60)) == [*range(10), 50, 51]


def test_images_stay_right_when_writers_are_killed_at_any_moment(tmp_path: Path) -> None:
    said, tells = os.pipe()

    def work() -> None:
        cache = disk(tmp_path, 1 << 30)
        for k in count():
            if cache.get(str(k)) is None:
                os.write(tells, b".")
                cache.put(str(k), large(k))

    def begun(images: int) -> None:
        for _ in range(images):
            os.read(said, 1)

    for images in np.random.default_rng(1).integers(2, 9, 8):
        killed(work, partial(begun, images))
        os.set_blocking(said, False)
        with suppress(BlockingIOError):
            os.read(said, 1 << 16)  # what it told since
        os.set_blocking(said, True)
    os.close(said)
    os.close(tells)
    cache = disk(tmp_path)
    kept = 0
    while (view := cache.get(str(kept))) is not None:
        np.testing.assert_array_equal(view, large(kept))
        kept += 1
    assert kept >= 8


def large(k: int) -> Pixels:
    return np.full((200, 300, 3), k % 251, np.uint8)


# Files that are damaged


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_never_give_a_wrong_image(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    fill(tmp_path, range(8))
    open_before = disk(tmp_path)
    found(open_before, range(0, 8, 3))
    (path,) = files(tmp_path, [".pack", ".index"][seed % 2])
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data)))
    match seed // 2 % 5:
        case 0:
            data[at] ^= 1 << int(rng.integers(8))
        case 1:
            data[at : at + 50] = rng.bytes(len(data[at : at + 50]))
        case 2:
            data[at:] = bytes(len(data) - at)
        case 3:
            del data[at:]
        case 4:
            data[at:at] = rng.bytes(int(rng.integers(1, 50)))
    path.write_bytes(data)
    kept = found(disk(tmp_path), range(10))
    assert len(kept) < 8 or seed // 2 % 5 == 4
    again = disk(tmp_path)
    for k in range(8):  # what was found to be lost is kept again
        if again.get(str(k)) is None:
            again.put(str(k), make_image(k))
    for cache in (again, disk(tmp_path)):
        assert found(cache, range(10)) == list(range(8))
    assert found(open_before, range(1, 8, 3)) is not None  # whatever is there, it is right


@pytest.mark.parametrize(
    "content", [b"", b"another file", MAGIC[:9], MAGIC + bytes(400), MAGIC * 9]
)
def test_file_that_is_no_index_is_passed_over(tmp_path: Path, content: bytes) -> None:
    fill(tmp_path, range(3))
    (tmp_path / KEY.name / "9-aa.index").write_bytes(content)
    (tmp_path / KEY.name / "9-aa.pack").write_bytes(bytes(99))
    (tmp_path / "notes.txt").write_text("not ours")
    assert found(disk(tmp_path), range(9)) == [0, 1, 2]


def test_pack_cut_short_while_it_is_mapped_is_not_touched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = disk(tmp_path)
    for k in range(3):
        cache.put(str(k), np.full((100, 100, 3), k, np.uint8))
    last = cache.get("2")
    assert last is not None and last.min() == 2
    os.truncate(files(tmp_path, ".pack")[0], 30_000)
    with caplog.at_level(logging.WARNING, "augfeed"):
        assert cache.get("2") is None and cache.get("1") is None and cache.get("1") is None
    assert cache.get("0") is not None
    assert [r.getMessage().count("damaged") for r in caplog.records] == [1]  # told once


def test_record_in_the_making_is_read_later(tmp_path: Path) -> None:
    fill(tmp_path, range(3))
    (index,) = files(tmp_path, ".index")
    data = index.read_bytes()
    zeros = bytes(RECORD.itemsize)  # as a file system may show a record of which only the length is
    index.write_bytes(data[: -RECORD.itemsize] + zeros)
    cache = disk(tmp_path)
    assert found(cache, range(3)) == [0, 1]
    index.write_bytes(data)
    cache.refresh()
    assert found(cache, range(3)) == [0, 1, 2]


def test_checksum_of_a_record_sees_any_bit() -> None:
    record = np.zeros(1, RECORD)
    assert checks(record)[0] != 0  # or a record of zeros would be right
    seen = {int(checks(record)[0])}
    for bit in range(8 * (RECORD.itemsize - 4)):
        data = bytearray(RECORD.itemsize)
        data[bit // 8] |= 1 << bit % 8
        seen.add(int(checks(np.frombuffer(data, RECORD))[0]))
    assert len(seen) == 1 + 8 * (RECORD.itemsize - 4)


# Limits


def test_limit_is_for_all_that_lies_in_the_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = disk(tmp_path, key=Key(9, 3, "old"))
    for k in range(5):
        other.put(str(k), make_image(k))
    fill(tmp_path, range(10))
    limit = sum(SIZES[:5]) + sum(SIZES[:15])
    cache = disk(tmp_path, limit)
    with caplog.at_level(logging.WARNING, "augfeed"):
        for k in range(10, 30):
            assert cache.stats.full == (k > 15)
            cache.put(str(k), make_image(k))
    assert found(cache, range(30)) == list(range(15))
    assert cache.stats.bytes == limit
    (record,) = caplog.records
    assert f"{limit:,}" in record.getMessage() and "other sides" in record.getMessage()


def test_limit_left_open_is_half_of_what_is_free_or_held(tmp_path: Path) -> None:
    fill(tmp_path, range(50))
    free = shutil.disk_usage(tmp_path).free
    assert abs(disk(tmp_path, None).limit - free // 2) < free // 4
    far = disk(tmp_path / "not" / "yet" / "there", None)
    assert abs(far.limit - free // 2) < free // 4


@pytest.mark.parametrize("bytes_left", range(300, 440, 14))  # within pixels, or within a record
def test_full_disk_keeps_what_was_written_and_is_reported_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    bytes_left: int,
) -> None:
    cache, whole, room = disk(tmp_path), os.write, [bytes_left]

    def write(file: int, data: Any) -> int:
        part = memoryview(data)[: room[0]]
        if not part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= len(part)
        return whole(file, part)

    monkeypatch.setattr(os, "write", write)
    with caplog.at_level(logging.WARNING, "augfeed"):
        for k in range(20):
            cache.put(str(k), make_image(k))
    monkeypatch.undo()
    kept = found(cache, range(20))
    assert 0 < len(kept) < 10 and cache.stats.full
    (pack,) = files(tmp_path, ".pack")
    assert pack.stat().st_size in (sum(SIZES[: len(kept)]), sum(SIZES[: len(kept) + 1]))
    assert found(disk(tmp_path), range(20)) == kept
    (record,) = caplog.records
    assert "No space left" in record.getMessage() and str(tmp_path) in record.getMessage()
    cache.refresh()  # there is room again
    for k in range(20):
        cache.put(str(k), make_image(k))
    assert found(disk(tmp_path), range(20)) == list(range(20))


def test_system_that_ends_a_file_early_is_borne(tmp_path: Path) -> None:
    def child() -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
        fill(tmp_path, range(40))
        return True

    assert in_child(child)
    kept = found(disk(tmp_path), range(40))
    assert 0 < len(kept) < 40 and kept == list(range(len(kept)))


@pytest.mark.parametrize("kind", ["a file", "a folder that nobody may write to"])
def test_folder_that_cannot_be_written_misses_and_says_so_once(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    expected = []
    if kind == "a file":
        folder.write_text("text")
    else:
        fill(folder, range(3))
        expected = [0, 1, 2]
        whole = os.open

        def refuse(path: Any, flags: int, *mode: int) -> int:
            if flags & os.O_CREAT:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            return whole(path, flags, *mode)

        monkeypatch.setattr(os, "open", refuse)
    with caplog.at_level(logging.WARNING, "augfeed"):
        cache = disk(folder)
        for k in range(9):
            cache.put(str(k), make_image(k))
        cache.refresh()
        cache.put("8", make_image(8))
    assert found(cache, range(9)) == expected
    said = [record.getMessage() for record in caplog.records if "written" in record.getMessage()]
    assert len(said) == 1


def test_folder_that_is_removed_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    fill(folder, range(3))
    cache = disk(folder)
    assert found(cache, range(1)) == [0]
    cache.put("3", make_image(3))
    unread = disk(folder)
    shutil.rmtree(folder)
    assert found(unread, range(9)) == []
    assert 0 in found(cache, range(9))  # what is mapped stays
    cache.refresh()
    for k in range(5):
        cache.put(str(k), make_image(k))
        unread.put(str(k), make_image(k))
    assert found(unread, range(9)) == list(range(5))
    assert {3, 4} <= {*found(cache, range(9))}
    assert set(found(disk(folder), range(9))) == set(range(5))
