"""Stage 1: encoded pictures or arrays to the frames that an engine augments."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.kernels.resample import resample
from augfeed.memory import Memory
from augfeed.plan import Plan, Windows
from augfeed.plan.fixed import Fixed
from augfeed.plan.rows import samples_of
from augfeed.policy import Policy, RandomResizedCrop, Resize, resized
from augfeed.read.decode import decode, picture_size
from augfeed.read.sources import ArraySource, Source

Indices = NDArray[np.int64]


def resident_pictures(source: Source, policy: Policy) -> NDArray[Any] | None:
    """Return the pictures `[N, h, w, C]` if an engine can take them from memory as they are.

    So it is for arrays that a policy only cuts and pads by whole pixels; else None. Sample `i` is
    in row `source.rows(i)`.
    """
    if not isinstance(source, ArraySource) or policy.find(RandomResizedCrop) is not None:
        return None
    whole = resized(policy.find(Resize), source.sizes) == source.sizes
    return source.images if whole else None


def read_frames(
    source: Source,
    plan: Plan,
    rows: Indices,
    fixed: Fixed,
    memory: Memory,
    *,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return the frames of some rows of a plan, `[len(rows), H, W, C]`, cut and resized.

    uint8, or float32 for a source of floats; in `out` if that is given. Raises `ReadError` naming a
    file that cannot be read.
    """
    ids, draws = samples_of(plan.ids[rows]), plan.window.take(rows)
    if isinstance(source, ArraySource):
        windows = draws.at(*source.sizes)
        pictures: Iterator[NDArray[Any]] = (source.images[i] for i in source.rows(ids))
    else:
        encoded = [source.read(int(i)) for i in ids]
        names = [source.path(int(i)) for i in ids]
        sizes = np.array([picture_size(*item) for item in zip(encoded, names, strict=True)])
        windows = draws.at(sizes[:, 0], sizes[:, 1])
        pictures = (decode(data, name, source.channels, memory)
                    for data, name in zip(encoded, names, strict=True))  # fmt: skip
    dtype = source.images.dtype if isinstance(source, ArraySource) else np.uint8
    shape = (len(rows), *plan.size, source.channels)
    frames = memory.take(shape, dtype) if out is None else out
    for k, picture in enumerate(pictures):
        _cut(picture, windows, k, fixed, frames[k])
    return frames


def _cut(picture: Any, windows: Windows, k: int, fixed: Fixed, out: NDArray[Any]) -> None:
    box, size, offset = windows.box[k], windows.resized[k], windows.offset[k]
    resample(picture, box, size, offset, fixed.pad_mode, fixed.pad_fill, out)
