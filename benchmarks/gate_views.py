"""The gate of the benchmark of views: who does other work is not timed."""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch

from augfeed.presets import IMAGENET_MEAN, IMAGENET_STD
from benchmarks.gate import BASE, GateError
from benchmarks.peer_views import NUMBERS, Passes

# What is looked at in each view of each photo, and how far the means over all photos may lie apart
# from augfeed's beyond chance: for libraries round, interpolate and cut kernels in their own ways.
NEAR = {"mean": 0.03, "deviation": 0.03, "detail": 0.015, "unlikeness": 0.03, "gray": 0.02,
        "dark": 0.02}  # fmt: skip
ERRORS = 4.0  # standard errors of the difference of two means that chance is granted
PHOTOS = 256  # that are looked at, at least: passes are repeated where there are fewer
GRAY, MIDDLE = 0.02, 0.51  # a range of channels, and a value, in 0 to 1
SEED = 0  # of PyTorch, and so of the workers of others: a gate that opens once opens again
Seen = dict[str, torch.Tensor]  # for each law, float64 `[photos, statistics]`


def laws(name: str) -> dict[str, tuple[str, slice]]:
    """Return the views of a recipe that have one law: its tensor, and which views of it."""
    if name == "simclr":
        return {"global": ("global", slice(0, 2))}
    return {
        "global 1": ("global", slice(0, 1)), "global 2": ("global", slice(1, 2)),
        "local": ("local", slice(0, 8)),
    }  # fmt: skip


class ViewsGate:
    """Compares contestants with augfeed, photo by photo: shapes, draws of their own, statistics."""

    def __init__(self, name: str, batch: int, photos: int) -> None:
        self.name, self.batch, self.photos = name, batch, photos
        self.base: Seen | None = None

    def check(self, who: str, passes: Passes) -> None:
        """Raise `GateError` unless a contestant does the recipe's work; augfeed comes first."""
        torch.manual_seed(SEED)
        rounds = math.ceil(PHOTOS / self.photos)
        each = [self._one_pass(who, passes) for _ in range(rounds)]
        seen = {law: torch.stack([one[law] for one in each]).mean(0) for law in laws(self.name)}
        if who == BASE:
            self.base = seen
        elif self.base is None:
            raise ValueError(f"{who!r} came before {BASE!r}, which it is compared with")
        elif problems := compare(who, seen, self.base):
            raise GateError(problems)

    def _one_pass(self, who: str, passes: Passes) -> Seen:
        seen = {law: torch.full((self.photos, len(NEAR)), torch.nan, dtype=torch.float64)
                for law in laws(self.name)}  # fmt: skip
        came = torch.zeros(self.photos, dtype=torch.int64)
        for images, which in passes():
            self._check_shapes(who, images)
            came += torch.bincount(which, minlength=self.photos)
            found = {
                tensor: statistics(images[tensor].view(count, self.batch, 3, side, side))
                for tensor, (count, side) in NUMBERS[self.name].items()
            }
            for law, (tensor, some) in laws(self.name).items():
                seen[law][which] = found[tensor][some].mean(0)
        if not bool((came == 1).all()):
            raise GateError([f"{who}: not every photo came once in a pass"])
        return seen

    def _check_shapes(self, who: str, images: Mapping[str, torch.Tensor]) -> None:
        if images.keys() != NUMBERS[self.name].keys():
            raise GateError([f"{who}: gives {sorted(images)}"])
        for tensor, (count, side) in NUMBERS[self.name].items():
            values, wanted = images[tensor], (count * self.batch, 3, side, side)
            if tuple(values.shape) != wanted:
                raise GateError([f"{who}: {tensor} is not of shape {wanted}"])
            if values.dtype != torch.float32 or not bool(values.isfinite().all()):
                raise GateError([f"{who}: {tensor} is not finite float32"])
            views = values.view(count, self.batch, -1)
            if any(torch.equal(one, other) for one, other in pairwise(views)):
                raise GateError([f"{who}: two views of {tensor} are the same"])


def statistics(views: torch.Tensor) -> torch.Tensor:
    """Return float64 `[views, B, statistics]` of `[views, B, 3, side, side]`.

    `detail` is the mean difference of neighbors, which a blur lowers; `unlikeness` how far the mean
    lies from that of the view before, which crops and jitter raise; `gray` is 1 where channels are
    the same, `dark` where nothing is brighter than the middle, as in all that is solarized.
    """
    some = views[..., ::3, ::3]
    std, mean = torch.tensor(IMAGENET_STD), torch.tensor(IMAGENET_MEAN)
    plain = some * std.view(3, 1, 1) + mean.view(3, 1, 1)
    mean_of = some.mean((2, 3, 4))
    found = (
        mean_of, some.flatten(2).std(2), views[..., ::4, :].diff(dim=-1).abs().mean((2, 3, 4)),
        (mean_of - mean_of.roll(1, 0)).abs(),
        (plain.amax(2) - plain.amin(2)).amax((2, 3)) < GRAY, plain.amax((2, 3, 4)) < MIDDLE,
    )  # fmt: skip
    return torch.stack([values.double() for values in found], -1)


def compare(who: str, seen: Seen, base: Seen) -> list[str]:
    """Return what lies further from augfeed's than chance and rounding explain, photo by photo."""
    problems = []
    for law, values in seen.items():
        apart = values - base[law]
        errors = apart.std(0) / math.sqrt(len(apart))
        for k, (name, near) in enumerate(NEAR.items()):
            far, bound = abs(float(apart[:, k].mean())), near + ERRORS * float(errors[k])
            if far > bound:
                problems.append(
                    f"{who}: {name} of {law} is {float(values[:, k].mean()):.3f}, augfeed's "
                    f"{float(base[law][:, k].mean()):.3f}: more than {bound:.3f} apart"
                )
    return problems
