"""Decoded images in a device's memory: cut and resized there as on the host."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from augfeed import Policy
from augfeed.constants import BILINEAR, CONSTANT
from augfeed.errors import InputError
from augfeed.kernels.resample import resample
from augfeed.plan.windows import WindowDraws, Windows
from augfeed.policy import CenterCrop, RandomCrop, RandomResizedCrop, Resize
from augfeed.read.cache import Stats, resizing
from augfeed.read.cache import device as device_module
from augfeed.read.cache.device import DeviceCache, fits
from tests.augfeed.read.test_cache import make_image, work_side_by_side

Pixels = NDArray[np.uint8]
SIZE = (23, 31)


def photo(k: int, height: int, width: int, channels: int = 3) -> Pixels:
    return np.random.default_rng(k).integers(0, 256, (height, width, channels), np.uint8)


PHOTOS = [photo(k, 40 + 7 * k, 90 - 5 * k) for k in range(9)]
NAMES = [f"{k}.jpg" for k in range(9)]


def kept(photos: list[Pixels], device: str = "cpu", limit: int = 1 << 30) -> DeviceCache:
    cache = DeviceCache(device, photos[0].shape[2], limit)
    for k, one in enumerate(photos):
        cache.put(f"{k}.jpg", one)
    return cache


def expected(photos: list[Pixels], windows: Windows, size: tuple[int, int]) -> Pixels:
    out = np.empty((len(photos), *size, photos[0].shape[2]), np.uint8)
    for k, one in enumerate(photos):
        window = (part[k] for part in windows.parts)
        resample(one, *window, CONSTANT, np.zeros(out.shape[-1]), out[k])
    return out


def windows_by(*parts: Any, kind: int = BILINEAR) -> Windows:
    box, resized, offset = (np.asarray(part, np.int32) for part in parts)
    return Windows(box, resized, offset, np.full(len(box), kind, np.int32))


def windows_of(policy: Policy, photos: list[Pixels], epoch: int = 0) -> Windows:
    draws = WindowDraws(policy, 5, epoch, np.arange(len(photos)))
    return draws.at(*np.array([one.shape[:2] for one in photos]).T)


@pytest.mark.parametrize(
    "operations",
    [
        [RandomResizedCrop(SIZE)],
        [RandomResizedCrop(SIZE, interpolation="random")],
        [Resize(35, interpolation="bicubic"), RandomCrop(SIZE)],
        [Resize((10, 12), interpolation="nearest")],
        [Resize(35), RandomCrop(SIZE)],
        [Resize(35), CenterCrop(30)],
        [Resize((10, 12))],
        [RandomCrop(SIZE)],
    ],
    ids=[
        "random resized crop",
        "random filters",
        "bicubic",
        "nearest",
        "resize, random crop",
        "resize, center",
        "shrunk",
        "offset alone",
    ],
)
def test_frames_are_those_of_the_host(operations: list[Any]) -> None:
    policy = Policy(operations)
    cache, size = kept(PHOTOS), policy.size()
    for epoch in range(3):
        windows = windows_of(policy, PHOTOS, epoch)
        made = cache.frames(NAMES, windows, size)
        assert made.dtype == torch.uint8 and made.shape == (9, *size, 3)
        np.testing.assert_array_equal(made.numpy(), expected(PHOTOS, windows, size))


def test_frames_are_those_of_pillow() -> None:
    size = (20, 24)
    box = np.array([[3, 5, 30, 44]] * 9, np.int32)
    resized, offset = np.array([[22, 30]] * 9, np.int32), np.array([[1, 6]] * 9, np.int32)
    made = kept(PHOTOS).frames(NAMES, windows_by(box, resized, offset), size)
    for k, one in enumerate(PHOTOS):
        cut = Image.fromarray(one).crop((5, 3, 49, 33))
        whole = np.asarray(cut.resize((30, 22), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(made[k].numpy(), whole[1:21, 6:30])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), channels=st.sampled_from([1, 3]), room=st.sampled_from([1, 3000, 1 << 22]))
def test_any_windows_of_any_images_are_those_of_the_host(
    data: Any, channels: int, room: int
) -> None:
    sides = st.integers(1, 40)
    number, size = data.draw(st.integers(1, 5)), (data.draw(sides), data.draw(sides))
    photos, rows = [], []
    for k in range(number):
        height, width = data.draw(sides), data.draw(sides)
        box_h, box_w = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
        resized = [side + data.draw(st.integers(0, 9)) for side in size]
        row = [data.draw(st.integers(0, height - box_h)), data.draw(st.integers(0, width - box_w)),
               box_h, box_w, *resized]  # fmt: skip
        rows.append(
            [*row, *(data.draw(st.integers(0, r - s)) for r, s in zip(resized, size, strict=True))]
        )
        photos.append(photo(k, height, width, channels))
    table = np.array(rows, np.int32)
    windows = windows_by(
        table[:, :4], table[:, 4:6], table[:, 6:], kind=data.draw(st.integers(0, 2))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_module, "SMALLEST", 1000)
        patch.setattr(resizing, "ROOM", room)
        cache = kept(photos)
        names = [f"{k}.jpg" for k in range(number)]
        made = cache.frames(names, windows, size)
    np.testing.assert_array_equal(made.numpy(), expected(photos, windows, size))


def test_images_of_many_blocks_come_in_the_order_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_module, "SMALLEST", 10_000)
    cache = kept(PHOTOS)
    assert len(cache._blocks) > 2
    policy, order = Policy([RandomResizedCrop(SIZE)]), [8, 0, 3, 3, 7, 1]
    photos = [PHOTOS[k] for k in order]
    windows = windows_of(policy, photos)
    made = cache.frames([NAMES[k] for k in order], windows, SIZE)
    np.testing.assert_array_equal(made.numpy(), expected(photos, windows, SIZE))


def test_nothing_is_read_beyond_an_image_that_ends_with_the_memory() -> None:
    cache = kept(PHOTOS[:1], limit=PHOTOS[0].size)
    windows = windows_by([[0, 0, 40, 90]], [[61, 99]], [[0, 0]])
    made = cache.frames(NAMES[:1], windows, (61, 99))
    np.testing.assert_array_equal(made.numpy(), expected(PHOTOS[:1], windows, (61, 99)))


def test_limit_bounds_the_memory_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "SMALLEST", 10_000)
    cache = kept(PHOTOS, limit=50_000)
    assert sum(block.numel() for block in cache._blocks) <= 50_000
    holds = cache.holds(NAMES)
    assert 0 < holds.sum() < 9 and holds[0]
    sizes = [one.size for one, held in zip(PHOTOS, holds, strict=True) if held]
    assert cache.stats == Stats(len(sizes), 9 - len(sizes), len(sizes), sum(sizes), True)
    cache.close()
    assert not cache.holds(NAMES).any() and not cache._blocks


def test_device_shows_which_images_it_holds_and_their_sizes() -> None:
    cache = kept(PHOTOS)
    assert cache.holds(["x", NAMES[2], NAMES[0]]).tolist() == [False, True, True]
    assert cache.sizes(NAMES[:2]).tolist() == [[40, 90], [47, 85]]
    assert cache.sizes([]).shape == (0, 2) and cache.holds([]).shape == (0,)
    none = windows_by(*(np.empty((0, n), np.int32) for n in (4, 2, 2)))
    assert cache.frames([], none, SIZE).shape == (0, *SIZE, 3)
    with pytest.raises(InputError, match=r"'x' is not in the cache.*holds"):
        cache.sizes(["x"])
    with pytest.raises(InputError, match=r"\(height, width, 3\)"):
        cache.put("x", photo(1, 4, 4, 1))


def test_device_keeps_a_copy_of_the_first_image_of_a_name() -> None:
    cache, source = DeviceCache("cpu", 3, 10_000), make_image(5)
    cache.put("a", source)
    source[...] = 0
    cache.put("a", make_image(6))
    height, width = cache.sizes(["a"])[0].tolist()
    whole = windows_by([[0, 0, height, width]], [[height, width]], [[0, 0]])
    np.testing.assert_array_equal(cache.frames(["a"], whole, (height, width))[0], make_image(5))


@pytest.mark.parametrize(
    ("box", "resized", "offset"),
    [
        ([0, 0, 41, 90], [23, 31], [0, 0]),
        ([-1, 0, 40, 90], [23, 31], [0, 0]),
        ([0, 0, 0, 90], [23, 31], [0, 0]),
        ([0, 0, 40, 90], [23, 31], [1, 0]),
        ([0, 0, 40, 90], [23, 31], [0, -1]),
    ],
)
def test_window_that_does_not_fit_is_an_error(
    box: list[int], resized: list[int], offset: list[int]
) -> None:
    windows = windows_by([box], [resized], [offset])
    with pytest.raises(InputError, match=r"'0\.jpg'"):
        kept(PHOTOS[:1]).frames(NAMES[:1], windows, SIZE)
    assert fits(windows, SIZE).tolist() == [offset == [0, 0]]


def test_copy_of_a_device_is_empty() -> None:
    cache = kept(PHOTOS)
    copy = pickle.loads(pickle.dumps(cache))
    assert not copy.holds(NAMES).any() and copy.limit == cache.limit
    assert copy.device == cache.device


def test_limit_of_a_device_that_does_not_tell_has_to_be_given() -> None:
    with pytest.raises(InputError, match=r"'meta'.*limit"):
        DeviceCache("meta", 3)
    assert DeviceCache("cpu", 3).limit > 1 << 20


def test_threads_may_put_side_by_side() -> None:
    class Whole(DeviceCache):
        def get(self, identity: str) -> Pixels | None:
            if not self.holds([identity])[0]:
                return None
            height, width = self.sizes([identity])[0].tolist()
            rows = ([0, 0, height, width], [height, width], [0, 0])
            windows = windows_by(*([row] for row in rows))
            made: Pixels = self.frames([identity], windows, (height, width))[0].numpy()
            return made

    cache = Whole("cpu", 3, 1 << 20)
    work_side_by_side(cache)
    assert cache.stats.pictures == 200


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_frames_on_a_gpu_are_those_of_the_host_and_nothing_waits() -> None:
    cache, policy = kept(PHOTOS, "cuda"), Policy([RandomResizedCrop(SIZE)])
    windows = windows_of(policy, PHOTOS)
    cache.frames(NAMES, windows, SIZE)
    torch.cuda.set_sync_debug_mode("error")
    try:
        made = cache.frames(NAMES, windows, SIZE)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert made.is_cuda
    np.testing.assert_array_equal(made.cpu().numpy(), expected(PHOTOS, windows, SIZE))
