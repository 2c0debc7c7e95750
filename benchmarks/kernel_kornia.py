"""Kornia's augmentation classes on the batch, each image with parameters of its own."""

from typing import Any

import torch

from augfeed.policy import (
    ColorJitter,
    CutMix,
    Cutout,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Mixup,
    Normalize,
    OneOf,
    Perspective,
    Posterize,
    RandomCrop,
    RandomErasing,
    SaltAndPepper,
    Solarize,
)
from benchmarks.kernel_peer import Affine, Augment, Made, Work, lacking, steps

LAMBDA = "lambda is uniform"
HALF = "contrast about the mean"
CUTOUT = "Cutout stays inside the image"
HUE = "hue in HSV"
CHOICE = "Mixup or CutMix is chosen for the batch as a whole"


def make(work: Work) -> Made:
    """Return the chain of a work in Kornia's classes."""
    run, notes = _chain(work)
    return Made(torch.inference_mode()(run), notes)


def make_compiled(work: Work) -> Made:
    """Return the same, compiled by torch as a whole as far as torch can."""
    run, notes = _chain(work)
    # Compiled inside it, torch 2.11 fails at Kornia's Normalize, and leaves torch unusable.
    return Made(torch.inference_mode()(torch.compile(run, dynamic=False)), notes)


def _chain(work: Work) -> tuple[Augment, tuple[str, ...]]:
    notes: list[str] = []
    parts: list[Any] = [_part(step, work, notes) for step in steps(work.policy)]
    modules = torch.nn.ModuleList(parts).to(work.device)

    def run(planes: torch.Tensor) -> torch.Tensor:
        values = planes.float().mul_(1 / 255)
        for module in modules:
            values = module(values)
        return work.given_out(values)

    return run, tuple(dict.fromkeys(notes))


def _part(step: Any, work: Work, notes: list[str]) -> Any:
    import kornia.augmentation as K

    shape, keys = work.shape, {"data_keys": ["input"]}
    match step:
        case HorizontalFlip(p=p):
            return K.RandomHorizontalFlip(p=p)
        case Affine(translate=None, scale=None, shear=None):
            return K.RandomRotation(step.degrees, p=step.p)
        case Affine():
            return K.RandomAffine(step.degrees, step.translate, step.scale, step.shear, p=step.p)
        case Perspective(distortion=distortion, p=p):
            return K.RandomPerspective(distortion, p=p)
        case ColorJitter():
            # ColorJitter scales the distance to the mean; ColorJiggle has another law.
            notes += [HALF] if step.about == "half" else []
            notes += [HUE] if step.hue else []
            return K.ColorJitter(
                step.brightness, step.contrast, step.saturation, step.hue, p=step.p
            )
        case Grayscale(p=p):
            return K.RandomGrayscale(p=p)
        case Posterize(bits=bits, p=p):
            return K.RandomPosterize((float(bits), float(bits)), p=p)
        case Solarize(threshold=threshold, p=p):
            return K.RandomSolarize((threshold, threshold), (0.0, 0.0), p=p)
        case Mixup(alpha=alpha):
            notes += [LAMBDA] if alpha != 1 else []
            return K.RandomMixUpV2(**keys)
        case CutMix():
            return K.RandomCutMixV2(use_correct_lambda=True, **keys)
        case OneOf(operations=operations):
            notes.append(CHOICE)
            return _Choice([_part(item, work, notes) for item in operations])
        case Cutout(size=int(size)):
            # Erasing with one area and one aspect is a square of fixed size.
            notes.append(CUTOUT)
            area = size * size / (shape.height * shape.width)
            return K.RandomErasing((area, area), (1.0, 1.0), value=0.0, p=step.p)
        case RandomErasing(scale=scale, ratio=ratio, fill=0.0, p=p):
            return K.RandomErasing(scale, ratio, value=0.0, p=p)
        case Normalize(mean=mean, std=std):
            return K.Normalize(*(torch.as_tensor(part, device=work.device) for part in (mean, std)))
        case GaussianNoise(sigma=float(sigma), p=p):
            return K.RandomGaussianNoise(0.0, sigma, p=p)
        case SaltAndPepper(amount=float(amount), salt=salt, p=p):
            return K.RandomSaltAndPepperNoise((amount, amount), (salt, salt), p=p)
        case RandomCrop(mode=mode) if mode != "edge":
            # Of the two modes, "slice" took half the time of "resample" on a CPU.
            return K.RandomCrop(
                shape.size, step.padding, padding_mode=mode, cropping_mode="slice", p=step.p
            )
    raise lacking(step)


class _Choice(torch.nn.Module):
    """One of several modules, chosen for the batch as a whole, on the host."""

    def __init__(self, modules: list[Any]) -> None:
        super().__init__()
        self.choices = torch.nn.ModuleList(modules)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        which = int(torch.randint(len(self.choices), ()))
        made: torch.Tensor = self.choices[which](values)
        return made
