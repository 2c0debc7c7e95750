"""What a kernel is compiled for: the parts of a policy, and the form of images and batch."""

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from augfeed.constants import BICUBIC, BILINEAR, CUTMIX, EDGES, FILTERS, MIXUP
from augfeed.engines import Output
from augfeed.operation import Box, Linear, Noise, Pointwise
from augfeed.plan.filters import interpolation_of
from augfeed.plan.frames import longest_reach, slots_of
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.plan.program import codes_of, most_numbers
from augfeed.policy import (
    OPERATIONS,
    Border,
    CutMix,
    HorizontalFlip,
    Mixup,
    OneOf,
    Perspective,
    Policy,
    RandomCrop,
    RandomErasing,
    VerticalFlip,
)

STEPS = 4  # that a program takes with what it has loaded for its row
SUMS = 4  # parts that the gray mean of an image is summed in


POINTS = tuple(cls for cls in OPERATIONS.values() if issubclass(cls, Pointwise))


class Color(IntEnum):
    """How much of color a kernel does: scaling alone, a matrix, or pointwise operations too."""

    PLAIN = 0
    MATRIX = 1
    STEPS = 2


class Erase(IntEnum):
    """What erased boxes are filled with."""

    NONE = 0
    CONSTANT = 1
    UNIFORM = 2
    NORMAL = 3


@dataclass(frozen=True, slots=True)
class Spec:
    """The compile-time constants of the kernel.

    `pad` is -1 where images are frames of the output's size; `pad` and `border` are modes of
    `EDGES`, `each` whether their fills differ by channel; `filters` has a bit for each filter that
    may move pixels. `parts` are the boxes, noises and pointwise colors of the policy, `points` the
    latter with a bit for each; `more` boxes are erased at most beside the first.
    `vec` pixels side by side are read and written together, 1 where lines do
    not allow it; `wide` says whether the neighbors of a source position are read as words. `block`
    is the number of pixels of a step, `steps` that of a program. With `lanes` the steps are the
    eight lanes of the numbers for pixels; else they are tiles of `tile` pixels a line, or runs of
    pixels where that is 0. `keep_color` says whether color matrices stay over the steps, which
    takes registers; `registers` is the most that a thread may have. `sum_block` and `sum_warps`
    are those of the sums for gray means. `slots` are the codes that may stand in each slot of a
    row's steps on its frame, `reach` is how far their kernels reach. `program` are the codes that
    may stand in each slot of a program, of which each reads `numbers` at most.
    """

    channels: int
    float_in: bool
    pad: int
    flip: bool
    warp: bool
    border: int
    perspective: bool
    filters: int
    each: bool
    color: Color
    mean: bool
    mix: int
    parts: tuple[str, ...]
    points: int
    erase: Erase
    more: int
    last: bool
    vec: int
    aligned: bool
    wide: bool
    lanes: bool
    tile: int
    block: int
    steps: int
    warps: int
    sum_block: int
    sum_warps: int
    keep_color: bool
    registers: int | None
    slots: tuple[tuple[int, ...], ...]
    reach: int
    program: tuple[tuple[int, ...], ...]
    numbers: int

    @property
    def cutout(self) -> bool:
        """Whether a box is cut out."""
        return "cutout" in self.parts

    @property
    def noise(self) -> bool:
        """Whether normal noise is added."""
        return "gaussian_noise" in self.parts

    @property
    def salt(self) -> bool:
        """Whether pixels turn white or black."""
        return "salt_and_pepper" in self.parts

    @classmethod
    def of(
        cls, policy: Policy, size: tuple[int, int], images: torch.Tensor, output: Output,
        *, framed: bool,
    ) -> "Spec":  # fmt: skip
        """Return the constants for images `[N, h, w, C]` that become a batch of a size.

        They depend on what is the same for all batches of a pipeline, so that any two of them are
        made by the same machine code.
        """
        form = Form(tuple(images.shape[1:]), images.dtype, images.data_ptr() % 4 == 0, framed)
        return _spec(policy, size, form, output)


class Form(NamedTuple):
    """What a kernel is compiled for of images: `[h, w, C]`, whether they begin at a word of
    memory, and whether they are frames of the output's size."""

    picture: tuple[int, ...]
    dtype: torch.dtype
    aligned: bool
    framed: bool


