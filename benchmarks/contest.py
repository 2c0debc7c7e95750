"""What is measured: contestants, and the job that each of them is given."""

from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import torch

from benchmarks.chain import Chain

D = TypeVar("D", bound=Sized)
D_co = TypeVar("D_co", bound=Sized, covariant=True)
# `whole`: the whole chain; `basic`: crop, flip and normalization; `decode`: nothing but decoding,
# the limit of what reads files; `copy`: taking the bytes of a batch and converting them, the limit
# of what is in memory.
Work = Literal["whole", "basic", "decode", "copy"]
# Called for each pass over the data; yields `(images, targets)`.
Passes = Callable[[], Iterator[tuple[Any, Any]]]


@dataclass(frozen=True)
class Job(Generic[D]):
    """The data, the chain, and what a contestant may use.

    `workers` is a number of worker processes, for those who work so; 0: the calling process.
    """

    data: D
    chain: Chain
    classes: int
    batch: int
    threads: int
    workers: int


@dataclass(frozen=True)
class Contestant(Generic[D]):
    """One way to do the work; `differs` says what it leaves out or does otherwise.

    `dtype` and `channels_last` are those of its images, `limit` is the contestant whose rate is the
    most that it can reach, if that one runs.
    """

    name: str
    title: str
    make: Callable[[Job[D]], Passes]
    differs: str = ""
    work: Work = "whole"
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    limit: str = "decoding"


class Probes(Protocol[D_co]):
    """Data made to see one part of the chain at a time."""

    def alike(self, count: int) -> D_co:
        """Return samples that are all the same image, one with a gradient."""

    def extremes(self, count: int) -> D_co:
        """Return samples black (class 0) and white (class 1) by turns."""


@dataclass(frozen=True)
class Suite(Generic[D]):
    """One question: a job, who does it, and the probes for the gate."""

    name: str
    title: str
    data: str
    job: Job[D]
    contestants: tuple[Contestant[D], ...]
    probes: Probes[D]
