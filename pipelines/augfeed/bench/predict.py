"""What the CUDA kernel can reach on GPUs that need not be here: `augfeed bench kernel --predict`.

A bound from below: the time in which the multiprocessors can carry out the kernel's instructions,
or the memory move its bytes, whichever is longer. What waits for memory, misses a cache or is
launched comes on top.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch

from augfeed.bench.chains import chosen
from augfeed.bench.kernel import SHAPES, measured_dtype
from augfeed.bench.kernel_pass import Grid, Pass, pass_of
from augfeed.bench.machine import commit_here, now, versions_of
from augfeed.bench.pipes import bits
from augfeed.bench.result import Model, Shape
from augfeed.bench.sass import Listing
from augfeed.bench.work import SEED, bytes_moved, offsets_of
from augfeed.engines import Output, interpreted
from augfeed.errors import InputError, MissingExtraError
from augfeed.notation import format_policy
from augfeed.plan import CUTMIX, MIXUP, BatchRows, Plan, draw_plan
from augfeed.policy import Policy

ARCH = 90  # compute capability 9.0: H100, H200
SCHEDULERS = 4  # of a multiprocessor, a warp instruction a cycle each
KEPT = 0.5  # of the last cache, which keeps what one kernel has read for the next
PACKAGES = ("torch", "triton")


class Chip(Model):
    """A GPU: multiprocessors, what their clock holds under load (Hz), bytes/s of a copy, cache."""

    name: str
    processors: int
    clock: float
    bandwidth: float
    cache: int


CHIPS = (
    Chip(name="H100", processors=132, clock=1.75e9, bandwidth=3.0e12, cache=50 << 20),
    Chip(name="H200", processors=132, clock=1.75e9, bandwidth=4.3e12, cache=60 << 20),
)


class Reached(Model):
    """What a chain takes on a chip: seconds to issue it, to move its bytes, and at least in all.

    `bound` is what takes longest: "bytes", or the part of a multiprocessor, see `pipes`.
    """

    chip: str
    issue: float
    memory: float
    seconds: float
    share: float  # of the bandwidth of a copy, of the bytes that must move
    bound: str


class PredictedRow(Model):
    """One chain at one shape. `read`, `again` and `written` are bytes of the whole batch."""

    chain: str
    policy: str
    shape: Shape
    moved: int
    read: int
    again: int  # partners, which the cache has, and frames of which a mean was taken
    written: int
    passes: tuple[Pass, ...]
    reached: tuple[Reached, ...]
    left_out: bool = (
        False  # kernels that make frames before the pass, which the model does not know
    )

    @property
    def instructions(self) -> float:
        """The instructions of a thread for a pixel, of all kernels."""
        return sum(each.instructions for each in self.passes)

    @property
    def most(self) -> float:
        """The instructions if every branch were taken."""
        return sum(each.most for each in self.passes)


class Prediction(Model):
    """One run of `augfeed bench kernel --predict`."""

    date: str
    command: str
    commit: str | None
    versions: dict[str, str]
    dtype: str
    channels_last: bool
    chips: tuple[Chip, ...]
    rows: tuple[PredictedRow, ...]


@dataclass(frozen=True)
class Wanted:
    """What is predicted."""

    output: Output
    chains: Mapping[Shape, Mapping[str, Policy]]

    @classmethod
    def of(
        cls,
        shapes: list[str] | None = None,
        dtype: str | None = None,
        names: list[str] | None = None,
        *,
        channels_last: bool = False,
    ) -> "Wanted":
        """Return what texts name; raise where kernels cannot be compiled."""
        if find_spec("triton") is None:
            raise MissingExtraError("Triton, which compiles the kernels", "cuda")
        if interpreted():
            raise InputError(
                "TRITON_INTERPRET='1' makes Triton interpret kernels and not compile them: unset it"
            )
        found = [Shape.parse(name) for name in shapes or SHAPES["cuda"]]
        output = Output(measured_dtype(dtype or "bfloat16"), channels_last)
        return cls(output, chosen(found, names))

    @property
    def steps(self) -> int:
        """The number of times that `prediction_of` says where it is."""
        return sum(map(len, self.chains.values()))


def prediction_of(
    wanted: Wanted, command: str, tick: Callable[[str], None] = lambda _: None
) -> Prediction:
    """Compile the kernels of all chains, and return what follows from their machine code."""
    rows = []
    for shape, policies in wanted.chains.items():
        for name, policy in policies.items():
            tick(f"{name}, {shape.name}")
            rows.append(_row(name, policy, shape, wanted.output))
    return Prediction(
        date=now(),
        command=command,
        commit=commit_here(),
        versions=versions_of(PACKAGES),
        dtype=str(wanted.output.dtype).removeprefix("torch."),
        channels_last=wanted.output.channels_last,
        chips=CHIPS,
        rows=tuple(rows),
    )


def _row(name: str, policy: Policy, shape: Shape, output: Output) -> PredictedRow:
    plan = draw_plan(
        policy, BatchRows.of(np.arange(shape.batch)), seed=SEED, epoch=0, size=shape.size
    )
    passes, table, unknown = _passes(plan, shape, output)
    read, again = _read(plan, shape), _again(plan, shape)
    mean = any(each.kernel == "sum_frames" for each in passes)
    again += read if mean else 0
    written = shape.values * output.dtype.itemsize
    moved = bytes_moved(shape, output.dtype)
    return PredictedRow(
        chain=name,
        policy=format_policy(policy),
        shape=shape,
        moved=moved,
        read=read + table,
        again=again,
        written=written,
        passes=passes,
        reached=tuple(reached(chip, passes, shape, (read + table, written), moved)
                      for chip in CHIPS),
        left_out=unknown or bool(plan.frames.codes.any()),
    )  # fmt: skip


def _passes(plan: Plan, shape: Shape, output: Output) -> tuple[tuple[Pass, ...], int, bool]:
    # The kernels in their order, the bytes of the plan's table, and whether some are not known.
    from augfeed.bench.branches import shares_of, trips_of_sums
    from augfeed.bench.program_passes import program_passes
    from augfeed.engines.cuda.launch import SUMS, programs, steps_of
    from augfeed.engines.cuda.report import augment_code, sums_code
    from augfeed.engines.cuda.spec import Spec
    from augfeed.engines.cuda.table import Layout

    offsets = offsets_of(plan)
    pictures = torch.empty((1, *shape.size, shape.channels), dtype=torch.uint8)
    spec = Spec.of(plan.policy, shape.size, pictures, output, framed=offsets is None)
    divisible = shape.height % 16 == 0 and shape.width % 16 == 0
    shares, pixels = shares_of(plan, spec, offsets), shape.height * shape.width
    before, unknown = program_passes(plan, spec, shape, ARCH)
    found = [*before]
    if spec.mean:
        listing = Listing.parse(sums_code(spec, ARCH, divisible=divisible))
        grid = Grid(len(plan.ids) * SUMS, spec.sum_warps * 32, shape.batch * pixels)
        found.append(pass_of("sum_frames", listing, shares, grid, trips_of_sums(spec, shape.size)))
    listing = Listing.parse(augment_code(spec, output.dtype, ARCH, divisible=divisible))
    grid = Grid(plan.count * programs(spec, shape.size), spec.warps * 32, shape.batch * pixels)
    values = spec.block * spec.steps * spec.channels // grid.threads
    trips = trips_by_stores(listing, values * output.dtype.itemsize * 8)
    if trips > 1:  # the last program of an image ends with it
        trips *= steps_of(spec, shape.size) / (programs(spec, shape.size) * spec.steps)
    found.append(pass_of("augment", listing, shares, grid, trips))
    return tuple(found), Layout.of(spec).words(len(plan.ids)) * 4, unknown


def trips_by_stores(listing: Listing, stored: int) -> float:
    """Return how often the loop of a kernel goes round, of which a thread stores so many bits.

    So the compiler may unroll it as it likes.
    """
    if not listing.loops:
        return 1.0
    if len(listing.loops) > 1:
        raise InputError(
            f"the kernel has {len(listing.loops)} loops in its machine code: the model knows how "
            "often one goes round"
        )
    (loop,) = listing.loops
    inside = sum(_stored(listing, b) for b in loop.body)
    outside = sum(_stored(listing, b) for b in listing.reached - loop.body)
    trips = (stored - outside) / inside if inside else 0.0
    if trips < 1 or trips != round(trips):
        raise InputError(
            f"a thread stores {inside} bits in a loop and {outside} outside of it, which makes no "
            f"{stored}: the machine code is not that of the kernel that the model knows"
        )
    return trips


def _stored(listing: Listing, b: int) -> int:
    return sum(bits(each) for each in listing.blocks[b] if each.name == "STG")


def reached(
    chip: Chip, passes: tuple[Pass, ...], shape: Shape, traffic: tuple[int, int], moved: int
) -> Reached:
    """Return what a chip takes for kernels one after another.

    `traffic` is the bytes that are read once and written, `moved` those that must move.
    """
    read, written = traffic
    pixels = shape.batch * shape.height * shape.width
    issue = memory = seconds = 0.0
    longest = (0.0, "")
    fetched = read
    for each in passes:
        if each.kernel in ("sum_frames", "augment"):
            moving = (fetched + (written if each.kernel == "augment" else 0)) / chip.bandwidth
            # Of a frame that a mean was taken of the cache has what it can keep.
            fetched = max(0, read - int(KEPT * chip.cache))
        else:  # it writes frames, which the pass reads in place of images
            moving = each.moves * pixels / chip.bandwidth
        pipe = max(each.cycles, key=lambda name: each.cycles[name])
        # The multiprocessor with the most programs is done last.
        uneven = math.ceil(each.programs / chip.processors) * chip.processors / each.programs
        warps = each.cycles[pipe] * pixels / 32 * uneven
        working = warps / (chip.processors * SCHEDULERS * chip.clock)
        issue, memory = issue + working, memory + moving
        seconds += max(working, moving)
        longest = max(longest, (max(working, moving), pipe if working > moving else "bytes"))
    share = moved / seconds / chip.bandwidth
    return Reached(chip=chip.name, issue=issue, memory=memory, seconds=seconds, share=share,
                   bound=longest[1])  # fmt: skip


def _read(plan: Plan, shape: Shape) -> int:
    # Of every image what its window holds, once.
    offsets, (height, width) = offsets_of(plan), shape.size
    if offsets is None:
        return len(plan.ids) * height * width * shape.channels
    inside = np.maximum(np.array(shape.size) - np.abs(offsets), 0)
    return int(inside.prod(axis=1).mean() * len(plan.ids) * shape.channels)


def _again(plan: Plan, shape: Shape) -> int:
    # Of partners: all of them for Mixup, and of CutMix the patch.
    rows, (height, width) = slice(plan.count), shape.size
    top, left, bottom, right = plan.mixes.patch[rows].T.astype(np.int64)
    mode = plan.mixes.mode[rows]
    patches = ((bottom - top) * (right - left))[mode == CUTMIX].sum()
    return int((patches + (mode == MIXUP).sum() * height * width) * shape.channels)
