"""The cache of decoded images: what is asked for, and the one in RAM."""

import os
import pickle
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from augfeed import Policy
from augfeed.errors import InputError, InputTypeError, PolicyError
from augfeed.policy import CenterCrop, RandomResizedCrop, Resize
from augfeed.read.cache import Cache, ImageCache, Stats, cache_of, default_side, open_cache
from augfeed.read.cache import ram as ram_module
from augfeed.read.cache.memory_limit import available_memory
from augfeed.read.cache.ram import RamCache

Pixels = NDArray[np.uint8]


def make_image(k: int, channels: int = 3) -> Pixels:
    """Return an image that only number `k` has, of a size of its own."""
    return np.random.default_rng(k).integers(0, 256, (3 + k % 7, 2 + k % 5, channels), np.uint8)


def in_child(work: Callable[[], bool]) -> bool:
    """Return what a function returns in a forked process."""
    with warnings.catch_warnings():  # of threads of libraries, which the child does not use
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)  # or a lock that nobody opens would hold it for ever
        done = 1
        try:
            done = 0 if work() else 1
        finally:
            os._exit(done)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def ram(limit: int | None = 1 << 20) -> RamCache:
    return RamCache(3, limit)


# What is asked for


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "tape"}, "'tape'.*'ram', 'disk', 'gpu'"),
        ({"kind": "ram", "side": 0}, "side=0"),
        ({"kind": "ram", "side": 70_000}, "side=70000.*65535"),
        ({"kind": "ram", "side": 22.5}, "side=22.5"),
        ({"kind": "ram", "limit": 0}, "limit=0"),
        ({"kind": "ram", "folder": "there"}, "folder='there'.*'ram'.*Cache\\('disk'"),
        ({"kind": "disk", "folder": 3}, "folder=3"),
        ({"kind": "disk", "folder": ""}, "folder=''"),
    ],
)
def test_what_cannot_be_meant_is_an_error_that_names_value_and_cure(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Cache(**given)


def test_text_stands_for_a_cache_of_that_kind() -> None:
    assert cache_of("disk") == Cache("disk")
    assert cache_of(None) is None
    assert cache_of(given := Cache("ram", side=np.int64(64))) is given  # type: ignore[arg-type]
    assert type(given.side) is int
    with pytest.raises(InputError, match="'dsk'"):
        cache_of("dsk")
    with pytest.raises(InputTypeError, match="True"):
        cache_of(True)


@pytest.mark.parametrize(
    ("operations", "side"),
    [
        ([Resize(232), CenterCrop(224)], 232),
        ([RandomResizedCrop(224)], 256),
        ([RandomResizedCrop(225)], 264),
        ([Resize((96, 128))], 112),
        ([RandomResizedCrop(65535)], 65535),
    ],
)
def test_default_side_is_the_resize_or_an_eighth_more_than_the_output(
    operations: list[Any], side: int
) -> None:
    assert default_side(Policy(operations)) == side


def test_default_side_needs_an_output_of_known_size() -> None:
    assert default_side(Policy([]), (28, 30)) == 32
    with pytest.raises(PolicyError):
        default_side(Policy([]))


def test_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    monkeypatch.delenv("AUGFEED_CACHE", raising=False)
    assert Cache("disk").place() == Path("/shared/augfeed/pictures")
    monkeypatch.setenv("AUGFEED_CACHE", "/fast")
    assert Cache("disk").place() == Path("/fast/pictures")
    assert Cache("disk", folder="here").place() == Path("here")


def test_each_kind_opens(tmp_path: Path) -> None:
    for cache in (Cache("ram", limit=999), Cache("disk", limit=999, folder=tmp_path)):
        images: ImageCache = open_cache(cache, side=8, channels=3, version="1")
        images.put("a", make_image(1))
        found = images.get("a")
        assert found is not None
        np.testing.assert_array_equal(found, make_image(1))
        images.close()
    with pytest.raises(InputError, match="DeviceCache"):
        open_cache(Cache("gpu"), side=8, channels=3, version="1")


def _machine(folder: Path, group: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in {
        "proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n",
        "proc/self/cgroup": group,
        **{f"groups/{name}": text for name, text in files.items()},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "proc", folder / "groups"


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/\n", {}, 8000 * 1024),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/b/memory.current": "5\n"}, 8000 * 1024),
        (
            "0::/a/b\n",
            {"a/memory.max": "900", "a/memory.current": "300", "a/memory.stat": "inactive_file 50"},
            650,
        ),
        (
            "1:cpu:/x\n4:memory:/x\n",
            {"memory/x/memory.limit_in_bytes": "70", "memory/x/memory.usage_in_bytes": "100"},
            0,
        ),
    ],
    ids=["no limit", "unlimited", "of the group above", "version 1, none left"],
)
def test_available_memory_is_what_the_container_leaves(
    tmp_path: Path, group: str, files: dict[str, str], expected: int
) -> None:
    assert available_memory(*_machine(tmp_path, group, files)) == expected


