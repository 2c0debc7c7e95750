"""Lines of a batch: which row and column of its source each of an output shows."""

import numpy as np
import pytest

from augfeed.constants import CONSTANT, EDGE, REFLECT
from augfeed.kernels.source_lines import fill_source_lines

MODES = {CONSTANT: "constant", EDGE: "edge", REFLECT: "reflect"}


def expected(
    box: tuple[int, int], resized: int, offset: int, size: int, mode: int, *, turned: bool
) -> list[int]:
    """Return the lines of one side, by NumPy: nearest ones, added up, then padded."""
    begin, length = box
    steps = np.full(resized, length / resized)
    steps[0] /= 2
    found = begin + np.minimum(np.cumsum(steps).astype(int), length - 1)
    over = size + abs(offset)
    options = {"constant_values": -1} if mode == CONSTANT else {}
    padded = np.pad(found, over, MODES[mode], **options)  # type: ignore[call-overload]
    lines = padded[over + offset : over + offset + size]
    return [int(line) for line in (lines[::-1] if turned else lines)]


@pytest.mark.parametrize("mode", MODES)
def test_lines_are_those_of_numpy_for_windows_of_any_size_and_place(mode: int) -> None:
    random = np.random.default_rng(7)
    count, height, width = 200, 9, 13
    window = np.zeros((count, 8), np.int64)
    window[:, 0:2] = random.integers(0, 50, (count, 2))
    window[:, 2:4] = random.integers(1, 40, (count, 2))
    window[:, 4:6] = random.integers(1, 40, (count, 2))
    window[:50, 4:6] = window[:50, 2:4]  # not resized
    window[:, 6:8] = random.integers(-12, 30, (count, 2))
    turned = random.random((count, 2)) < 0.5
    lines = np.empty((count, height + width), np.int32)
    fill_source_lines(window, turned, height, mode, lines)
    for row, (top, left, high, wide, down, across, y, x) in enumerate(window.tolist()):
        sides = [
            *expected((top, high), down, y, height, mode, turned=bool(turned[row, 0])),
            *expected((left, wide), across, x, width, mode, turned=bool(turned[row, 1])),
        ]
        assert lines[row].tolist() == sides


def test_a_batch_of_no_rows_has_no_lines() -> None:
    lines = np.empty((0, 5), np.int32)
    fill_source_lines(np.zeros((0, 8), np.int64), np.zeros((0, 2), np.bool_), 2, CONSTANT, lines)
