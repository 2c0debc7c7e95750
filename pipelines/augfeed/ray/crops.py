"""Crops: what actors ship where the training augments, and how it makes batches of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import Output, Place
from augfeed.errors import InputError
from augfeed.executor import BatchWork, Driver, Execution, FrameSet, Planned, Task
from augfeed.executor.device import BufferedFrames, DeviceHandle
from augfeed.executor.inputs import BatchInputs
from augfeed.executor.workers import WorkerExecutor
from augfeed.fields.annotated import FieldTargets
from augfeed.memory_pool import Memory
from augfeed.pipeline import Pipeline, Request
from augfeed.plan import BatchRows
from augfeed.policy import Policy
from augfeed.ray.jobs import Job
from augfeed.ray.shipment import Unpacker, packed, unpacked
from augfeed.read.arrays import ArraySource
from augfeed.read.read_errors import ReadFailure
from augfeed.stage_costs import Costs
from augfeed.targets import AnyTargets
from augfeed.wire import is_fields


@dataclass(slots=True)
class Crops:
    """What a batch is made of, on its way.

    `images` `[M, h, w, C]` uint8, or float32, are those of all `rows`, partners included; `uncut`
    ones are whole images in memory, which the engine cuts. `ids` and `unread` `[M]` say whose
    images they are. `seconds` is how long they were made.
    """

    images: NDArray[Any]
    uncut: bool
    targets: Any
    rows: BatchRows
    ids: NDArray[np.int64]
    unread: NDArray[np.bool_]
    epoch: int
    step: int
    unread_files: tuple[ReadFailure, ...] = ()
    seconds: float = 0.0

    @property
    def nbytes(self) -> int:
        """The bytes of the images."""
        return self.images.nbytes


# Where crops are made


class CropWork:
    """Crops in the making: `tasks` run in any thread and order, then `finish`."""

    def __init__(self, pipeline: Pipeline, request: Request) -> None:
        """Draw the plan; nothing is read yet."""
        stage = pipeline.at(request.epoch)
        given: Any = stage.works_of([request])
        driver: Driver = given.driver
        executor: Any = driver.executor
        self.inputs: BatchInputs = executor.inputs
        self._keeper = Keeper(self.inputs)
        self._request = request
        self._work = BatchWork(replace(driver, executor=self._keeper), [request])

    @property
    def tasks(self) -> Sequence[Task]:
        """What may run side by side."""
        return self._work.tasks

    def finish(self) -> Crops:
        """Return the crops, once all tasks have run."""
        planned, request = self._work.planned, self._request
        targets = planned.targets()
        given = targets.value if isinstance(targets, FieldTargets) else targets
        frames: Any = self._work.execution.frames
        return Crops(
            frames.buffer.numpy(), self.inputs.pictures is not None, packed(given), request.rows,
            planned.taken.ids, planned.taken.unread, request.epoch, request.step,
        )  # fmt: skip


class Keeper:
    """Carries a plan out as far as its frames."""

    def __init__(self, inputs: BatchInputs) -> None:
        """Take what batches are made of."""
        self.inputs = inputs

    def start(self, planned: Planned) -> Execution:
        """Return what makes the frames of a plan, and what leaves them as they are."""
        return Execution(BufferedFrames(self.inputs, planned, pinned=False), _Nothing())


class _Nothing:
    # The engine of those who make crops alone: the work that is queued is another process's.

    def queue(self, work: Task) -> None:
        pass

    def load(self, frames: FrameSet) -> torch.Tensor:
        return frames.images

    def apply(self, frames: FrameSet, images: torch.Tensor) -> None:
        pass

    def label(self, frames: FrameSet) -> None:
        pass

    def take(self, k: int) -> tuple[torch.Tensor, AnyTargets]:
        raise InputError(f"batch {k} is not made here: its crops are")


# Where they become batches


class Finisher:
    """Makes batches of crops, on the device of the training or its CPU."""

    def __init__(self, job: Job, place: Place) -> None:
        """Touch no device yet."""
        self.job, self.handle = job, DeviceHandle(place)
        self._memory, self._costs = Memory(), Costs()

    def work(self, came: Crops, unpacker: Unpacker) -> BatchWork[Request]:
        """Return a batch in the making; what came is copied, as the object store is not ours."""
        job, images = self.job, unpacker.copied(came.images)
        policy: Policy = job.policy.at(came.epoch)
        size = policy.size(_sides(images)) if came.uncut else _sides(images)
        targets = unpacked(came.targets, unpacker.copied, came.rows.count)
        if is_fields(targets):
            targets = FieldTargets.of(targets, came.rows.count)
        executor = WorkerExecutor(images, self.handle, job.output, self._memory, uncut=came.uncut)
        driver = Driver(
            executor, policy, size, lambda plan, taken: targets, self._costs,
            skip=job.reading.on_error == "skip",
        )  # fmt: skip
        request = Request(came.rows, came.step, came.epoch, job.seed)
        work = BatchWork(driver, [request])
        taken = work.planned.taken
        taken.ids[:], taken.unread[:] = came.ids, came.unread
        return work


def _sides(images: torch.Tensor) -> tuple[int, int]:
    height, width = images.shape[1:3]
    return height, width


# Which of both takes fewer bytes


def bytes_of_image(pipeline: Pipeline) -> int:
    """Return the bytes of a finished image."""
    return pipeline.fixed.channels * math.prod(pipeline.size) * _itemsize(pipeline.output)


def bytes_of_crop(pipeline: Pipeline) -> int:
    """Return the bytes of a crop: of an array that the engine cuts, those of the whole image."""
    source = pipeline.source
    if not isinstance(source, ArraySource):
        return pipeline.fixed.channels * math.prod(pipeline.size)
    if pipeline.in_memory:
        return math.prod(source.images.shape[1:]) * source.images.itemsize
    return pipeline.fixed.channels * math.prod(pipeline.size) * source.images.itemsize


def _itemsize(output: Output) -> int:
    return output.dtype.itemsize
