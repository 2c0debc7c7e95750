"""Rows for every element type and layout that batches are given out in, each with its limit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from benchmarks.chain import Augfeed
from benchmarks.contest import Contestant, D, Job, Passes
from benchmarks.data import Arrays

LESS = "no color, mixing, Cutout, noise; labels are numbers"
LIMIT = "nothing but a copy into memory used again and again: no crop, flip, normalization, labels"
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.uint8)


@dataclass(frozen=True)
class OutputFormat:
    """An element type and a layout."""

    dtype: torch.dtype
    channels_last: bool

    @property
    def name(self) -> str:
        """A name for a contestant."""
        return f"{str(self.dtype)[6:]}{'_last' if self.channels_last else ''}"

    @property
    def title(self) -> str:
        """The same in words."""
        return f"{str(self.dtype)[6:]}, {'channels last' if self.channels_last else 'planes'}"


FORMATS = tuple(OutputFormat(dtype, last) for dtype in DTYPES for last in (False, True))


def augfeed_as(job: Job[D], given: OutputFormat, source: Callable[[D], Any]) -> Passes:
    """Return passes of crop, flip and normalization; uint8 is not normalized."""
    chain = job.chain.only("crop", "flip")
    options = {"dtype": given.dtype, "channels_last": given.channels_last}
    return Augfeed(source(job.data), chain, batch=job.batch, threads=job.threads, **options)


def copied(job: Job[Arrays], given: OutputFormat) -> Passes:
    """Return passes of torch that take the bytes of batches and convert them, no more."""
    images = torch.from_numpy(job.data.images)
    images = images[..., None] if images.ndim == 3 else images
    layout = torch.channels_last if given.channels_last else torch.contiguous_format
    shape = (job.batch, images.shape[3], *images.shape[1:3])
    taken = torch.empty((job.batch, *images.shape[1:]), dtype=torch.uint8)
    out = torch.empty(shape, dtype=given.dtype, memory_format=layout)

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for which in torch.randperm(len(images)).view(-1, job.batch):
            torch.index_select(images, 0, which, out=taken)
            yield out.copy_(taken.movedim(3, 1)), None

    return one_pass


def contestants(source: Callable[[D], Any], limit: str) -> tuple[Contestant[D], ...]:
    """Return augfeed as every output; `limit` names the contestant that is the limit of all."""

    def row(given: OutputFormat) -> Contestant[D]:
        make = partial(augfeed_as, given=given, source=source)
        name, title = f"augfeed_{given.name}", f"augfeed, {given.title}"
        output = given.dtype, given.channels_last
        return Contestant(name, title, make, LESS, "basic", *output, limit)

    return tuple(row(given) for given in FORMATS)


def array_contestants() -> tuple[Contestant[Arrays], ...]:
    """Return augfeed as every output, each followed by torch's copy as its limit."""
    rows: list[Contestant[Arrays]] = []
    every: tuple[Contestant[Arrays], ...] = contestants(lambda data: (data.images, data.labels), "")
    for own, given in zip(every, FORMATS, strict=True):
        name = f"copy_{given.name}"
        title = f"index_select and copy_ of torch, {given.title}"
        make, output = partial(copied, given=given), (given.dtype, given.channels_last)
        rows.append(replace(own, limit=name))
        rows.append(Contestant(name, title, make, LIMIT, "copy", *output, name))
    return tuple(rows)
