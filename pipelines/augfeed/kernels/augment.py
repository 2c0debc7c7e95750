"""The one pass: from a uint8 or float picture to planes of the model's input."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from augfeed.kernels import SOURCES
from augfeed.kernels.color import (
    MATRIX,
    PLAIN,
    STEPS,
    Look,
    color_matrix,
    color_strip,
    finish_matrix,
)
from augfeed.kernels.noise import add_normal, erase_with_noise, pixel_numbers, salt_and_pepper
from augfeed.kernels.sample import FAST, Edges, Scratch, View, mean_color, sample_strip
from augfeed.kernels.store import store
from augfeed.kernels.types import Array, Columns, Floats, Ints, Setup

MIXUP, CUTMIX = 1, 2
STRIP = 1024  # pixels of a strip: three channels of it, twice, fit the nearest cache
ERASE_PIXELS, NOISE_PIXELS, SALT_PIXELS = 20, 22, 24  # augfeed.philox.Stream


class Side(NamedTuple):
    """One picture of a mix: where its pixels come from, and its colour map."""

    image: Array
    shown: View
    use: int
    matrix: Floats
    steps: tuple[int, float]


class Mix(NamedTuple):
    """How a row is mixed: mode, share of the own picture, CutMix's box."""

    mode: int
    lam: Any
    top: int
    left: int
    bottom: int
    right: int


@njit(nogil=True)
def _view(r: int, columns: Columns) -> View:
    return View(
        int(columns.offset[r, 0]), int(columns.offset[r, 1]), columns.flip_x[r],
        columns.flip_y[r], columns.warped[r], columns.inverse[r],
    )  # fmt: skip


@njit(nogil=True)
def _color(
    image: Array, r: int, size: tuple[int, int], columns: Columns, setup: Setup, edges: Edges,
    scale: float, matrix: Floats,
) -> int:  # fmt: skip
    # Writes the colour map of a row and returns how it is to be used.
    brightness, contrast = columns.factors[0, r], columns.factors[1, r]
    about = 0.5
    if contrast != 1.0 and not setup.about_half:
        corner = (int(columns.offset[r, 0]), int(columns.offset[r, 1]))
        mean = mean_color(image, corner, size, edges, scale)
        if mean.size == 3:
            about = brightness * (0.299 * mean[0] + 0.587 * mean[1] + 0.114 * mean[2])
        else:
            about = brightness * mean[0]
    look = Look(
        brightness, contrast, about, columns.factors[2, r], columns.factors[3, r],
        columns.gray[r], columns.inverted[r],
    )  # fmt: skip
    linear = np.empty((matrix.shape[0], matrix.shape[1]))
    changed = color_matrix(look, setup.yiq, setup.rgb, linear)
    if columns.bits[r] < 8 or columns.threshold[r] <= 1.0:
        finish_matrix(linear, scale, np.zeros_like(setup.mean), np.ones_like(setup.std), matrix)
        return STEPS
    finish_matrix(linear, scale, setup.mean, setup.std, matrix)
    return MATRIX if changed else PLAIN


@njit(nogil=True, fastmath=FAST)
def _blend(own: Floats, other: Floats, lam: Any) -> None:
    rest = np.float32(1.0) - lam
    for i in range(own.size):
        own[i] = own[i] * lam + other[i] * rest


@njit(nogil=True)
def _copy(source: Floats, target: Floats) -> None:
    for i in range(source.size):
        target[i] = source[i]


@njit(nogil=True)
def _mix_strip(
    other: Side, y0: int, y1: int, mix: Mix, size: tuple[int, int], setup: Setup, edges: Edges,
    scratch: Scratch, second: Floats, planes: Floats,
) -> None:  # fmt: skip
    # Mixes the partner into lines y0 to y1, which lie in `planes` already.
    width = size[1]
    x0, x1 = 0, width
    if mix.mode == CUTMIX:
        y0, y1 = max(y0, mix.top), min(y1, mix.bottom)
        x0, x1 = mix.left, mix.right
    count = x1 - x0
    if y1 <= y0 or count <= 0:
        return
    sample_strip(other.image, other.shown, (y0, y1), (x0, count), size, edges, scratch, second, 0)
    whole = (y1 - y0) * count
    color_strip(second, 0, whole, other.use, other.matrix, other.steps, setup.mean, setup.std)
    for c in range(planes.shape[0]):
        if mix.mode == MIXUP:
            _blend(planes[c, y0 * width : y1 * width], second[c, :whole], mix.lam)
        else:
            for y in range(y0, y1):
                start = (y - y0) * count
                to = y * width + x0
                _copy(second[c, start : start + count], planes[c, to : to + count])


@njit(nogil=True)
def _side(
    images: Array, r: int, size: tuple[int, int], columns: Columns, setup: Setup, edges: Edges,
    scale: float, matrix: Floats,
) -> Side:  # fmt: skip
    image = images[columns.place[r]]
    use = _color(image, r, size, columns, setup, edges, scale, matrix)
    steps = (int(columns.bits[r]), float(columns.threshold[r]))
    return Side(image, _view(r, columns), use, matrix, steps)


