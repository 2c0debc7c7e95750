"""Many images in one call: the pixels of one call for each."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed.constants import CONSTANT, EDGE, REFLECT
from augfeed.kernels.resample import resample
from augfeed.kernels.resample_many import show_pictures


def table(images: list[Any], frames: list[int]) -> Any:
    rows = [(image.ctypes.data, *image.shape[:2], frame)
            for image, frame in zip(images, frames, strict=True)]  # fmt: skip
    return np.array(rows, np.int64)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pad", [CONSTANT, EDGE, REFLECT])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_images_at_once_are_those_one_by_one(pad: int, channels: int, data: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    count, size = 4, (9, 12)
    images, windows = [], []
    for _ in range(count):
        height, width = rng.integers(1, 40, 2)
        images.append(rng.integers(0, 256, (height, width, channels), dtype=np.uint8))
        rows, columns = rng.integers(1, height + 1), rng.integers(1, width + 1)
        top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
        windows.append(((top, left, rows, columns), rng.integers(1, 30, 2), rng.integers(-4, 5, 2)))
    box, resized, offset = (np.array([row[k] for row in windows], np.int32) for k in range(3))
    order = rng.permutation(count).tolist()
    frames = np.empty((count, *size, channels), np.uint8)
    kinds, fill = rng.integers(0, 3, count).astype(np.int32), rng.random(channels)
    show_pictures(table(images, order), box, resized, offset, kinds, pad, fill, frames)
    for k, number in enumerate(order):
        alone = np.empty((*size, channels), np.uint8)
        resample(images[k], box[k], resized[k], offset[k], kinds[k], pad, fill, alone)
        np.testing.assert_array_equal(frames[number], alone)


def test_a_box_outside_its_image_is_refused() -> None:
    image, frames = np.zeros((5, 6, 3), np.uint8), np.zeros((1, 4, 4, 3), np.uint8)
    box, resized = np.array([[0, 0, 6, 6]], np.int32), np.array([[4, 4]], np.int32)
    with pytest.raises(ValueError, match="not inside the image"):
        show_pictures(table([image], [0]), box, resized, 0 * resized, resized[:, 0] * 0, CONSTANT,
                      np.zeros(3), frames)  # fmt: skip
