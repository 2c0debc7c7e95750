"""Pixels of a row of the plan: in wide words where they lie side by side, else one by one."""

import triton
import triton.language as tl

from augfeed.engines.cuda.frames import frame_pitch
from augfeed.engines.cuda.sample import CONSTANT, bicubic, direct, nearest, warped
from augfeed.engines.cuda.table_layout import (
    BICUBIC,
    BORDER_FILL,
    ONLY_BICUBIC,
    ONLY_BILINEAR,
    ONLY_NEAREST,
    PAD_FILL,
    load_float,
)
from augfeed.engines.cuda.vector_io import read_groups
from augfeed.engines.cuda.warp_wide import clear_words, warped_words


@triton.jit
def places(p, g, width, factor, shift, VEC: tl.constexpr):
    """Return lines and columns of pixels `p`, and of the first pixels `g` of their groups.

    A group never crosses the end of a line, so that one quotient serves all of it. It is a product:
    `factor` and `shift` are those of `augfeed.engines.cuda.launch.reciprocal`.
    """
    twice = (g * 2).to(tl.uint32)
    # Not `to`: of an argument that is 1 Triton makes a constant, which has none.
    over, by = tl.cast(factor, tl.uint32), tl.cast(shift, tl.uint32)
    gy = (tl.umulhi(twice, over) >> by).to(tl.int32)
    gx = g - gy * width
    if VEC == 1:
        return gy, gx, gy, gx
    else:
        G: tl.constexpr = g.shape[0]
        y = tl.reshape(tl.broadcast_to(gy[:, None], [G, VEC]), [G * VEC])
        return y, p - y * width, gy, gx


