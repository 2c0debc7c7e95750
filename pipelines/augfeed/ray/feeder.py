"""What an actor does: it opens the dataset once, and makes batches by their address."""

import hashlib
import platform
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from augfeed import __version__
from augfeed.batch import Batch
from augfeed.engines import Place, resolved_engine
from augfeed.executor import Work
from augfeed.feed.batch_requests import rows_of
from augfeed.pipeline import Pipeline, Request
from augfeed.plan.batch_rows import Ids, samples_of
from augfeed.ray.crops import Crops, CropWork, bytes_of_crop, bytes_of_image
from augfeed.ray.jobs import Address, Job
from augfeed.ray.shipment import Shipment, shipped
from augfeed.read.arrays import ArraySource
from augfeed.read.decode import reader_version
from augfeed.read.read_errors import ReadFailure


@dataclass(frozen=True, slots=True)
class Info:
    """What an actor knows of its job; equal for all that make the same batches.

    `image_bytes` and `crop_bytes` are what an image takes on its way, finished or as a crop.
    """

    fingerprint: str
    data: str
    length: int
    num_classes: int | None
    image_bytes: int = 0
    crop_bytes: int = 0


class Feeder:
    """The body of an actor: batches of one job, made by threads of its own.

    It forks no process, which Ray advises against within actors.
    """

    def __init__(self, threads: int, device: str) -> None:
        """Open nothing yet, so that what is wrong with the data is an error of `open`."""
        self._pool = ThreadPoolExecutor(threads, "augfeed")
        self._device = device
        self._kept: tuple[tuple[int, int], Ids] | None = None  # of an epoch and number of ranks
        self._newest, self._lock = -1, threading.Lock()  # epoch

    def open(self, job: Job) -> Info:
        """Open the dataset; raise what `Pipeline` raises for it."""
        self._job, self._pipeline = job, job.open(Place(self._device))
        pipeline = self._pipeline
        data, length = pipeline.source.fingerprint(), len(pipeline.source)
        return Info(
            self._fingerprint(pipeline, data), data, length, pipeline.num_classes,
            bytes_of_image(pipeline), bytes_of_crop(pipeline),
        )  # fmt: skip

    def batch(self, at: Address) -> Shipment:
        """Return a batch; raise what `Pipeline.batch` raises."""
        begun, request = time.perf_counter(), self._request(at)
        group = self._done(self._pipeline.works_of([request]))
        batch: Batch = group.take(0)
        return shipped(
            batch, request.rows, self._unread(request), time.perf_counter() - begun,
            channels_last=self._job.output.channels_last,
        )  # fmt: skip

    def crops(self, at: Address) -> Crops:
        """Return what a batch is made of: crops of its images, and its labels."""
        begun, request = time.perf_counter(), self._request(at)
        made: Crops = self._done(CropWork(self._pipeline, request))
        made.unread_files = self._unread(request)
        made.seconds = time.perf_counter() - begun
        return made

    def _done(self, work: "Work[Any] | CropWork") -> Any:
        for done in [self._pool.submit(task) for task in work.tasks]:
            done.result()
        return work.finish()

    def _request(self, at: Address) -> Request:
        order, policy = self._job.order, self._pipeline.policy
        rows = rows_of(
            self._order(at), order.batch_size, at.step, rank=at.rank, world=at.world,
            mixing=policy.mixes_in(at.epoch),
        )  # fmt: skip
        return Request(rows, at.step, at.epoch, self._job.seed)

    def _order(self, at: Address) -> Ids:
        with self._lock:  # actors make two batches at a time
            key = (at.epoch, at.world)
            if self._kept is None or self._kept[0] != key:
                self._kept = key, self._ordered(at)
            return self._kept[1]

    def _ordered(self, at: Address) -> Ids:
        job, pipeline = self._job, self._pipeline
        pipeline.begin()
        if at.epoch > self._newest:
            self._newest = at.epoch
            pipeline.log.begin(at.epoch)
        ids = pipeline.orders.get(
            len(pipeline.source), seed=job.seed, epoch=at.epoch, shuffle=job.order.shuffle
        )
        if job.repeats.count == 1:
            return ids
        mixing = pipeline.policy.mixes_in(at.epoch)
        sources = job.repeats.sources(
            job.order.batch_size, at.world, mixing=mixing, length=len(ids)
        )
        return job.repeats.order(ids, sources)

    def _unread(self, request: Request) -> tuple[ReadFailure, ...]:
        found = self._pipeline.log.of(request.epoch)
        if not found:
            return ()
        samples = set(samples_of(request.rows.ids).tolist())
        return tuple(failure for failure in found if failure.sample in samples)

    def _fingerprint(self, pipeline: Pipeline, data: str) -> str:
        # What bytes depend on beside the job: versions, engine, kind of machine.
        device, reading = torch.device(self._device), self._job.reading
        kind = platform.machine()
        if device.type == "cuda":
            kind = f"{torch.cuda.get_device_name(device)} {torch.version.cuda}"
        side = 0 if isinstance(pipeline.source, ArraySource) else pipeline.kept_side
        parts = [
            __version__, torch.__version__, version("numba"), reader_version(),
            resolved_engine(device, "auto"), device.type, kind, pipeline.reader,
            reading.on_error, data, str(side),
        ]  # fmt: skip
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
