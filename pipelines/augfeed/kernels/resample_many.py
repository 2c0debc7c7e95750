"""What windows show of many images, in one call."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types  # type: ignore[attr-defined]
from numba.core.base import BaseContext
from numba.core.typing.context import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.pointers import Emitted, Number, Values
from augfeed.kernels.resample import _resample
from augfeed.kernels.types import Bytes, Floats, Ints


def _type_pointer(context: TypingContext, address: Number) -> Emitted:
    def emit(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), emit


_pointer: Any = intrinsic(_type_pointer)


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def show_pictures(
        pictures: Ints, box: Ints, resized: Ints, offset: Ints, filters: Ints, pad_mode: int,
        pad_fill: Floats, frames: Bytes,
    ) -> int:  # fmt: skip
        """Write what windows show of images to some of `frames`, uint8 `[N, H, W, C]`.

        `pictures` int64 `[n, 4]` are the address of each, uint8 `[h, w, C]` without gaps, its
        height and width, and the number of its frame; the others are those of `resample`, a row for
        each. Raises `ValueError` for a box that is not inside its image.
        """
        for k in range(pictures.shape[0]):
            address, height, width, number = pictures[k]
            image = carray(_pointer(address), (height, width, frames.shape[3]), np.uint8)
            _resample(image, box[k], resized[k], offset[k], filters[k], pad_mode, pad_fill,
                      frames[number])  # fmt: skip
        return sources

    return show_pictures


show_pictures = _compile(SOURCES)