@triton.jit
def tiled(top, left, width, TILE: tl.constexpr, BLOCK: tl.constexpr, VEC: tl.constexpr):
    """Return pixels, their lines and columns, and those of groups, of a tile.

    Tiles are `TILE` pixels wide. What a warp reads for one of them, turned, lies on fewer lines
    than for as many pixels of one line.
    """
    i, g = tl.arange(0, BLOCK), tl.arange(0, BLOCK // VEC) * VEC
    y, x = top + i // TILE, left + i % TILE
    return y * width + x, y, x, top + g // TILE, left + g % TILE


@triton.jit
def in_box(gy, gx, box, VEC: tl.constexpr):
    """Return which pixels of groups lie in a box: top, left, bottom and right."""
    # What is left of it is a large unsigned number, so that a pixel takes one comparison; beyond
    # its lines it has no width.
    line = (gy >= box[0]) & (gy < box[2])
    width = tl.where(line, tl.maximum(box[3] - box[1], 0), 0)
    at = gx - box[1]
    if VEC > 1:
        G: tl.constexpr = gx.shape[0]
        at = tl.reshape(at[:, None] + tl.arange(0, VEC)[None, :], [G * VEC])
        width = tl.reshape(tl.broadcast_to(width[:, None], [G, VEC]), [G * VEC])
    return at.to(tl.uint32) < width.to(tl.uint32)


@triton.jit
def load_fills(table, EACH: tl.constexpr):
    """Return what lies outside of images, three values each: by padding, and by the border rule.

    `EACH` says whether the channels have values of their own.
    """
    pad, border = load_float(table + PAD_FILL), load_float(table + BORDER_FILL)
    if EACH:
        return (
            pad, load_float(table + PAD_FILL + 1), load_float(table + PAD_FILL + 2),
            border, load_float(table + BORDER_FILL + 1), load_float(table + BORDER_FILL + 2),
        )  # fmt: skip
    else:
        return pad, pad, pad, border, border, border


@triton.jit
def size_of(row, size, PAD: tl.constexpr, MADE: tl.constexpr):
    """Return `size` for what a row reads: a frame that was made before has the output's sides."""
    if PAD < 0 or MADE < 0:
        return size
    else:
        made = tl.load(row + MADE) >= 0
        return (
            size[0], size[1], tl.where(made, size[0], size[2]), tl.where(made, size[1], size[3])
        )  # fmt: skip


@triton.jit
def load_frame(
    words, images, frame_words, frames, row, size, C: tl.constexpr, PAD: tl.constexpr,
    FLIP: tl.constexpr, MADE: tl.constexpr,
):  # fmt: skip
    """Return the image of a row, as words and as values, and how the frame lies in it.

    That is: its top, its left, whether it is mirrored along x, along y. `words` is of use only
    where images begin at words. `MADE` is where a row names its frame among `frames`, -1 where
    none are made before.
    """
    pitch = (size[2] * size[3] * C).to(tl.int64)
    start = tl.load(row).to(tl.int64) * pitch
    words, values = words + (start >> 2), images + start
    top, left, flips = 0, 0, 0
    if PAD >= 0:
        top, left = tl.load(row + 1), tl.load(row + 2)
    if FLIP:
        flips = tl.load(row + 3)
    if MADE >= 0:
        own = tl.load(row + MADE)
        at = own.to(tl.int64) * frame_pitch(size[0], size[1], C)
        words = tl.where(own < 0, words, frame_words + (at >> 2))
        values = tl.where(own < 0, values, frames + at)
        if PAD >= 0:
            top, left = tl.where(own < 0, top, 0), tl.where(own < 0, left, 0)
    return words, values, top, left, (flips & 1) != 0, (flips & 2) != 0


@triton.jit
def _is_whole(top, left, size):
    # Whether a frame has nothing from outside of an image.
    below = (top >= 0) & (left >= 0)
    return below & ((top + size[0] <= size[2]) & (left + size[1] <= size[3]))


@triton.jit
def _padded(
    frame, at, gy, gx, group, count, size, fills, C: tl.constexpr, FLIP: tl.constexpr,
    VEC: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    # Groups of a frame in which an image is a box, and the rest a fill: what they have from beside
    # a line of the image is read and not used.
    words, _, top, left, flip_x, flip_y = frame
    y0 = tl.where(flip_y, size[0] + top - size[2], -top)
    x0 = tl.where(flip_x, size[1] + left - size[3], -left)
    box = (y0, x0, y0 + size[2], x0 + size[3])
    line = (gy >= box[0]) & (gy < box[2])
    touched = group & (line & (gx + VEC > box[1]) & (gx < box[3]))
    v0, v1, v2 = read_groups(words, at, touched, flip_x, count, C, FLIP, VEC, ALIGNED, True)
    if not _is_whole(top, left, size):
        within = in_box(gy, gx, box, VEC)
        v0 = tl.where(within, v0, fills[0])
        v1 = tl.where(within, v1, fills[1])
        v2 = tl.where(within, v2, fills[2])
    return v0, v1, v2


@triton.jit
def read_frame(
    frame, y, x, gy, gx, mask, group, size, fills, C: tl.constexpr, PAD: tl.constexpr,
    FLIP: tl.constexpr, VEC: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Return pixels of the frame of a row, moved by nothing but flips, in the images' units.

    `(gy, gx)` and `group` are the first pixels of the groups and whether they are wanted; `size` is
    (output height, output width, images' height, images' width).
    """
    words, images, top, left, flip_x, flip_y = frame
    if VEC == 1:
        return direct(images, y, x, mask, top, left, flip_x, flip_y, size, fills, C, PAD)
    else:
        sx = tl.where(flip_x, size[1] - VEC - gx, gx) + left
        sy = tl.where(flip_y, size[0] - 1 - gy, gy) + top
        at = (sy * size[3] + sx) * C
        count = tl.cast(size[2] * size[3] * C // 4, tl.uint32)
        if PAD < 0:
            return read_groups(words, at, group, flip_x, count, C, FLIP, VEC, ALIGNED, False)
        elif PAD == CONSTANT:
            return _padded(frame, at, gy, gx, group, count, size, fills, C, FLIP, VEC, ALIGNED)
        else:
            inside = (sx >= 0) & (sx + VEC <= size[3]) & (sy >= 0) & (sy < size[2])
            v0, v1, v2 = read_groups(words, at, group & inside, flip_x, count, C, FLIP, VEC,
                                     ALIGNED, False)  # fmt: skip
            if not _is_whole(top, left, size):
                # The same question for the group of every pixel; what is not inside comes in bytes.
                ox = tl.where(flip_x, size[1] - VEC - x // VEC * VEC, x // VEC * VEC) + left
                oy = tl.where(flip_y, size[0] - 1 - y, y) + top
                within = (ox >= 0) & (ox + VEC <= size[3]) & (oy >= 0) & (oy < size[2])
                b0, b1, b2 = direct(images, y, x, mask & (within == 0), top, left, flip_x, flip_y,
                                    size, fills, C, PAD)  # fmt: skip
                v0 = tl.where(within, v0, b0)
                v1 = tl.where(within, v1, b1)
                v2 = tl.where(within, v2, b2)
            return v0, v1, v2


@triton.jit
def _bilinear(
    frame, matrix, y, x, mask, clear, size, fills, C: tl.constexpr, PAD: tl.constexpr,
    BORDER: tl.constexpr, PERSPECTIVE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    if WIDE:
        if clear:
            v0, v1, v2 = clear_words(frame[0], matrix, y, x, frame[2], frame[3], size, C, PAD)
        else:
            v0, v1, v2 = warped_words(frame[0], matrix, y, x, mask, frame[2], frame[3], size,
                                      fills, C, PAD, BORDER, PERSPECTIVE)  # fmt: skip
    else:
        v0, v1, v2 = warped(frame[1], matrix, y, x, mask, frame[2], frame[3], size, fills, C, PAD,
                            BORDER, PERSPECTIVE)  # fmt: skip
    return v0, v1, v2


@triton.jit
def moved(
    frame, matrix, y, x, gy, gx, mask, group, clear, size, fills, C: tl.constexpr,
    PAD: tl.constexpr, FLIP: tl.constexpr, VEC: tl.constexpr, ALIGNED: tl.constexpr,
    WARP: tl.constexpr, BORDER: tl.constexpr, PERSPECTIVE: tl.constexpr, FILTERS: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """Return pixels of a row wherever its geometry takes them from; see `read_frame`.

    `matrix` is of `load_matrix`, where anything is warped; `clear` says of a tile that no border is
    near. `FILTERS` has a bit for each filter that a row may have.
    """
    if WARP < 0:
        v0, v1, v2 = read_frame(frame, y, x, gy, gx, mask, group, size, fills, C, PAD, FLIP,
                                VEC, ALIGNED)  # fmt: skip
    else:
        if matrix[9]:
            if FILTERS == ONLY_NEAREST:
                v0, v1, v2 = nearest(frame[1], matrix, y, x, mask, frame[2], frame[3], size, fills,
                                     C, PAD, BORDER, PERSPECTIVE)  # fmt: skip
            elif FILTERS == ONLY_BICUBIC:
                v0, v1, v2 = bicubic(frame[1], matrix, y, x, mask, frame[2], frame[3], size, fills,
                                     C, PAD, BORDER, PERSPECTIVE)  # fmt: skip
            elif FILTERS == ONLY_BILINEAR:
                v0, v1, v2 = _bilinear(frame, matrix, y, x, mask, clear, size, fills, C, PAD,
                                       BORDER, PERSPECTIVE, WIDE)  # fmt: skip
            else:
                if matrix[10] == BICUBIC:
                    v0, v1, v2 = bicubic(frame[1], matrix, y, x, mask, frame[2], frame[3], size,
                                         fills, C, PAD, BORDER, PERSPECTIVE)  # fmt: skip
                else:
                    v0, v1, v2 = _bilinear(frame, matrix, y, x, mask, clear, size, fills, C, PAD,
                                           BORDER, PERSPECTIVE, WIDE)  # fmt: skip
        else:
            v0, v1, v2 = read_frame(frame, y, x, gy, gx, mask, group, size, fills, C, PAD, FLIP,
                                    VEC, ALIGNED)  # fmt: skip
    return v0, v1, v2
