"""The engine for CPUs: compiled loops, one pass a sample, without the GIL."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import Output, check_images, check_places
from augfeed.kernels.augment import augment
from augfeed.kernels.cast_output import BFLOAT16, FLOAT16, FLOAT32, UINT8
from augfeed.kernels.compile_notice import install as install_notice
from augfeed.kernels.few_channels import take_channels
from augfeed.kernels.frames import materialise
from augfeed.kernels.program_frames import cut_frames, read_levels, run_programs, write_levels
from augfeed.kernels.types import FIXED, ROW, copied, matrices_of, neutral, taken
from augfeed.memory_pool import Memory, writable
from augfeed.philox import normal_quantiles
from augfeed.plan import Plan, Program
from augfeed.plan.frames import slots_of
from augfeed.plan.policy_constants import PolicyConstants, channels_together
from augfeed.plan.program import codes_of, rarer

install_notice()
KINDS = {
    torch.float32: (FLOAT32, np.float32),
    torch.uint8: (UINT8, np.uint8),
    torch.bfloat16: (BFLOAT16, np.uint16),
    torch.float16: (FLOAT16, np.uint16),
}


STREAMED = 16 << 20  # bytes: a batch that would push everything else out of the caches
FRAME_BYTES = 8 << 20  # of frames that are made before a pass reads them


class CpuEngine:
    """Carries out plans with Numba, in the calling thread, without the GIL."""

    name = "cpu"

    def apply(
        self,
        plan: Plan,
        images: torch.Tensor,
        *,
        places: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int32] | None = None,
        output: Output = Output(),  # noqa: B008  (frozen)
    ) -> torch.Tensor:
        """Return the batch `[count, C, H, W]` of a plan; see `augfeed.engines.Engine`."""
        check_images(images, plan.count)
        output.check(plan.policy)
        pixels = np.ascontiguousarray(images.numpy())
        out, batch = allocate(plan.count, pixels.shape[3], plan.size, output)
        job = job_of(plan, PolicyConstants.of(plan.policy, pixels.shape[3]), output)
        job.run(pixels, np.arange(plan.count), out, places=places, offsets=offsets)
        return batch


def allocate(
    count: int, channels: int, size: tuple[int, int], output: Output, memory: Memory | None = None
) -> tuple[NDArray[Any], torch.Tensor]:
    """Return memory for a batch as an array for the loops and as the tensor given out."""
    _, dtype = KINDS[output.dtype]
    shape = (count, channels, *size)
    array = (memory or Memory()).take(shape, dtype, channels_last=output.channels_last)
    tensor = torch.from_numpy(array)
    return array, tensor if tensor.dtype == output.dtype else tensor.view(output.dtype)


class Job:
    """One plan, ready to be carried out row by row, in any thread."""

    def __init__(
        self, plan: Plan, fixed: PolicyConstants, output: Output, memory: Memory | None = None
    ) -> None:
        """Bring plan and constants into the form of the compiled loops."""
        self.memory = memory or Memory()
        self.plan, self.fixed, self.output = plan, fixed, output
        self.made = plan.made
        self._makes = bool(self.made.any())
        self._rows: NDArray[Any] | None = None
        self._known: dict[tuple[float, bool, bool], NDArray[Any]] = {}  # records of `FIXED`

    @cached_property
    def _of_programs(self) -> tuple[NDArray[np.bool_], Literal[True] | None]:
        # What the batches that are made of a plan share.
        assert self.plan.program is not None
        return self.plan.program.flips, rarer(codes_of(self.plan.policy))

    @property
    def rows(self) -> NDArray[Any]:
        """The rows of the plan, of `ROW`; parts of the batch share them."""
        if self._rows is None:
            self._rows = _rows(self.plan)
        return self._rows

    def run(
        self,
        images: NDArray[Any],
        which: NDArray[np.int64],
        out: NDArray[Any],
        *,
        places: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int32] | None = None,
    ) -> None:
        """Write rows `which` of the batch to `out`; see `augfeed.engines.Engine` for the rest."""
        alone = len(which) == self.plan.count
        rows = self._placed(len(images), places, offsets, alone=alone)
        self._write(writable(images), rows, which, which, out)

    def run_each(
        self,
        images: NDArray[Any],
        outs: Sequence[NDArray[Any]],
        *,
        places: NDArray[np.int64],
        offsets: NDArray[np.int32] | None,
    ) -> None:
        """Write the rows, in their order, to arrays that hold one batch each."""
        rows, first = self.placed(len(images), places, offsets), 0
        for out in outs:
            self.run_part(images, rows, first, out)
            first += len(out)

    def placed(
        self, count: int, places: NDArray[np.int64] | None, offsets: NDArray[np.int32] | None
    ) -> NDArray[Any]:
        """Return the rows of the plan for `run_part`; `count` is the number of images."""
        return self._placed(count, places, offsets, alone=True)

    def run_part(
        self, images: NDArray[Any], rows: NDArray[Any], first: int, out: NDArray[Any]
    ) -> None:
        """Write as many rows as `out` holds, from row `first` on."""
        self.run_some(images, rows, first, np.arange(len(out)), out)

    def run_some(
        self, images: NDArray[Any], rows: NDArray[Any], first: int, which: NDArray[np.int64],
        out: NDArray[Any],
    ) -> None:  # fmt: skip
        """Write images `which` of a batch that begins with row `first` to `out`, which holds it."""
        self._write(writable(images), rows, which + first, which, out)

    def _placed(
        self, count: int, places: NDArray[np.int64] | None, offsets: NDArray[np.int32] | None, *,
        alone: bool,
    ) -> NDArray[Any]:  # fmt: skip
        if places is None and offsets is None:
            check_places(self.rows["place"], count)
            return self.rows
        rows = _rows(self.plan) if alone else copied(self.rows)
        if places is not None:
            rows["place"] = places
        if offsets is not None:
            rows["top"], rows["left"] = offsets[:, 0], offsets[:, 1]
        check_places(rows["place"] if places is None else places, count)
        return rows

    def _write(
        self,
        images: NDArray[Any],
        rows: NDArray[Any],
        which: NDArray[np.int64],
        slots: NDArray[np.int64],
        out: NDArray[Any],
    ) -> None:
        if not self._makes:
            self._pass((images, images[:0]), rows, which, slots, out)
            return
        height, width = self.plan.size
        most = max(1, FRAME_BYTES // (height * width * images.shape[3] * images.itemsize))
        for first in range(0, len(which), most):
            part = which[first : first + most]
            frames, framed, places = self._materialised(images, rows, part)
            self._pass((images, frames), framed, places, slots[first : first + most], out)

    def _materialised(
        self, images: NDArray[Any], rows: NDArray[Any], which: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        # The frames of those rows, and of their partners, that have steps; a copy of these rows,
        # which say where their frames are, and the places of the first of them in it.
        steps, mixes = self.plan.frames, self.plan.mixes
        mixed = mixes.mode.any()
        wanted = mixes.needed(which) if mixed else which
        made = self.made[wanted]
        needed = wanted[made]
        if not len(needed):
            return images[:0], rows, which
        shape = (len(needed), *self.plan.size, images.shape[3])
        frames = self.memory.take(shape, images.dtype)
        shared, _ = self._shared(255.0 if images.dtype == np.uint8 else 1.0)
        uncut = images[:0]
        if steps.codes.shape[1]:
            materialise(images, rows, needed, steps.codes, steps.numbers, steps.taps(needed),
                        shared, rarer(slots_of(self.plan.policy)), frames)  # fmt: skip
        elif images.dtype == np.uint8:
            uncut = images
        else:
            cut_frames(images, rows, needed, shared, frames)
        if self.plan.program is not None:
            self._run_programs(self.plan.program, (uncut, frames), rows, needed, shared)
        # A plan may have many more rows than are written at once.
        own = taken(rows, wanted)
        own["made"][made] = np.arange(len(needed))
        if not mixed:
            return frames, own, np.arange(len(wanted))
        own["partner"] = np.searchsorted(wanted, own["partner"])
        return frames, own, np.searchsorted(wanted, which)

    def _run_programs(
        self,
        program: Program,
        images: tuple[NDArray[Any], NDArray[Any]],
        rows: NDArray[Any],
        which: NDArray[np.int64],
        shared: NDArray[Any],
    ) -> None:
        (uncut, frames), (flips, rare) = images, self._of_programs
        # What is common weighs no neighbors.
        shape = len(which), program.code.shape[1], 2, 1
        taps = program.taps(which) if rare else np.zeros(shape, np.float32)
        given = rows, which, program.code, program.value, taps, flips, shared, rare
        if frames.dtype == np.uint8:
            run_programs(uncut, frames, *given)
            return
        levels = self.memory.take(frames.shape, np.uint8)
        read_levels(frames, which, program.code, levels)
        run_programs(levels[:0], levels, *given)
        write_levels(levels, which, program.code, frames)

    def _pass(
        self,
        images: tuple[NDArray[Any], NDArray[Any]],
        rows: NDArray[Any],
        which: NDArray[np.int64],
        slots: NDArray[np.int64],
        out: NDArray[Any],
    ) -> None:
        # Row `which[k]` becomes image `slots[k]` of `out`.
        memory = out if out.flags.c_contiguous else out.transpose(0, 2, 3, 1)
        if not memory.flags.c_contiguous:
            raise ValueError(f"strides {out.strides} are neither of planes nor of channels last")
        scale = 255.0 if images[0].dtype == np.uint8 else 1.0
        shared, constants = self._shared(scale, last=memory is not out,
                                         stream=out.nbytes >= STREAMED)  # fmt: skip
        order = np.empty((2, len(which)), np.int64)
        order[0], order[1] = which, slots
        augment(*images, order, rows, shared, *constants, memory.reshape(-1).view(np.uint8))

    def _shared(
        self, scale: float, *, last: bool = False, stream: bool = False
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...]]:
        fixed, plan, known = self.fixed, self.plan, (scale, last, stream)
        if known not in self._known:
            shared = np.zeros(1, FIXED)
            shared[0] = (
                plan.seed, plan.epoch, fixed.plane, scale, fixed.pad_mode,
                *_three(fixed.pad_fill * scale), fixed.border_mode,
                *_three(fixed.border_fill * scale), fixed.normalized,
                fixed.erase_noise, fixed.cutout_fill, fixed.erase_fill, *plan.size,
                KINDS[self.output.dtype][0], last, stream,
            )  # fmt: skip
            self._known[known] = shared
        return self._known[known], (fixed.statistics, normal_quantiles())


class ChannelsJob(Job):
    """A plan for images of other than 1 or 3 channels, made as gray images or three at a time.

    What a part of the batch reads is taken out of the images, a few channels at a time.
    """

    def __init__(
        self, plan: Plan, fixed: PolicyConstants, output: Output, memory: Memory | None = None
    ) -> None:
        """Prepare a job for each channel, or for three where none looks at another."""
        super().__init__(plan, fixed, output, memory)
        self._parts = [
            (slice(*part), Job(plan, fixed.of_channels(*part), Output(output.dtype), self.memory))
            for part in channels_together(plan.policy, fixed.channels)
        ]

    def _write(
        self, images: NDArray[Any], rows: NDArray[Any], which: NDArray[np.int64],
        slots: NDArray[np.int64], out: NDArray[Any],
    ) -> None:  # fmt: skip
        mixes, own = self.plan.mixes, copied(rows)
        mixed, each = mixes.mode.any(), max(1, math.prod(images.shape[1:]) * images.itemsize)
        most = max(1, FRAME_BYTES // each)
        for first in range(0, len(which), most):
            part = which[first : first + most]
            needed = mixes.needed(part) if mixed else part
            places, (height, width) = rows["place"][needed], images.shape[1:3]
            own["place"] = 0
            own["place"][needed] = np.arange(len(needed))
            for channels, job in self._parts:
                count = channels.stop - channels.start
                planes = self.memory.take((len(needed), height, width, count), images.dtype)
                take_channels(images, places, channels.start, planes)
                size = (len(part), count, *self.plan.size)
                made = self.memory.take(size, out.dtype)
                job._write(planes, own, part, np.arange(len(part)), made)
                out[slots[first : first + most], channels] = made


def job_of(plan: Plan, fixed: PolicyConstants, output: Output, memory: Memory | None = None) -> Job:
    """Return the job of a plan for images of any number of channels."""
    kind = Job if fixed.channels in (1, 3) else ChannelsJob
    return kind(plan, fixed, output, memory)


def _three(fill: NDArray[np.float64]) -> list[float]:
    return [float(fill[k % len(fill)]) for k in range(3)]


def _rows(plan: Plan) -> NDArray[Any]:
    mixes, rows = plan.mixes, neutral(len(plan.ids), ROW)
    rows["id"], rows["place"], rows["filter"] = plan.ids, np.arange(len(rows)), plan.filters
    if plan.warped.any():
        rows["warped"] = plan.warped
        matrices_of(rows)[:] = plan.inverse.reshape(-1, 9)
    if mixes.mode.any():
        rows["mode"], rows["lam"], rows["partner"] = mixes.mode, mixes.lam, mixes.partner
        for k in range(4):
            rows[f"patch{k}"] = mixes.patch[:, k]
    for name, column in plan.read():
        if column.ndim == 1:
            rows[name] = column
        else:
            for k in range(column.shape[1]):
                rows[f"{name}{k}"] = column[:, k]
    return rows
