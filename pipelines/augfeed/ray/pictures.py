"""Images that a call brings along, as a source whose frames are made like those of files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.memory_pool import Memory
from augfeed.plan import Plan
from augfeed.policy import Policy
from augfeed.read.frames import Found, Frames, Ready, size_of
from augfeed.read.read_config import Reading
from augfeed.read.read_errors import ReadFailureLog, RowSources

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Images of a batch: encoded ones, of which the header is read, or uint8 `[H, W, C]`.

    `sizes` is (height, width) if all have that size.
    """

    found: Sequence[Found]
    channels: int
    sizes: tuple[int, int] | None

    @classmethod
    def of(cls, found: Sequence[Found], channels: int) -> "Pictures":
        """Return the images of a batch."""
        sizes = set(map(size_of, found))
        return cls(found, channels, sizes.pop() if len(sizes) == 1 else None)

    def __len__(self) -> int:
        return len(self.found)


class PictureFrames(Frames):
    """Frames of images that are there; a row of the plan is the image of that number."""

    def __init__(self, pictures: Pictures, ids: Rows, policy: Policy, memory: Memory) -> None:
        """Make nothing yet; `ids` name images in messages."""
        source: Any = pictures
        super().__init__(source, policy, memory, Reading(), ReadFailureLog())
        self._found, self._ids = pictures.found, ids

    def prepare(self, plan: Plan, rows: Rows, taken: RowSources) -> Ready:
        """Return what the frames of some rows are to be made of."""
        found = [self._found[row] for row in rows.tolist()]
        sizes = np.array([size_of(one) for one in found], np.int64).reshape(-1, 2)
        draws = plan.window.take(rows)
        try:
            windows = draws.at(sizes[:, 0], sizes[:, 1])
        except InputError:  # an image that is smaller than its crop: one by one, to name it
            for k, row in enumerate(rows.tolist()):
                try:
                    plan.window.take(rows[k : k + 1]).at(sizes[k : k + 1, 0], sizes[k : k + 1, 1])
                except InputError as error:
                    raise InputError(f"image of id {self._ids[row]}: {error}") from None
            raise
        return Ready(plan, rows, taken, found, windows)
