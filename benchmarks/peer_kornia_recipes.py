"""Programs in Kornia's augmentation classes, each sample with steps of its own."""

import math
from collections.abc import Callable
from typing import Any

import kornia.augmentation as K
import torch

from benchmarks import peer_torch
from benchmarks.chain import BLUR_SIGMA, BLUR_TAPS, SIMCLR, Chain

Pair = tuple[torch.Tensor, torch.Tensor]
Change = Callable[[torch.Tensor], torch.Tensor]
TRIVIAL = (
    "its own TrivialAugment draws one step for a batch: its classes are called on the samples that "
    "drew each; strengths are uniform, geometry is about the center; mixing by PyTorch"
)
VIEWS = "the order of the jitter's steps is drawn for the batch"


class Recipe:
    """Crop and flip by Kornia's classes if `whole`, then the program, erasing, mixing."""

    def __init__(self, chain: Chain, classes: int, *, whole: bool) -> None:
        self.chain, self.classes = chain, classes
        size = (chain.size, chain.size)
        window: list[torch.nn.Module] = []
        if whole and chain.crop and chain.padding:
            window.append(K.RandomCrop(size, padding=chain.padding, cropping_mode="slice"))
        if whole and chain.flip:
            window.append(K.RandomHorizontalFlip(p=chain.flip))
        self.window, self.program = torch.nn.Sequential(*window), program_of(chain.program)
        after: list[torch.nn.Module] = [K.Normalize(chain.mean, chain.std)]
        if chain.erasing:
            after.append(K.RandomErasing((0.02, 0.33), (0.3, 1 / 0.3), value=0.0, p=chain.erasing))
        self.after = torch.nn.Sequential(*after)

    @torch.inference_mode()
    def augment(self, images: torch.Tensor, labels: torch.Tensor) -> Pair:
        """Return the batch of uint8 images `[B, C, H, W]` after the recipe."""
        values = self.program(self.window(images.float().mul_(1 / 255)))
        values = self.after(values)
        if not self.chain.softens:
            return values, labels
        return peer_torch.mix(values, labels, self.chain, self.classes)


def program_of(line: str) -> Change:
    """Return what a program in augfeed's notation is in Kornia's classes, on values in [0, 1]."""
    if line == "trivial_augment_wide":
        return Trivial()
    if line == SIMCLR:
        blur = K.RandomGaussianBlur((BLUR_TAPS, BLUR_TAPS), BLUR_SIGMA, p=0.5)
        jitter = K.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8)
        return torch.nn.Sequential(jitter, K.RandomGrayscale(p=0.2), blur)
    if line:
        raise ValueError(f"{line!r} is not a program of Kornia's")
    return torch.nn.Identity()


class Trivial:
    """TrivialAugmentWide: one of 14 steps for each sample."""

    def __init__(self) -> None:
        factor, slant = (0.01, 1.99), math.degrees(math.atan(0.99))
        self.steps: tuple[Any, ...] = (
            torch.nn.Identity(),
            K.RandomAffine(0.0, shear=(-slant, slant, 0.0, 0.0), p=1.0),
            K.RandomAffine(0.0, shear=(0.0, 0.0, -slant, slant), p=1.0),
            K.RandomTranslate(translate_x=(-1.0, 1.0), p=1.0),
            K.RandomTranslate(translate_y=(-1.0, 1.0), p=1.0),
            K.RandomRotation(135.0, p=1.0),
            K.ColorJitter(brightness=factor, p=1.0),
            K.ColorJitter(saturation=factor, p=1.0),
            K.ColorJitter(contrast=factor, p=1.0),
            K.RandomSharpness((0.0, 1.99), p=1.0),
            K.RandomPosterize((2, 8), p=1.0),
            K.RandomSolarize((0.0, 1.0), (0.0, 0.0), p=1.0),
            K.RandomAutoContrast(p=1.0),
            K.RandomEqualize(p=1.0),
        )

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Return float32 `[B, C, H, W]` after a step for each sample."""
        drawn = torch.randint(len(self.steps), (len(values),))
        made = values.clone()
        for k, step in enumerate(self.steps[1:], 1):
            rows = (drawn == k).nonzero()[:, 0]
            if len(rows):
                made[rows] = step(values[rows])
        return made
