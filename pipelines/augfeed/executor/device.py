"""Batches by an engine of any device: frames or row numbers and a plan go there, ahead of time, on
a side stream."""

import threading
from typing import Any

import numpy as np
import torch

from augfeed.engines import Engine, Output, Place, engine_for, indexed
from augfeed.errors import InputError
from augfeed.executor import Execution, FrameReader, FrameSet, Indices, Planned, Task, onto
from augfeed.executor.cpu import READ_ROWS
from augfeed.executor.inputs import BatchInputs
from augfeed.executor.scenes import SceneReader
from augfeed.memory_pool import writable
from augfeed.prefetch import SideStream, stream_number
from augfeed.read.device_frames import DeferredFrame
from augfeed.targets import AnyTargets

SHARE = 0.25  # of a GPU's free memory that a dataset may take without being told to

# Of batches that a device makes as one: rows, bytes, and the part of a GPU's memory if that is
# more. The host takes as long for a plan of 256 rows as it takes for 1,000 more.
DEVICE_ROWS, DEVICE_BYTES, DEVICE_SHARE = 16_384, 64 << 20, 128


class DeviceHandle:
    """A device with its engine and a side stream, all of which are first touched when asked for.

    A copy, in another process too, uses the device again.
    """

    def __init__(self, place: Place) -> None:
        """Touch nothing yet."""
        self.place = place
        self._lock = threading.Lock()
        self._device: torch.device | None = None
        self._aside: SideStream | None = None
        self._engine: Engine | None = None

    def __reduce__(self) -> tuple[type["DeviceHandle"], tuple[Place]]:
        return DeviceHandle, (self.place,)

    @property
    def on_cpu_alone(self) -> bool:
        """Whether the engine is that for CPUs, whose images are made where the frames are."""
        return self.place.engine_name == "cpu"

    @property
    def device(self) -> torch.device:
        """The device with its number; found out when it is first asked for, by the caller."""
        with self._lock:
            self._device = self._device or indexed(self.place.known)
            return self._device

    @property
    def engine(self) -> Engine:
        """The engine; made when it is first asked for, so that building touches no device."""
        if self._engine is None:
            self._engine = engine_for(self.device, self.place.engine)
        return self._engine

    @property
    def side_stream(self) -> SideStream:
        """The stream that batches are made on."""
        device = self.device
        with self._lock:
            self._aside = self._aside or SideStream(device)
            return self._aside


