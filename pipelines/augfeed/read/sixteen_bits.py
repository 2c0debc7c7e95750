"""Images of 16 bits, whose white is 65535, as floats from 0 to 1."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

WHITE = 65535


def is_uint16(images: Any) -> bool:
    """Return whether it is a tensor or an array of whole numbers of 16 bits, from 0 on."""
    dtype = getattr(images, "dtype", None)
    # NumPy has two orders of bytes: files of other machines come in the other one.
    return dtype in (torch.uint16, np.uint16, np.dtype(">u2"), np.dtype("<u2"))


def unit_floats(array: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return uint16 as float32, 65535 as 1."""
    return array.astype(np.float32) / np.float32(WHITE)
