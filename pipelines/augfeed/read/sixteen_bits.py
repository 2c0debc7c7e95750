"""Images of 16 bits, whose white is 65535, as floats from 0 to 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError

WHITE = 65535
BYTE = 255  # white of 8 bits


@dataclass(slots=True)
class WhiteCheck:
    """Whether uint16 images are of 8 bits by mistake.

    The type alone says what is white, in every lane: 65535. Images of 8 bits in uint16 would be all
    but black, so a first batch without any value above 255 is refused. Once there is one, a dark
    image is taken for what it is.
    """

    found: bool = False  # whether a value above 255 has been seen

    def check(self, images: Sequence[Any], name: str = "images") -> None:
        """Look at the uint16 ones of a batch, arrays or tensors; raise `InputError`."""
        if self.found:
            return
        most = max((_most(image) for image in images if is_uint16(image)), default=0)
        self.found = most > BYTE
        if 1 < most <= BYTE:
            raise InputError(
                f"{name} of dtype uint16 have no value above {most}, and their white is {WHITE}: "
                f"convert them to uint8, whose white is {BYTE}, or, if they are that dark, give "
                f"floats, as images / {WHITE}"
            )


def _most(image: Any) -> int:
    values = image.cpu().numpy() if isinstance(image, torch.Tensor) else image
    return int(values.max(initial=0))


def is_uint16(images: Any) -> bool:
    """Return whether it is a tensor or an array of whole numbers of 16 bits, from 0 on."""
    dtype = getattr(images, "dtype", None)
    # NumPy has two orders of bytes: files of other machines come in the other one.
    return dtype in (torch.uint16, np.uint16, np.dtype(">u2"), np.dtype("<u2"))


def unit_floats(array: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return uint16 as float32, 65535 as 1."""
    return array.astype(np.float32) / np.float32(WHITE)
