"""Memory for images of several plans that come out as one tensor."""

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

Images = tuple[NDArray[Any], torch.Tensor]  # an array for the loops, and the tensor given out


class JoinedImages:
    """Hands out one piece of memory after another, which lie side by side in `tensor`.

    To join the images of views afterwards would copy more bytes than their decoded photo has.
    """

    def __init__(self, count: int) -> None:
        """Take the number of images of all plans."""
        self._count, self._first = count, 0
        self._images: Images | None = None

    @property
    def tensor(self) -> torch.Tensor | None:
        """All images `[N, C, H, W]`; None if nobody took a piece, as on a GPU."""
        return None if self._images is None else self._images[1]

    def take(self, count: int, empty: Callable[[int], Images]) -> Images:
        """Return memory for the next `count` images; `empty` makes that of all, the first time."""
        array, tensor = self._images = self._images or empty(self._count)
        part = slice(self._first, self._first + count)
        self._first = part.stop
        return array[part], tensor[part]
