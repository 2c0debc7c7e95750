"""What a benchmark leaves behind: times, ratios, and what they were measured on."""

import re
import statistics
from collections.abc import Sequence
from typing import Literal

from augfeed.bench.machine import commit_here, machine_here, now, versions_of
from augfeed.bench.result import Machine, Model, Spread, Stamped

PACKAGES = (
    "torch", "numpy", "numba", "kornia", "simplejpeg", "pillow", "nvidia-dali-cuda130",
    "torchvision", "albumentationsx", "opencv-python-headless",
    "timm", "spdl", "lightly",
)  # fmt: skip


class Ratio(Model):
    """A ratio of two rates: of their medians, and the spread of the ratios round by round."""

    of_medians: float
    by_round: Spread

    @classmethod
    def of(cls, above: Sequence[float], below: Sequence[float]) -> "Ratio":
        """Return the ratio of two rows of times, measured in the same rounds."""
        pairs = zip(above, below, strict=True)
        return cls(
            of_medians=statistics.median(above) / statistics.median(below),
            by_round=Spread.of([a / b for a, b in pairs]),
        )


class Row(Model):
    """One contestant. `seconds` are those of one pass over the data, one for each round.

    `slower` is its time over augfeed's: how many times as fast augfeed is. `of_limit` is its rate
    over that of its limit, such as decoding alone.
    """

    name: str
    title: str
    work: Literal["whole", "basic", "decode", "copy"]
    differs: str
    passes: int
    seconds: tuple[float, ...]
    rate: Spread  # samples a second
    slower: Ratio
    of_limit: Ratio | None


class Result(Stamped):
    """One run of one benchmark."""

    schema_version: Literal[1] = 1
    suite: str
    title: str
    data: str
    samples: int
    batch: int
    chain: str
    rounds: int
    rows: tuple[Row, ...]

    def row(self, name: str) -> Row:
        """Return the row of a contestant."""
        return next(row for row in self.rows if row.name == name)


def versions_here() -> dict[str, str]:
    """Return the versions of Python and of what takes part."""
    return versions_of(PACKAGES)


def slug(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


__all__ = [
    "Machine",
    "Model",
    "Ratio",
    "Result",
    "Row",
    "Spread",
    "commit_here",
    "machine_here",
    "now",
    "slug",
    "versions_here",
]
