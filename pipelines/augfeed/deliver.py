"""Batches made on a device other than the CPU: frames or row numbers and a plan go there, ahead of
time, on a stream aside."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.costs import Costs
from augfeed.engines import Engine, Output, Place, check_places, engine_for, indexed
from augfeed.errors import InputError
from augfeed.memory import Memory, writable
from augfeed.plan import Plan
from augfeed.plan.fixed import Fixed
from augfeed.prefetch import Aside
from augfeed.read.arrays import ArraySource
from augfeed.read.frames import Frames
from augfeed.read.sources import Source
from augfeed.read.unread import Taken
from augfeed.read.whole import Waiting, WholeFrames
from augfeed.targets import Targets as SparseTargets

SHARE = 0.25  # of a GPU's free memory that a data set may take without being told to
READ_ROWS = 32  # pictures that one task decodes

CPU_ROWS, CPU_BYTES = 2048, 8 << 20  # of small batches that a CPU makes as one: caches hold them
# The same for another device: rows, bytes, and the part of a GPU's memory if that is more.
DEVICE_ROWS, DEVICE_BYTES, DEVICE_SHARE = 8192, 64 << 20, 512
CPU_GROUPS = 8  # of an epoch, at least: threads share them, and the first should come soon

# Images (a tensor for each batch, if a CPU makes some as one), targets, whose pictures they are.
Made = tuple[torch.Tensor | list[torch.Tensor], Any, Taken]
Targets = Callable[[Plan, Taken], Any]


def cpu_together(count: int, each: int, total: int) -> int:
    """Return how many batches of `count` pictures of `each` bytes a thread best makes as one.

    Python takes as long for a batch as the loops take for its pixels, where pictures are small, and
    only one thread at a time can run it. `total` is the number of samples of an epoch.
    """
    rows = min(CPU_ROWS, CPU_BYTES // each, total // CPU_GROUPS)
    return max(1, rows // max(1, count))


def own_memory(given: Any) -> Any:
    """Return targets, or ids, that share memory with no other batch."""
    if isinstance(given, SparseTargets):
        return replace(given, a=given.a.clone(), b=given.b.clone(), lam=given.lam.clone())
    return None if given is None else given.clone()


@dataclass(slots=True)
class Stock:
    """What batches are made of: a source, and how its pictures are cut and given out.

    `pictures` are those of an array source that an engine can cut by itself, else None. `whole` is
    None where the host makes all frames.
    """

    source: Source
    fixed: Fixed
    output: Output
    pictures: NDArray[Any] | None
    frames: Frames
    whole: WholeFrames | None
    memory: Memory
    costs: Costs

    def offsets(self, plan: Plan) -> NDArray[np.int32] | None:
        """Return where an engine is to cut; None for frames, which are cut already."""
        if self.pictures is None or self.source.sizes is None:
            return None
        windows = plan.window.at(*self.source.sizes)
        return windows.offset

    def places(self, taken: Taken) -> NDArray[np.int64]:
        """Return the rows of `pictures` that hold some samples."""
        assert isinstance(self.source, ArraySource)
        return self.source.rows(taken.ids)

    def read(
        self, plan: Plan, rows: NDArray[np.int64], taken: Taken, out: Any = None
    ) -> NDArray[Any]:
        """Return the frames of some rows of a plan, in `out` if that is given."""
        with self.costs.of("read", len(rows)):
            if self.whole is not None and out is None:
                return self.whole.read(plan, rows, taken, self.memory)
            return self.frames.read(plan, rows, taken, out)


class OnDevice:
    """Makes the batches of a stock on a device; a data set in its memory is copied there once."""

    def __init__(self, stock: Stock, place: Place) -> None:
        """Touch nothing yet; raise `InputError` for a data set that cannot be resident."""
        if place.resident and stock.pictures is None:
            raise InputError(
                "resident=True is for pictures in memory that the policy does not resize, and "
                f"{stock.source!r} under this policy is not that: use resident=None"
            )
        self.stock, self.place = stock, place
        self._lock = threading.Lock()
        self._device: torch.device | None = None
        self._aside: Aside | None = None
        self._engine: Engine | None = None
        self._asked = False
        self._pictures: torch.Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy, in another process too, uses a device anew.
        fresh = {"_lock": None, "_device": None, "_aside": None, "_engine": None,
                 "_asked": False, "_pictures": None}  # fmt: skip
        return {**self.__dict__, **fresh}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @property
    def device(self) -> torch.device:
        """The device with its number; found out when it is first asked for, by the caller."""
        with self._lock:
            self._device = self._device or indexed(self.place.known)
            return self._device

    def together(self, count: int, each: int) -> int:
        """Return how many batches of `count` images of `each` bytes are best made as one."""
        device, most = self.device, DEVICE_BYTES
        if device.type == "cuda":
            memory = torch.cuda.get_device_properties(device).total_memory
            most = max(most, memory // DEVICE_SHARE)
        return max(1, min(DEVICE_ROWS, most // each) // max(1, count))

    @property
    def engine(self) -> Engine:
        """The engine; made when it is first asked for, so that building touches no device."""
        if self._engine is None:
            self._engine = engine_for(self.device, self.place.engine)
        return self._engine

    @property
    def aside(self) -> Aside:
        """The stream that batches are made on."""
        device = self.device
        with self._lock:
            self._aside = self._aside or Aside(device)
            return self._aside

    @property
    def pictures(self) -> torch.Tensor | None:
        """The pictures of the whole data set on the device, None if they do not lie there."""
        device = self.device
        with self._lock:
            if not self._asked:
                self._pictures = self._moved_in(device)
                self._asked = True
            return self._pictures

    def _moved_in(self, device: torch.device) -> torch.Tensor | None:
        pictures = self.stock.pictures
        if pictures is None or self.place.resident is False:
            return None
        if device.type == "cuda":
            free = _free(device)
            if self.place.resident is None and pictures.nbytes > SHARE * free:
                return None
            if pictures.nbytes > free:
                raise InputError(
                    f"resident=True needs {pictures.nbytes:,} bytes for the data set and "
                    f"{str(device)!r} has {free:,} free: use resident=False"
                )
        elif not self.place.resident:
            return None
        return torch.from_numpy(writable(pictures)).to(device)

    def work(
        self, plan: Plan, targets: Targets
    ) -> tuple[list[Callable[[], None]], Callable[[], Made]]:
        """Return tasks for any thread, and what then gives out images and targets.

        The last task to end queues the batch on the device, beside whatever runs there; the current
        stream of who takes it waits for it, the host does not.
        """
        made: list[Any] = []
        aside, taken = self.aside, Taken.of(plan.ids)
        if self.pictures is not None:
            return (
                [lambda: made.append(aside.run(partial(self._gathered, plan, taken, targets)))],
                aside.giver(made),
            )
        parts = np.array_split(np.arange(len(plan.ids)), max(1, -(-len(plan.ids) // READ_ROWS)))
        frames, left = self._frames(plan), _Countdown(len(parts))
        waiting: list[Waiting] = []

        def read(part: NDArray[np.int64]) -> None:
            if len(part):
                waiting.extend(self._fill(plan, part, taken, frames[part[0] : part[-1] + 1]))
            if left.ended():
                made.append(aside.run(partial(self._framed, plan, taken, frames, waiting, targets)))

        return [partial(read, part) for part in parts], aside.giver(made)

    def _frames(self, plan: Plan) -> torch.Tensor:
        stock, pinned = self.stock, self.place.known.type == "cuda"
        if stock.pictures is not None:
            shape, dtype = stock.pictures.shape[1:], stock.pictures.dtype
        else:
            shape = (*plan.size, stock.fixed.channels)
            floats = isinstance(stock.source, ArraySource) and stock.source.images.dtype != np.uint8
            dtype = np.dtype(np.float32 if floats else np.uint8)
        element = torch.uint8 if dtype == np.uint8 else torch.float32
        return torch.empty((len(plan.ids), *shape), dtype=element, pin_memory=pinned)

    def _fill(
        self, plan: Plan, part: NDArray[np.int64], taken: Taken, frames: torch.Tensor
    ) -> list[Waiting]:
        # Those frames that the host makes; what is left for the device comes back.
        out = frames.numpy()
        if self.stock.pictures is not None:
            places = self.stock.places(taken)[part]
            check_places(places, len(self.stock.pictures))
            # Checked above: "raise" would go through a copy of all that is taken.
            np.take(self.stock.pictures, places, axis=0, out=out, mode="clip")
        elif (whole := self.stock.whole) is not None:
            with self.stock.costs.of("read", len(part)):
                return whole.prepare(plan, part, taken, out, int(part[0]))
        else:
            self.stock.read(plan, part, taken, out)
        return []

    def _framed(
        self, plan: Plan, taken: Taken, frames: torch.Tensor, waiting: list[Waiting],
        targets: Targets,
    ) -> Made:  # fmt: skip
        device = self.device
        if waiting and self.stock.whole is not None:
            with self.stock.costs.of("read", 0):
                frames = self.stock.whole.join(waiting, frames)
        with self.stock.costs.of("augment", plan.count):
            images = self.engine.apply(
                plan, staged(plan, frames.to(device, non_blocking=True)),
                offsets=self.stock.offsets(plan), output=self.stock.output,
            )  # fmt: skip
            return images, onto(targets(plan, taken), device), taken

    def _gathered(self, plan: Plan, taken: Taken, targets: Targets) -> Made:
        pictures = self.pictures
        assert pictures is not None
        with self.stock.costs.of("augment", plan.count):
            images = self.engine.apply(
                plan, pictures, places=self.stock.places(taken), offsets=self.stock.offsets(plan),
                output=self.stock.output,
            )  # fmt: skip
            if pictures.is_cuda:  # they were made on another stream
                pictures.record_stream(torch.cuda.current_stream(pictures.device))
            return images, onto(targets(plan, taken), self.device), taken


def staged(plan: Plan, frames: torch.Tensor, rows: NDArray[np.int64] | None = None) -> torch.Tensor:
    """Return frames `[M, H, W, C]` of some rows (None: of all) after the policy's stages of Kornia;
    the frames themselves if it has none."""
    if not plan.policy.stages:
        return frames
    from augfeed.stages import run_stages

    return run_stages(plan, frames, rows)


def onto(targets: Any, device: torch.device) -> Any:
    """Return targets on a device; to a GPU they go through page-locked memory, so nothing waits."""
    if targets is None or device.type == "cpu":
        return targets
    if device.type == "cuda":
        targets = targets.pin_memory()
    return targets.to(device, non_blocking=True)


def _free(device: torch.device) -> int:
    # What the driver has, and what torch holds without using it.
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + held)


class _Countdown:
    # Tells the last of some tasks that it is the last.

    def __init__(self, count: int) -> None:
        self._left, self._lock = count, threading.Lock()

    def ended(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left == 0
