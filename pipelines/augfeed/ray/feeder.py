"""What an actor does: it opens the dataset once, and makes batches by their address."""

import hashlib
import platform
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from augfeed import __version__
from augfeed.engines import Output, Place, resolved_engine
from augfeed.invariances import Invariances
from augfeed.pipeline import Order, Pipeline
from augfeed.policy import Policy
from augfeed.ray.shipment import Shipment, shipped
from augfeed.read.arrays import ArraySource
from augfeed.read.decode import reader_version
from augfeed.read.read_config import Reading
from augfeed.read.sources import open_source
from augfeed.targets import Form


@dataclass(frozen=True, slots=True)
class Address:
    """Which batch of a job: of which epoch, step and rank, of how many ranks."""

    epoch: int
    step: int
    rank: int = 0
    world: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """All that the batches of a loader depend on, but for machine and versions."""

    data: Any
    policy: Policy
    seed: int
    order: Order  # of one rank alone
    output: Output
    form: Form
    reading: Reading
    split: str = "train"
    num_classes: int | None = None
    invariances: Invariances | str | None = None
    allow: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Info:
    """What an actor knows of its job; equal for all that make the same batches."""

    fingerprint: str
    data: str
    length: int
    num_classes: int | None


class Feeder:
    """The body of an actor: batches of one job, made by threads of its own.

    It forks no process, which Ray advises against within actors.
    """

    def __init__(self, threads: int, device: str) -> None:
        """Open nothing yet, so that what is wrong with the data is an error of `open`."""
        self._pool = ThreadPoolExecutor(threads, "augfeed")
        self._device = device

    def open(self, job: Job) -> Info:
        """Open the dataset; raise what `Pipeline` raises for it."""
        self._job, source = job, open_source(job.data, split=job.split)
        place = Place(self._device)
        self._whole = Pipeline(
            source, job.policy, order=job.order, seed=job.seed, output=job.output,
            targets=job.form, place=place, reading=job.reading,
        )  # fmt: skip
        self._whole.declare(job.num_classes)
        self._whole.check(job.invariances, job.allow)
        self._ranked: tuple[tuple[int, int], Pipeline] = ((0, 1), self._whole)
        data = self._whole.source.fingerprint()
        return Info(self._fingerprint(data), data, len(source), self._whole.num_classes)

    def batch(self, at: Address) -> Shipment:
        """Return a batch; raise what `Pipeline.batch` raises."""
        begun = time.perf_counter()
        work = self._pipeline(at.rank, at.world).work(at.epoch, at.step)
        for done in [self._pool.submit(task) for task in work.tasks]:
            done.result()
        batch = work.finish()
        taken = time.perf_counter() - begun
        return shipped(batch, taken, channels_last=self._job.output.channels_last)

    def _pipeline(self, rank: int, world: int) -> Pipeline:
        known, made = self._ranked
        if known != (rank, world):
            given = self._job.order
            order = Order(given.batch_size, given.shuffle, given.drop_last, rank, world)
            made = self._whole.for_rank(order)
            self._ranked = (rank, world), made
        return made

    def _fingerprint(self, data: str) -> str:
        # What bytes depend on beside the job: versions, engine, kind of machine.
        device, reading = torch.device(self._device), self._job.reading
        kind = platform.machine()
        if device.type == "cuda":
            kind = f"{torch.cuda.get_device_name(device)} {torch.version.cuda}"
        side = 0 if isinstance(self._whole.source, ArraySource) else self._whole.kept_side
        parts = [
            __version__, torch.__version__, version("numba"), reader_version(),
            resolved_engine(device, "auto"), device.type, kind, self._whole.reader,
            reading.on_error, data, str(side),
        ]  # fmt: skip
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
