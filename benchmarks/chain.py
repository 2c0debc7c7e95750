"""The work that every contestant does, and how augfeed is reported to do it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch

from augfeed import DataLoader, Policy, parse_policy
from augfeed.policy import (
    Border,
    ColorJitter,
    CutMix,
    Cutout,
    GaussianNoise,
    HorizontalFlip,
    LabelSmoothing,
    Mixup,
    Normalize,
    OneOf,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
)

Part = Literal[
    "crop", "flip", "jitter", "mixing", "cutout", "noise", "smoothing", "program", "erasing"
]
OF_RECIPES: tuple[Part, ...] = ("program", "erasing")
PARTS: tuple[Part, ...] = tuple(part for part in get_args(Part) if part not in OF_RECIPES)
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)  # of the resized crop
BLUR_TAPS, BLUR_SIGMA = 23, (0.1, 2.0)
# SimCLR's at 224 pixels (2002.05709), in its order.
SIMCLR = (
    'sequence([color_jitter(0.8, 0.8, 0.8, 0.2, p=0.8, hue_space="hsv", ordering="random", '
    'clamp="each"), grayscale(p=0.2), gaussian_blur(23, [0.1, 2.0], p=0.5)])'
)
ALPHA = 1.0  # Beta(1, 1) is uniform: the only law that Kornia's Mixup has


@dataclass(frozen=True)
class Chain:
    """What is done to a batch; a part is off at 0 or False.

    Window (a crop of the padded image, or a resized crop if `padding` is None), flip,
    brightness, contrast, saturation and hue, Mixup or CutMix with equal chances, Cutout with a
    uniform center and fill 0 after normalization, normalization, noise, label smoothing.
    Published recipes have a `program`, in augfeed's notation, after the flip, erase a box with
    probability `erasing`, and mix by `alphas` of Mixup and CutMix.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    padding: int | None
    crop: bool = True
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    mixing: bool = True
    cutout: int = 0
    noise: float = 0.05
    smoothing: float = 0.1
    program: str = ""
    erasing: float = 0.0
    alphas: tuple[float, float] = (ALPHA, ALPHA)

    @property
    def softens(self) -> bool:
        """Whether labels become shares."""
        return self.mixing or self.smoothing > 0

    def only(self, *parts: Part) -> "Chain":
        """Return the chain with these parts alone; normalization stays."""
        off: dict[Part, Any] = {
            "crop": False, "flip": 0.0, "jitter": (0.0,) * 4, "mixing": False, "cutout": 0,
            "noise": 0.0, "smoothing": 0.0, "program": "", "erasing": 0.0,
        }  # fmt: skip
        changed: dict[str, Any] = {name: off[name] for name in off if name not in parts}
        return replace(self, **changed)

    def plain(self) -> "Chain":
        """Return the chain with values in [0, 1] in place of normalized ones."""
        return replace(self, mean=(0.0,) * len(self.mean), std=(1.0,) * len(self.std))


def policy_of(chain: Chain, *, normalize: bool = True) -> Policy:
    """Return the policy that says what a chain says; bytes are given out without `normalize`."""
    operations: list[Any] = [Normalize(chain.mean, chain.std)] if normalize else []
    if chain.padding is None:
        operations.append(RandomResizedCrop(chain.size, AREA, ASPECT, p=float(chain.crop)))
    else:
        operations.append(RandomCrop(chain.size, chain.padding if chain.crop else 0))
    if chain.flip:
        operations.append(HorizontalFlip(chain.flip))
    if any(chain.jitter):
        operations.append(ColorJitter(*chain.jitter))
    if chain.program:
        operations += parse_policy(chain.program).operations
        # timm fills with the mean color what geometry finds outside, torchvision with black.
        operations += [Border(fill="mean")] if chain.program.startswith("timm") else []
    if chain.mixing:
        operations.append(OneOf((Mixup(chain.alphas[0]), CutMix(chain.alphas[1]))))
    if chain.cutout:
        operations.append(Cutout(chain.cutout))
    if chain.erasing:
        operations.append(RandomErasing(chain.erasing))
    if chain.noise:
        operations.append(GaussianNoise(chain.noise))
    if chain.smoothing:
        operations.append(LabelSmoothing(chain.smoothing))
    return Policy(operations)


class Augfeed:
    """Passes of an `augfeed.DataLoader`, each the next epoch."""

    def __init__(
        self, source: Any, chain: Chain, *, batch: int, threads: int, **options: Any
    ) -> None:
        self.loader = DataLoader(
            source, batch, shuffle=True, drop_last=True, num_workers=threads,
            policy=policy_of(chain, normalize=options.get("dtype") != torch.uint8), **options,
        )  # fmt: skip

    def __call__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self.loader)
