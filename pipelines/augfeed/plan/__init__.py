"""The plan: every random decision of a batch, drawn before any pixel is touched."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.philox import check_key
from augfeed.plan.boxes import draw_cutout, draw_erasing
from augfeed.plan.draws import Draws, between
from augfeed.plan.frames import FrameSteps, draw_frames
from augfeed.plan.geometry import Decisions, compose, decide, flipped
from augfeed.plan.mixing import CUTMIX, MIXUP, NONE, Mixes, draw_mixes, unmixed
from augfeed.plan.rows import GROUP, Ids, Rows
from augfeed.plan.windows import WindowDraws, Windows
from augfeed.policy import (
    Affine,
    ColorJitter,
    CutMix,
    Cutout,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Invert,
    Mixup,
    OneOf,
    Policy,
    Posterize,
    RandomErasing,
    SaltAndPepper,
    Solarize,
    VerticalFlip,
)
from augfeed.policy.base import interval


@dataclass(frozen=True, slots=True)
class Colors:
    """Color decisions, one row a sample; neutral values where an operation is not applied.

    Factors float32 `[M]` (1 is neutral; hue in turns, 0 is neutral), `gray` and `inverted` bool,
    `bits` uint8 (8 keeps all), `threshold` float32 (2 inverts nothing).
    """

    brightness: NDArray[np.float32]
    contrast: NDArray[np.float32]
    saturation: NDArray[np.float32]
    hue: NDArray[np.float32]
    gray: NDArray[np.bool_]
    inverted: NDArray[np.bool_]
    bits: NDArray[np.uint8]
    threshold: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Plan:
    """Every decision about a batch: a struct of arrays, one row a sample.

    Of the `M` rows the first `count` come out; the others are only partners in mixing. Pixels and
    labels follow the same plan. `size` is `(height, width)` of the output.
    """

    policy: Policy
    seed: int
    epoch: int
    ids: Ids
    count: int
    size: tuple[int, int]
    window: WindowDraws
    frames: FrameSteps  # what is done to the frame before its pixels move
    flip_x: NDArray[np.bool_]
    flip_y: NDArray[np.bool_]
    warped: NDArray[np.bool_]  # whether anything but flips moves the pixels
    inverse: NDArray[np.float32]  # [M, 3, 3] output pixel (x, y, 1) -> source pixel, flips included
    colors: Colors
    mixes: Mixes
    cutout: NDArray[np.int32]  # [M, 4] top, left, bottom, right; empty where not applied
    erased: NDArray[np.int32]  # [M, 4] likewise
    sigma: NDArray[np.float32]  # noise, 0 where not applied
    salt: NDArray[np.uint32]  # pixels whose 16 random bits lie in [pepper, salt) turn white
    pepper: NDArray[np.uint32]  # and those in [0, pepper) black
    decisions: Decisions  # the same in the operations' own terms, for people

    def __len__(self) -> int:
        return self.count


def draw_plan(policy: Policy, rows: Rows, *, seed: int, epoch: int, size: tuple[int, int]) -> Plan:
    """Return the plan of some samples; a pure function of its arguments.

    `size` is `(height, width)` of the output. Raises `InputError` for a seed or an epoch out of
    range and for operations that do not fit the size.
    """
    check_key(seed, epoch)
    draws = Draws(policy, seed, epoch, rows.ids)
    decisions: Decisions = {}
    flip_x, flip_y, warped, inverse = _draw_geometry(policy, draws, decisions, size)
    mixer = next((item for item in policy.operations if isinstance(item, Mixup | CutMix | OneOf)),
                 None)  # fmt: skip
    none = np.zeros((len(rows), 4), np.int32)
    cutout, erasing = policy.find(Cutout), policy.find(RandomErasing)
    pepper, salt = _draw_salt(policy, draws, decisions)
    return Plan(
        policy, seed, epoch, rows.ids, rows.count, size,
        WindowDraws(policy, seed, epoch, rows.ids),
        draw_frames(policy, draws, decisions, size),
        flip_x, flip_y, warped, inverse,
        colors=_draw_colors(policy, draws, decisions),
        mixes=draw_mixes(mixer, draws, rows, size) if mixer else unmixed(len(rows)),
        cutout=draw_cutout(cutout, draws, size) if cutout else none,
        erased=draw_erasing(erasing, draws, size) if erasing else none,
        sigma=_draw_sigma(policy, draws, decisions),
        salt=salt, pepper=pepper, decisions=decisions,
    )  # fmt: skip


def _draw_geometry(
    policy: Policy, draws: Draws, decisions: Decisions, size: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]]:
    count = len(draws.ids)
    flips = {HorizontalFlip: np.zeros(count, np.bool_), VerticalFlip: np.zeros(count, np.bool_)}
    warped = np.zeros(count, np.bool_)
    for operation in policy.operations:
        if isinstance(operation, Affine):
            decisions[operation.op] = values = decide(operation, draws)
            if isinstance(operation, HorizontalFlip | VerticalFlip):
                flips[type(operation)] |= values["applied"]
            else:
                warped |= values["applied"]
    kinds = {type(item) for item in policy.operations if isinstance(item, Affine)}
    if not kinds <= flips.keys():
        inverse = compose(policy, decisions, size).astype(np.float32)
    elif kinds:
        inverse = flipped(flips[HorizontalFlip], flips[VerticalFlip], size)
    else:
        inverse = np.broadcast_to(np.eye(3, dtype=np.float32), (count, 3, 3))
    return flips[HorizontalFlip], flips[VerticalFlip], warped, inverse


def _draw_colors(policy: Policy, draws: Draws, decisions: Decisions) -> Colors:
    count = len(draws.ids)
    factors = {name: np.ones(count, np.float32) for name in ("brightness", "contrast",
                                                            "saturation")}  # fmt: skip
    factors["hue"] = np.zeros(count, np.float32)
    if jitter := policy.find(ColorJitter):
        u, applied = draws.of(jitter), draws.applied(jitter)
        decisions[jitter.op] = {"applied": applied}
        for k, name in enumerate(factors):
            about, low = (0.0, None) if name == "hue" else (1.0, 0.0)
            bounds = interval(getattr(jitter, name), about=about, low=low)
            drawn = between(u[1 + k], *bounds)
            decisions[jitter.op][name] = drawn
            factors[name][applied] = drawn[applied]
    flags = {}
    for cls in (Grayscale, Invert, Posterize, Solarize):
        operation: Any = policy.find(cls)
        flags[cls] = draws.applied(operation) if operation else np.zeros(count, np.bool_)
        if operation:
            decisions[operation.op] = {"applied": flags[cls]}
    bits, threshold = np.full(count, 8, np.uint8), np.full(count, 2.0, np.float32)
    if posterize := policy.find(Posterize):
        bits[flags[Posterize]] = posterize.bits
    if solarize := policy.find(Solarize):
        threshold[flags[Solarize]] = solarize.threshold
    return Colors(
        factors["brightness"], factors["contrast"], factors["saturation"], factors["hue"],
        flags[Grayscale], flags[Invert], bits, threshold,
    )  # fmt: skip


def _draw_sigma(policy: Policy, draws: Draws, decisions: Decisions) -> NDArray[np.float32]:
    noise = policy.find(GaussianNoise)
    if noise is None:
        return np.zeros(len(draws.ids), np.float32)
    applied = draws.applied(noise)
    bounds = noise.sigma if isinstance(noise.sigma, tuple) else (noise.sigma, noise.sigma)
    sigma = between(draws.of(noise)[1], *bounds)
    decisions[noise.op] = {"applied": applied, "sigma": sigma}
    return np.where(applied, sigma, 0.0).astype(np.float32)


def _draw_salt(
    policy: Policy, draws: Draws, decisions: Decisions
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    noise = policy.find(SaltAndPepper)
    if noise is None:
        none = np.zeros(len(draws.ids), np.uint32)
        return none, none
    applied = draws.applied(noise)
    bounds = noise.amount if isinstance(noise.amount, tuple) else (noise.amount, noise.amount)
    amount = between(draws.of(noise)[1], *bounds)
    decisions[noise.op] = {"applied": applied, "amount": amount}
    hit = np.where(applied, amount * 65536.0, 0.0)
    pepper = np.round(hit * (1.0 - noise.salt)).astype(np.uint32)
    return pepper, np.round(hit).astype(np.uint32)


__all__ = [
    "CUTMIX",
    "GROUP",
    "MIXUP",
    "NONE",
    "Colors",
    "FrameSteps",
    "Mixes",
    "Plan",
    "Rows",
    "WindowDraws",
    "Windows",
    "draw_plan",
]