@lru_cache(maxsize=64)  # asked for every batch
def _spec(policy: Policy, size: tuple[int, int], form: Form, output: Output) -> Spec:
    has = policy.find
    channels = form.picture[2]
    erasing, crop, border = has(RandomErasing), has(RandomCrop), has(Border)
    fixed = PolicyConstants.of(policy, channels)
    erase = _erasing(erasing, fixed)
    items = policy.operations
    noises = sum(isinstance(item, Noise) for item in items) + (erase > Erase.CONSTANT)
    lanes = noises > 0
    warp, program = policy.warps, codes_of(policy)
    filters = _filters(policy)
    made = bool(slots_of(policy) or program)
    mix, color = _mixing(policy), Color.PLAIN
    linear = [item for item in items if isinstance(item, Linear) and item.program is None]
    if any(channels == 3 or not step.rgb for item in linear for step in item.steps):
        color = Color.MATRIX
    points = sum(1 << k for k, cls in enumerate(POINTS) if has(cls))
    if points:
        color = Color.STEPS
    registers = _registers(
        mix=bool(mix), color=bool(color), warp=warp, lanes=lanes, noises=noises,
        gray=channels == 1, made=made and not form.framed, drawn=bool(program),
    )  # fmt: skip
    if warp and not lanes and filters >> BICUBIC & 1:  # 16 neighbors of a source position
        registers = None if mix else 168
    return Spec(
        channels=channels,
        float_in=form.dtype == torch.float32,
        pad=-1 if form.framed else EDGES[crop.mode] if crop else 0,
        flip=bool(has(HorizontalFlip) or has(VerticalFlip)),
        warp=warp,
        border=EDGES[border.mode] if border else 0,
        perspective=any(isinstance(item, Perspective) for item in policy.parts),
        filters=filters,
        each=any((fill != fill[0]).any() for fill in (fixed.pad_fill, fixed.border_fill)),
        color=color,
        mean=any(item.needs_mean for item in linear),
        mix=mix,
        parts=tuple(item.op for item in items if isinstance(item, Box | Noise | Pointwise)),
        points=points,
        erase=erase,
        more=erasing.counts[1] - 1 if erasing else 0,
        last=output.channels_last and channels > 1,
        keep_color=noises < 2,
        registers=registers,
        slots=slots_of(policy),
        reach=longest_reach(policy),
        program=program,
        numbers=most_numbers(program),
        **_shape(size, form, output, lanes=lanes, warp=warp, made=made,
                 neighbors=bool(filters >> BILINEAR & 1)),
    )  # fmt: skip


def _registers(
    *, mix: bool, color: bool, warp: bool, lanes: bool, noises: int, gray: bool,
    made: bool, drawn: bool,
) -> int | None:  # fmt: skip
    # As few as let three, four or five programs into a multiprocessor without spilling; left alone,
    # ptxas takes more for two images with colors, and for sm_100 too few for a warp, or for two
    # gray images.
    if made and not lanes:  # images of two sizes
        return (184 if mix else 168) if warp else 128
    if drawn and warp and mix and not lanes:
        return 184 if made else 144
    if lanes:
        return 168 if warp and mix and color and noises == 1 else None
    if not (warp or (mix and color)):
        return 64 if mix and gray else None
    return 128 if warp else 96


def _filters(policy: Policy) -> int:
    wanted = interpolation_of(policy)
    if wanted == "random":
        return 1 << BILINEAR | 1 << BICUBIC
    return 1 << FILTERS[wanted]


def _mixing(policy: Policy) -> int:
    mixer = policy.find(OneOf)
    parts = mixer.operations if mixer else policy.operations
    return (MIXUP if any(isinstance(item, Mixup) for item in parts) else 0) | (
        CUTMIX if any(isinstance(item, CutMix) for item in parts) else 0
    )


def _erasing(erasing: RandomErasing | None, fixed: PolicyConstants) -> Erase:
    if erasing is None:
        return Erase.NONE
    if not fixed.erase_noise:
        return Erase.CONSTANT
    return Erase.NORMAL if fixed.normalized else Erase.UNIFORM


def _shape(
    size: tuple[int, int],
    form: Form,
    output: Output,
    *,
    lanes: bool,
    warp: bool,
    made: bool,
    neighbors: bool,
) -> dict[str, Any]:
    # How pixels are spread over programs and threads.
    height, width = size
    pixels = height * width
    segment = -(-pixels // 8) if lanes else pixels
    # As many pixels a thread as make one store of 16 bytes, but four where each of them needs many
    # registers: for the numbers of eight lanes, or the neighbors of a source position. A thread
    # has one group of them, and a program four warps.
    narrow = output.dtype.itemsize < 4 and not (lanes or warp or output.channels_last)
    vec = 8 if narrow else 4
    while vec > 2 and (width % vec or segment % vec):
        vec //= 2
    # What all images of a dataset have in common, so that every batch takes the same way.
    whole = math.prod(form.picture) % 4 == 0
    if made:  # and frames of the output's size are read as well
        whole = whole and pixels * form.picture[2] % 4 == 0
    words = form.dtype == torch.uint8 and whole and form.aligned
    vec = vec if vec > 2 and words else 1
    thread = max(vec, 4)
    block = max(32, min(128 * thread, _power(segment)))
    # Of a small image a warp sums what it can: four would have more to do to put theirs together.
    sum_block = max(32 * vec, min(128 * thread, _power(-(-pixels // (2 * SUMS)))))
    while lanes and block > 128 and -(-segment // block) * block > -(-segment // 128) * 128:
        block //= 2  # a smaller one leaves less beyond the end
    tile = min(32, _power(width)) if warp and not lanes else 0
    return {
        "vec": vec,
        "aligned": form.framed,
        # A line has the words of two pixels.
        "wide": words and warp and neighbors and form.picture[1] >= 8 and (width >= 8 or not made),
        "lanes": lanes,
        "tile": tile,
        "block": block,
        "steps": 8 if lanes else max(1, min(STEPS, -(-segment // block))),
        "warps": max(1, min(4, block // 32 // thread)),
        "sum_block": sum_block,
        "sum_warps": max(1, min(4, sum_block // 32 // thread)),
    }


def _power(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