def test_available_memory_is_known_here() -> None:
    assert 1 << 20 < available_memory() < 1 << 50
    assert available_memory(Path("/nowhere"), Path("/nowhere")) > 1 << 20
    assert 1 << 19 < ram(None).limit < 1 << 49


# In RAM


def test_ram_gives_back_what_was_put_without_a_copy() -> None:
    cache = ram()
    source = make_image(5)
    cache.put("a", source)
    source[...] = 0  # a copy was kept
    found = cache.get("a")
    assert found is not None and found is cache.get("a")
    assert found.flags.c_contiguous and not found.flags.writeable
    cache.put("a", make_image(6))  # the first stays
    cache.put("turned", make_image(7).transpose(1, 0, 2))
    turned = cache.get("turned")
    cache.close()
    np.testing.assert_array_equal(found, make_image(5))
    assert turned is not None
    np.testing.assert_array_equal(turned, make_image(7).transpose(1, 0, 2))
    assert cache.get("a") is None
    assert cache.stats == Stats(hits=3, misses=1, pictures=0, bytes=0, full=False)


def test_ram_packs_images_in_few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ram_module, "BLOCK", 1000)
    cache = ram()
    for k in range(200):
        cache.put(str(k), make_image(k))
    cache.put("large", np.ones((50, 50, 3), np.uint8))
    found = [cache.get(str(k)) for k in range(200)]
    for k, view in enumerate(found):
        assert view is not None
        np.testing.assert_array_equal(view, make_image(k))
    blocks = {id(_base(view)) for view in found}
    assert len(blocks) <= cache.stats.bytes // 800
    assert (large := cache.get("large")) is not None and large.all()


def _base(view: Any) -> Any:
    return view if view.base is None else _base(view.base)


def test_ram_stops_at_its_limit_and_keeps_the_first() -> None:
    cache = ram(sum(make_image(k).size for k in range(10)))
    for k in range(20):
        assert not cache.stats.full or k > 10
        cache.put(str(k), make_image(k))
    assert [k for k in range(20) if cache.get(str(k)) is not None] == list(range(10))
    assert cache.stats == Stats(10, 10, 10, cache.limit, True)


@pytest.mark.parametrize("wrong", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 1), np.uint8),
                                   np.zeros((0, 2, 3), np.uint8), np.zeros((2, 2, 3))])  # fmt: skip
def test_ram_refuses_what_is_not_an_image(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"\(height, width, 3\)"):
        ram().put("a", wrong)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_ram_is_shared_with_forked_processes_whatever_is_locked() -> None:
    cache = ram()
    cache.put("a", make_image(1))

    def child() -> bool:
        cache.put("b", make_image(2))
        return all(
            np.array_equal(cache.get(name), make_image(k))  # type: ignore[arg-type]
            for name, k in (("a", 1), ("b", 2))
        )

    with cache._lock, cache._count._lock:  # as another thread may hold them at that moment
        assert in_child(child)
    assert cache.get("b") is None


def test_copy_of_ram_is_empty_and_small() -> None:
    cache = ram()
    cache.put("a", np.ones((100, 100, 3), np.uint8))
    data = pickle.dumps(cache)
    copy = pickle.loads(data)
    assert len(data) < 200
    assert copy.get("a") is None and copy.limit == cache.limit
    copy.put("a", make_image(1))
    assert copy.stats.pictures == 1


def test_threads_put_and_get_the_same_images_in_ram() -> None:
    cache = ram(4 << 20)
    work_side_by_side(cache)
    assert cache.stats == Stats(800, 0, 200, sum(make_image(k).size for k in range(200)), False)


def work_side_by_side(cache: ImageCache) -> None:
    """Have four threads put 200 images each, the same, and get them right after."""
    wrong: list[int] = []

    def work() -> None:
        for k in range(200):
            cache.put(str(k), make_image(k))
        barrier.wait()
        for k in range(200):
            found = cache.get(str(k))
            if found is None or not np.array_equal(found, make_image(k)):
                wrong.append(k)

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
