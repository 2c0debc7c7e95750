"""Frames of many images at once are those made one by one, wherever the images lie."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from augfeed.kernels.resample import resample
from augfeed.memory_pool import Memory
from augfeed.plan import BatchRows, Windows, draw_plan
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.policy import Policy
from augfeed.presets import resolve_policy
from augfeed.read import frames as reading
from augfeed.read import jpeg_crop
from augfeed.read.frames import Frames, views_of, windows_of
from augfeed.read.read_config import Reading
from augfeed.read.read_errors import ReadFailureLog, RowSources
from augfeed.read.sources import ArraySource, Source, open_source

COUNT, ROWS = 9, np.array([7, 2, 5, 0])
POLICIES = ["random_resized_crop(8)", "resize(10) | random_crop(8, padding=3, mode='reflect')"]


def _read_only(images: NDArray[Any]) -> NDArray[Any]:
    images = images.copy()
    images.flags.writeable = False
    return images


MEMORY: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "plain": lambda images: images,
    "read only": _read_only,
    "every other": lambda images: np.repeat(images, 2, axis=0)[::2],
    "backwards": lambda images: images[::-1].copy()[::-1],
    "floats": lambda images: (images / np.float32(255)).astype(np.float32),
}


def read(source: Source, policy: Policy) -> tuple[NDArray[Any], Windows]:
    plan = draw_plan(
        policy, BatchRows.of(np.arange(COUNT)), seed=3, epoch=1, size=policy.size(source.sizes)
    )
    made = Frames(source, policy, Memory(), Reading(), ReadFailureLog())
    sizes = source.sizes or (0, 0)
    return made.read(plan, ROWS, RowSources.of(plan.ids)).copy(), plan.window.take(ROWS).at(*sizes)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("memory", MEMORY)
def test_frames_of_arrays_are_those_of_each_image_alone(memory: str, policy: str) -> None:
    images = np.random.default_rng(2).integers(0, 256, (COUNT, 14, 17, 3), dtype=np.uint8)
    source = open_source(MEMORY[memory](images))
    assert isinstance(source, ArraySource)
    given = resolve_policy(policy)
    found, windows = read(source, given)
    fixed = PolicyConstants.of(given, 3)
    for k, (row, view) in enumerate(zip(ROWS, views_of(windows), strict=True)):
        alone = np.empty_like(found[k])
        image = np.ascontiguousarray(source.images[row])
        resample(image.copy(), *view, fixed.pad_mode, fixed.pad_fill, alone)
        np.testing.assert_array_equal(found[k], alone)


@pytest.mark.skipif(jpeg_crop.why_not() is not None, reason="JPEGs are decoded whole here")
def test_no_row_is_looked_at_alone_where_all_can_be_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    for k in range(COUNT):
        image = Image.fromarray(rng.integers(0, 256, (30 + k, 40, 3), dtype=np.uint8))
        image.save(tmp_path / f"{k}.jpg")
    source = open_source(sorted(tmp_path.glob("*.jpg")))
    monkeypatch.setattr(reading, "views_of", _refused)
    policy = resolve_policy("random_resized_crop(8)")
    plan = draw_plan(policy, BatchRows.of(np.arange(COUNT)), seed=3, epoch=1, size=(8, 8))
    made = Frames(source, policy, Memory(), Reading(), ReadFailureLog())
    assert made.read(plan, ROWS, RowSources.of(plan.ids)).any()


def _refused(windows: Windows) -> Any:
    raise AssertionError("a window was taken out of its arrays")


sides = st.integers(1, 40)


@given(st.lists(st.tuples(sides, sides, st.integers(-9, 9), st.integers(-9, 9)), min_size=1),
       st.tuples(sides, sides))  # fmt: skip
def test_windows_as_arrays_say_what_each_says_alone(
    drawn: list[tuple[int, int, int, int]], size: tuple[int, int]
) -> None:
    parts = [np.array(part, np.int32) for part in zip(*drawn, strict=True)]
    resized, offset = np.stack(parts[:2], axis=1), np.stack(parts[2:], axis=1)
    kinds = np.arange(len(drawn), dtype=np.int32) % 3
    windows = Windows(np.ones((len(drawn), 4), np.int32), resized, offset, kinds)
    views = views_of(windows)
    assert windows.inside(size).tolist() == [view.inside(size) for view in views]
    rows = np.arange(len(drawn))[::2]
    some = windows.take(rows)
    assert views_of(some) == views[::2]
    packed = windows_of(views[::2])
    assert all(map(np.array_equal, (packed.box, packed.resized, packed.offset),
                   (some.box, some.resized, some.offset)))  # fmt: skip