@njit(nogil=True)
def _pixels(
    images: Array, b: int, size: tuple[int, int], columns: Columns, setup: Setup, scale: float,
    planes: Floats,
) -> None:  # fmt: skip
    # Geometry, colour, mixing and cutout, a strip of lines at a time, so that it stays in the
    # nearest cache.
    (height, width), channels = size, planes.shape[0]
    edges = Edges(
        setup.pad_mode, np.float32(setup.pad_fill * scale),
        setup.border_mode, np.float32(setup.border_fill * scale),
    )  # fmt: skip
    lines = max(1, STRIP // width)
    scratch = Scratch(
        np.empty(width, np.int32), np.empty(width, np.int32),
        np.empty(width, np.float32), np.empty(width, np.float32),
        np.empty(width * channels, np.float32),
    )  # fmt: skip
    second = np.empty((channels, lines * width), np.float32)
    own = _side(images, b, size, columns, setup, edges, scale,
                np.empty((channels, channels + 1), np.float32))  # fmt: skip
    patch, hole = columns.patch[b], columns.cutout[b]
    mix = Mix(int(columns.mode[b]), columns.lam[b], int(patch[0]), int(patch[1]), int(patch[2]),
              int(patch[3]))  # fmt: skip
    other = own
    if mix.mode:
        other = _side(images, columns.partner[b], size, columns, setup, edges, scale,
                      np.empty((channels, channels + 1), np.float32))  # fmt: skip
    for y0 in range(0, height, lines):
        y1 = min(y0 + lines, height)
        sample_strip(own.image, own.shown, (y0, y1), (0, width), size, edges, scratch, planes,
                     y0 * width)  # fmt: skip
        color_strip(planes, y0 * width, y1 * width, own.use, own.matrix, own.steps,
                    setup.mean, setup.std)  # fmt: skip
        if mix.mode:
            _mix_strip(other, y0, y1, mix, size, setup, edges, scratch, second, planes)
    for y in range(hole[0], hole[2]):
        planes[:, y * width + hole[1] : y * width + hole[3]] = np.float32(setup.cutout_fill)


@njit(nogil=True)
def _over(b: int, size: tuple[int, int], columns: Columns, setup: Setup, planes: Floats) -> None:
    # Erasing and noise, a whole plane at a time.
    channels, count = planes.shape
    sample = np.uint64(columns.ids[b])
    box, sigma = columns.erased[b], columns.sigma[b]
    if box[2] > box[0] and box[3] > box[1]:
        key = (setup.seed, setup.epoch, sample, ERASE_PIXELS)
        quantiles = setup.quantiles if setup.normalized else setup.quantiles[:0]
        for c in range(channels):
            plane = planes[c].reshape(size)
            if setup.erase_noise:
                erase_with_noise(plane, pixel_numbers(count, c, key), box, quantiles)
            else:
                plane[box[0] : box[2], box[1] : box[3]] = np.float32(setup.erase_fill)
    if sigma > 0.0:
        key = (setup.seed, setup.epoch, sample, NOISE_PIXELS)
        for c in range(channels):
            scaled = sigma * setup.sigma_scale[c]
            add_normal(planes[c], c, key, scaled, setup.quantiles)
    if columns.salt[b] > 0:
        numbers = pixel_numbers(count, 0, (setup.seed, setup.epoch, sample, SALT_PIXELS))
        below = (columns.pepper[b], columns.salt[b])
        for c in range(channels):
            black = -setup.mean[c] / setup.std[c]
            white = (np.float32(1.0) - setup.mean[c]) / setup.std[c]
            salt_and_pepper(planes[c], numbers, below, black, white)


def _compile(sources: int) -> tuple[Any, Any]:
    # See `augfeed.kernels` for what `sources` is good for.
    @njit(nogil=True, cache=True)
    def augment(
        images: Array, which: Ints, columns: Columns, setup: Setup, scale: float, out: Floats
    ) -> int:
        """Write rows `which` of a plan to `out`, float32 `[count, C, H, W]`.

        `images` is `[N, h, w, C]`, uint8 with `scale` 255 or float32 with `scale` 1.
        """
        channels, size = out.shape[1], (out.shape[2], out.shape[3])
        for b in which:
            planes = out[b].reshape(channels, size[0] * size[1])
            _pixels(images, b, size, columns, setup, scale, planes)
            _over(b, size, columns, setup, planes)
        return sources

    @njit(nogil=True, cache=True)
    def augment_as(
        images: Array, which: Ints, columns: Columns, setup: Setup, scale: float, kind: int,
        out: Array,
    ) -> int:  # fmt: skip
        """Write rows `which` of a plan to `out` `[count, C, H, W]`, of any strides and `kind`.

        `kind` is a code of `augfeed.kernels.store`.
        """
        channels, size = out.shape[1], (out.shape[2], out.shape[3])
        planes = np.empty((channels, size[0] * size[1]), np.float32)
        for b in which:
            _pixels(images, b, size, columns, setup, scale, planes)
            _over(b, size, columns, setup, planes)
            store(planes.reshape(channels, size[0], size[1]), kind, out[b])
        return sources

    return augment, augment_as


augment, augment_as = _compile(SOURCES)