class DeviceExecutor:
    """Carries plans out on a device; a dataset in its memory is copied there once."""

    def __init__(self, inputs: BatchInputs, place: Place) -> None:
        """Touch nothing yet; raise `InputError` for a dataset that cannot be resident."""
        if place.resident and inputs.pictures is None:
            raise InputError(
                "resident=True is for images in memory that the policy does not resize, and "
                f"{inputs.source!r} under this policy is not that: use resident=None"
            )
        self.inputs, self.place, self.handle = inputs, place, DeviceHandle(place)
        self._lock = threading.Lock()
        self._asked = False
        self._pictures: torch.Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy, in another process too, copies the dataset again.
        return {**self.__dict__, "_lock": None, "_asked": False, "_pictures": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine; made when it is first asked for."""
        return self.handle.engine

    @property
    def resident(self) -> bool:
        """Whether the dataset lies in the memory of the device; may copy it there."""
        return self.pictures is not None

    def together(self, count: int, each: int) -> int:
        """Return how many batches of `count` images of `each` bytes are best made as one."""
        device, most = self.handle.device, DEVICE_BYTES
        if device.type == "cuda":
            memory = torch.cuda.get_device_properties(device).total_memory
            most = max(most, memory // DEVICE_SHARE)
        return max(1, min(DEVICE_ROWS, most // each) // max(1, count))

    @property
    def pictures(self) -> torch.Tensor | None:
        """The images of the whole dataset on the device, None if they do not lie there."""
        device = self.handle.device
        with self._lock:
            if not self._asked:
                self._pictures = self._moved_in(device)
                self._asked = True
            return self._pictures

    def _moved_in(self, device: torch.device) -> torch.Tensor | None:
        pictures = self.inputs.pictures
        if pictures is None or self.place.resident is False:
            return None
        if device.type == "cuda":
            free = _free(device)
            if self.place.resident is None and pictures.nbytes > SHARE * free:
                return None
            if pictures.nbytes > free:
                raise InputError(
                    f"resident=True needs {pictures.nbytes:,} bytes for the dataset and "
                    f"{str(device)!r} has {free:,} free: use resident=False"
                )
        elif not self.place.resident:
            return None
        return torch.from_numpy(writable(pictures)).to(device)

    def start(self, planned: Planned) -> Execution:
        """Return what makes the frames of a plan, and what makes images of them."""
        frames: FrameReader
        if (pictures := self.pictures) is not None:
            frames = ResidentFrames(self.inputs, planned, pictures)
        elif planned.plan.joins:
            pinned = self.place.known.type == "cuda"
            buffer = self.inputs.buffer(planned.plan, pinned=pinned)
            frames = SceneReader(self.inputs, planned, buffer)
        else:
            frames = BufferedFrames(self.inputs, planned, pinned=self.place.known.type == "cuda")
        return Execution(frames, DeviceRun(self.handle, planned, self.inputs.output, self.inputs))


class ResidentFrames:
    """Images in the memory of the device, of which a plan names rows."""

    def __init__(self, inputs: BatchInputs, planned: Planned, pictures: torch.Tensor) -> None:
        """Take all images `[N, h, w, C]`; there is one task."""
        self.inputs, self.planned, self.pictures = inputs, planned, pictures
        self.parts = [np.arange(planned.rows.count)]

    def read(self, part: Indices) -> FrameSet:
        """Return the images, and which of them the rows are."""
        places = self.inputs.places(self.planned.taken)
        return FrameSet(
            self.pictures, part, places=places, offsets=self.inputs.offsets(self.planned.plan)
        )


class BufferedFrames:
    """Frames that are read by parts into memory of the host, from where they go to the device."""

    def __init__(self, inputs: BatchInputs, planned: Planned, *, pinned: bool) -> None:
        """Take memory for the frames; nothing is read yet."""
        self.inputs, self.planned = inputs, planned
        count = len(planned.plan.ids)
        self.parts = np.array_split(np.arange(count), max(1, -(-count // READ_ROWS)))
        self.buffer = inputs.buffer(planned.plan, pinned=pinned)
        self._left, self._waiting = _Countdown(len(self.parts)), list[DeferredFrame]()

    def read(self, part: Indices) -> FrameSet | None:
        """Read some rows; the task that ends last gets the frames of all."""
        plan, inputs = self.planned.plan, self.inputs
        if len(part):
            self._waiting.extend(inputs.fill(plan, part, self.planned.taken, self.buffer))
        if not self._left.ended():
            return None
        return FrameSet(
            self.buffer, np.arange(plan.count), offsets=inputs.offsets(plan), waiting=self._waiting
        )


class DeviceRun:
    """Images of a plan by the engine of a device, on a side stream.

    They are queued beside whatever runs there; the current stream of who takes a batch waits for
    them, the host does not.
    """

    def __init__(
        self, handle: DeviceHandle, planned: Planned, output: Output,
        inputs: BatchInputs | None = None,
    ) -> None:  # fmt: skip
        """Queue nothing yet; `inputs` know of frames that the device is to decode."""
        self.handle, self.planned, self.output, self.inputs = handle, planned, output, inputs
        self._images: torch.Tensor | None = None
        self._made: tuple[torch.Tensor, AnyTargets] | None = None
        self._parts: list[tuple[torch.Tensor, AnyTargets]] = []  # of `_made`, one for each batch
        self._event: torch.cuda.Event | None = None
        self._taken: set[int] = set()  # streams that wait for it already

    def queue(self, work: Task) -> None:
        """Do it on the side stream."""
        _, self._event = self.handle.side_stream.run(work)

    def load(self, frames: FrameSet) -> torch.Tensor:
        """Return the images of a frame set on the device."""
        if frames.images.is_cuda:  # they were made on another stream
            frames.images.record_stream(torch.cuda.current_stream(frames.images.device))
        if frames.waiting and self.inputs is not None:
            return self.inputs.load(frames.waiting, frames.images, self.handle.device)
        return frames.images.to(self.handle.device, non_blocking=True)

    def apply(self, frames: FrameSet, images: torch.Tensor) -> None:
        """Queue the engine on images of a frame set."""
        self._images = self.handle.engine.apply(
            self.planned.plan, images, places=frames.places, offsets=frames.offsets,
            output=self.output,
        )  # fmt: skip

    def label(self, frames: FrameSet) -> None:
        """Queue the targets behind the engine."""
        assert self._images is not None
        images, targets = self._images, onto(self.planned.targets(), self.handle.device)
        self._made = images, targets
        parts = [self.planned.part(k) for k in range(len(self.planned.counts))]
        self._parts = [
            (_apart(images[part]), None if targets is None else _apart(targets[part]))
            for part in parts
        ]

    def take(self, k: int) -> tuple[torch.Tensor, AnyTargets]:
        """Return images and targets of one batch, for the current stream."""
        self._hand_over()
        return self._parts[k] if len(self._parts) > 1 else self._whole()

    def _whole(self) -> tuple[torch.Tensor, AnyTargets]:
        assert self._made is not None
        return self._made

    def _hand_over(self) -> None:
        # A stream waits, and is noted in what it is given, once.
        if self._event is None:
            return
        stream = stream_number(self.handle.device)
        if stream not in self._taken:
            self._taken.add(stream)
            self.handle.side_stream.take((self._made, self._event))


def _apart(part: Any) -> Any:
    # A slice alone is a view for gradients: what is done in place to one batch would count as done
    # to the others that share its memory.
    return part.data if isinstance(part, torch.Tensor) else part


def _free(device: torch.device) -> int:
    # What the driver has, and what torch holds without using it.
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + held)


class _Countdown:
    # Says the last of some tasks that it is the last.

    def __init__(self, count: int) -> None:
        self._left, self._lock = count, threading.Lock()

    def ended(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left == 0
