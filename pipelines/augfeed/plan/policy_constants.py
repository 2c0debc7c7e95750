"""What a policy fixes for all samples alike: fills, border rules, statistics."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.constants import EDGES
from augfeed.errors import InputError
from augfeed.policy import (
    Border,
    Cutout,
    GaussianNoise,
    Letterbox,
    Normalize,
    Policy,
    RandomCrop,
    RandomErasing,
)
from augfeed.policy.images import check_rgb, looks_at_colors


@dataclass(frozen=True, slots=True)
class PolicyConstants:
    """Constants of a policy for images of a number of channels.

    Modes are 0 constant, 1 edge, 2 reflect. Padding and border fill, float64 `[C]`, are in pixel
    space [0, 1]; `mean`, `std` and `sigma_scale` float32 `[C]`; the fills of cutout and
    erasing are in the space of the output.
    """

    channels: int
    pad_mode: int
    pad_fill: NDArray[np.float64]
    border_mode: int
    border_fill: NDArray[np.float64]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    normalized: bool
    cutout_fill: float
    erase_fill: float
    erase_noise: bool
    sigma_scale: NDArray[np.float32]
    plane: int  # of the image that channel 0 here is, for what is drawn for every value
    statistics: NDArray[np.float32]  # [5, C] mean, std, zeros, ones, `sigma_scale`

    @classmethod
    def of(cls, policy: Policy, channels: int) -> "PolicyConstants":
        """Return the constants; raise `InputError` if the policy is for other channels."""
        return _fixed(policy, channels)

    def of_channels(self, first: int, end: int) -> "PolicyConstants":
        """Return the constants of some channels, as an image of their own."""
        one = slice(first, end)
        parts = ("pad_fill", "border_fill", "mean", "std", "sigma_scale")
        own: dict[str, Any] = {name: getattr(self, name)[one].copy() for name in parts}
        statistics = np.ascontiguousarray(self.statistics[:, one])
        return replace(self, channels=end - first, plane=self.plane + first,
                       statistics=statistics, **own)  # fmt: skip


@lru_cache(maxsize=64)  # asked for every batch
def _fixed(policy: Policy, channels: int) -> PolicyConstants:
    check_rgb(policy, channels)
    crop, border = policy.find(RandomCrop) or policy.find(Letterbox), policy.find(Border)
    normalize = policy.find(Normalize)
    cutout, erasing = policy.find(Cutout), policy.find(RandomErasing)
    noise = policy.find(GaussianNoise)
    colors = _channels("normalize(mean", normalize.mean if normalize else 0.0, channels)
    spread = _channels("normalize(std", normalize.std if normalize else 1.0, channels)
    mean, std = colors.astype(np.float32), spread.astype(np.float32)
    fill: Any = erasing.fill if erasing else 0.0
    scale = np.float32(1) / std if noise and noise.space == "pixel" else np.ones_like(std)
    return PolicyConstants(
        channels,
        EDGES[crop.mode] if crop else 0,
        _fill(crop, colors, channels),
        EDGES[border.mode] if border else 0,
        _fill(border, colors, channels),
        mean,
        std,
        normalize is not None,
        cutout.fill if cutout else 0.0,
        0.0 if isinstance(fill, str) else float(fill),
        fill == "noise",
        scale,
        0,
        np.stack([mean, std, np.zeros_like(mean), np.ones_like(std), scale]),
    )


def channels_together(policy: Policy, channels: int) -> list[tuple[int, int]]:
    """Return (first, end) of channels that are made as an image of 1 or of 3: three where none
    looks at another."""
    step = 1 if looks_at_colors(policy) else 3
    threes = channels - channels % step
    return [*((first, first + step) for first in range(0, threes, step)),
            *((first, first + 1) for first in range(threes, channels))]  # fmt: skip


@lru_cache(maxsize=256)
def policy_of_channels(policy: Policy, first: int, end: int) -> Policy:
    """Return a policy with the numbers of some channels alone where it has one for each."""

    def own(value: Any) -> Any:
        return value[first:end] if isinstance(value, tuple) and len(value) > 1 else value

    made: list[Any] = []
    for item in policy.operations:
        if isinstance(item, RandomCrop | Letterbox | Border):
            item = replace(item, fill=own(item.fill))
        elif isinstance(item, Normalize):
            item = replace(item, mean=own(item.mean), std=own(item.std))
        made.append(item)
    return Policy(made)


def channels_of(policy: Policy) -> int:
    """Return for how many channels a policy has numbers; 3 if it has none for each."""
    found = [policy.find(cls) for cls in (RandomCrop, Letterbox, Border, Normalize)]
    given = [getattr(item, name, None) for item in found for name in ("fill", "mean", "std")]
    return max((len(value) for value in given if isinstance(value, tuple) and len(value) > 1),
               default=3)  # fmt: skip


def _fill(
    item: RandomCrop | Letterbox | Border | None, mean: NDArray[np.float64], channels: int
) -> NDArray[np.float64]:
    if item is None:
        return np.zeros(channels)
    return mean if item.fill == "mean" else _channels(f"{item.op}(fill", item.fill, channels)


def _channels(name: str, value: tuple[float, ...] | float, channels: int) -> NDArray[np.float64]:
    values = value if isinstance(value, tuple) else (value,) * channels
    if len(values) == 1:
        values = values * channels
    if len(values) != channels:
        raise InputError(
            f"{name}={value!r}) is for {len(values)} channels and the images have "
            f"{channels}: give one number, or {channels}"
        )
    return np.array(values, np.float64)
