"""torchvision's transforms v2 on the batch: one set of parameters for all of its images."""

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
    Solarize,
    TrivialAugmentWide,
)
from benchmarks.kernel_peer import Affine, Made, Work, lacking, steps

CLASSES = 10
BATCH = "one set of parameters for the whole batch"
LABELS = "mixes labels as well"
# Done to uint8, as its documentation advises; all others to floats.
BYTES = (
    RandomCrop,
    HorizontalFlip,
    Affine,
    Perspective,
    ColorJitter,
    Grayscale,
    Posterize,
    Solarize,
    TrivialAugmentWide,
)


def make(work: Work) -> Made:
    """Return the chain of a work in torchvision's transforms."""
    notes = [BATCH]
    found = list(steps(work.policy))
    before = [_part(step, work, notes) for step in found if isinstance(step, BYTES)]
    after = [_part(step, work, notes) for step in found if not isinstance(step, BYTES)]
    transforms = [*before, _v2().ToDtype(torch.float32, scale=True), *after]

    @torch.inference_mode()
    def run(planes: torch.Tensor) -> torch.Tensor:
        values = planes
        for transform in transforms:
            values = transform(values)
        return work.given_out(values)

    return Made(run, tuple(dict.fromkeys(notes)))


def _v2() -> Any:
    # The one place that imports it, for a machine that lacks it.
    from torchvision.transforms import v2  # type: ignore[import-not-found, unused-ignore]

    return v2


def _part(step: Any, work: Work, notes: list[str]) -> Any:
    v2, shape = _v2(), work.shape
    bilinear = v2.InterpolationMode.BILINEAR
    match step:
        case RandomCrop(mode=mode):
            return v2.RandomCrop(shape.size, padding=step.padding, padding_mode=mode)
        case HorizontalFlip(p=p):
            return v2.RandomHorizontalFlip(p)
        case Affine(translate=None, scale=None, shear=None):
            return _some(v2.RandomRotation(step.degrees, bilinear), step.p)
        case Affine():
            parameters = (step.degrees, step.translate, step.scale, step.shear)
            return _some(v2.RandomAffine(*parameters, interpolation=bilinear), step.p)
        case Perspective(distortion=distortion, p=p):
            return v2.RandomPerspective(distortion, p, bilinear)
        case ColorJitter():
            notes += ["contrast about the mean"] if step.about == "half" else []
            notes += ["hue in HSV"] if step.hue else []
            factors = (step.brightness, step.contrast, step.saturation, step.hue)
            return _some(v2.ColorJitter(*factors), step.p)
        case Grayscale(p=p):
            return v2.RandomGrayscale(p)
        case Posterize(bits=bits, p=p):
            return v2.RandomPosterize(bits, p)
        case Solarize(threshold=threshold, p=p):
            return v2.RandomSolarize(round(255 * threshold), p)
        case TrivialAugmentWide():
            return v2.TrivialAugmentWide()
        case Mixup(alpha=alpha):
            return _mixing(v2.MixUp(alpha=alpha, num_classes=CLASSES), work, notes)
        case CutMix(alpha=alpha):
            return _mixing(v2.CutMix(alpha=alpha, num_classes=CLASSES), work, notes)
        case OneOf(operations=operations):
            return v2.RandomChoice([_part(item, work, notes) for item in operations])
        case Cutout(size=int(size)):
            notes.append("Cutout stays inside the image")
            area = size * size / (shape.height * shape.width)
            return v2.RandomErasing(step.p, (area, area), (1.0, 1.0), value=0.0)
        case RandomErasing(scale=scale, ratio=ratio, fill=0.0, p=p):
            return v2.RandomErasing(p, scale, ratio, value=0.0)
        case Normalize(mean=mean, std=std):
            lists = (list(v) if isinstance(v, tuple) else [v] for v in (mean, std))
            return v2.Normalize(*lists)
        case GaussianNoise(sigma=float(sigma), p=p):
            return _some(v2.GaussianNoise(0.0, sigma, clip=False), p)
    raise lacking(step)


def _mixing(transform: Any, work: Work, notes: list[str]) -> Any:
    # It wants labels.
    notes.append(LABELS)
    labels = torch.arange(work.shape.batch, device=work.device) % CLASSES
    return lambda images: transform(images, labels)[0]


def _some(transform: Any, p: float) -> Any:
    return transform if p == 1 else _v2().RandomApply([transform], p)
