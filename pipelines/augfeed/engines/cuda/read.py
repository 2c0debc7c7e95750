"""Pixels of a row of the plan: in wide words where they lie side by side, else one by one."""

import triton
import triton.language as tl

from augfeed.engines.cuda.fields import BORDER_FILL, PAD_FILL, load_float
from augfeed.engines.cuda.sample import direct, warped
from augfeed.engines.cuda.wide import clear_words, warped_words
from augfeed.engines.cuda.words import read_groups


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
def load_fills(table):
    """Return what lies outside of pictures: by padding, and by the border rule."""
    return load_float(table + PAD_FILL), load_float(table + BORDER_FILL)


@triton.jit
def load_frame(words, images, row, size, C: tl.constexpr, PAD: tl.constexpr, FLIP: tl.constexpr):
    """Return the picture of a row, as words and as values, and how the frame lies in it.

    That is: its top, its left, whether it is mirrored along x, along y. `words` is of use only
    where pictures begin at words.
    """
    pitch = (size[2] * size[3] * C).to(tl.int64)
    start = tl.load(row).to(tl.int64) * pitch
    top, left, flips = 0, 0, 0
    if PAD >= 0:
        top, left = tl.load(row + 1), tl.load(row + 2)
    if FLIP:
        flips = tl.load(row + 3)
    return words + (start >> 2), images + start, top, left, (flips & 1) != 0, (flips & 2) != 0


@triton.jit
def read_frame(
    frame, y, x, gy, gx, mask, group, size, fill, C: tl.constexpr, PAD: tl.constexpr,
    FLIP: tl.constexpr, VEC: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    """Return pixels of the frame of a row, moved by nothing but flips, in the images' units.

    `(gy, gx)` and `group` are the first pixels of the groups and whether they are wanted; `size` is
    (output height, output width, pictures' height, pictures' width).
    """
    words, images, top, left, flip_x, flip_y = frame
    if VEC == 1:
        return direct(images, y, x, mask, top, left, flip_x, flip_y, size, fill, C, PAD)
    else:
        sx = tl.where(flip_x, size[1] - VEC - gx, gx) + left
        sy = tl.where(flip_y, size[0] - 1 - gy, gy) + top
        at = (sy * size[3] + sx) * C
        if PAD < 0:
            return read_groups(words, at, group, flip_x, C, FLIP, VEC, ALIGNED)
        else:
            inside = (sx >= 0) & (sx + VEC <= size[3]) & (sy >= 0) & (sy < size[2])
            v0, v1, v2 = read_groups(words, at, group & inside, flip_x, C, FLIP, VEC, ALIGNED)
            whole = (top >= 0) & (left >= 0)
            whole = whole & (top + size[0] <= size[2]) & (left + size[1] <= size[3])
            if not whole:
                # The same question for the group of every pixel; what is not inside comes in bytes.
                ox = tl.where(flip_x, size[1] - VEC - x // VEC * VEC, x // VEC * VEC) + left
                oy = tl.where(flip_y, size[0] - 1 - y, y) + top
                within = (ox >= 0) & (ox + VEC <= size[3]) & (oy >= 0) & (oy < size[2])
                b0, b1, b2 = direct(images, y, x, mask & (within == 0), top, left, flip_x, flip_y,
                                    size, fill, C, PAD)  # fmt: skip
                v0 = tl.where(within, v0, b0)
                v1 = tl.where(within, v1, b1)
                v2 = tl.where(within, v2, b2)
            return v0, v1, v2


@triton.jit
def moved(
    frame, matrix, y, x, gy, gx, mask, group, clear, size, fills, C: tl.constexpr,
    PAD: tl.constexpr, FLIP: tl.constexpr, VEC: tl.constexpr, ALIGNED: tl.constexpr,
    WARP: tl.constexpr, BORDER: tl.constexpr, PERSPECTIVE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Return pixels of a row wherever its geometry takes them from; see `read_frame`.

    `matrix` is of `load_matrix`, where anything is warped; `clear` says of a tile that no border is
    near.
    """
    if WARP < 0:
        v0, v1, v2 = read_frame(frame, y, x, gy, gx, mask, group, size, fills[0], C, PAD, FLIP,
                                VEC, ALIGNED)  # fmt: skip
    else:
        if matrix[9]:
            if WIDE:
                if clear:
                    v0, v1, v2 = clear_words(frame[0], matrix, y, x, frame[2], frame[3], size, C,
                                             PAD)  # fmt: skip
                else:
                    v0, v1, v2 = warped_words(frame[0], matrix, y, x, mask, frame[2], frame[3],
                                              size, fills[0], fills[1], C, PAD, BORDER,
                                              PERSPECTIVE)  # fmt: skip
            else:
                v0, v1, v2 = warped(frame[1], matrix, y, x, mask, frame[2], frame[3], size,
                                    fills[0], fills[1], C, PAD, BORDER, PERSPECTIVE)  # fmt: skip
        else:
            v0, v1, v2 = read_frame(frame, y, x, gy, gx, mask, group, size, fills[0], C, PAD, FLIP,
                                    VEC, ALIGNED)  # fmt: skip
    return v0, v1, v2
