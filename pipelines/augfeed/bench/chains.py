"""What is measured: the seed chain, with and without noise, and each operation alone."""

from collections.abc import Callable, Sequence
from typing import Any

from augfeed.bench.result import Shape
from augfeed.errors import InputError
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
    Policy,
    Posterize,
    RandomCrop,
    RandomErasing,
    Rotate,
    SaltAndPepper,
    Scale,
    Shear,
    Solarize,
    Translate,
    TrivialAugmentWide,
)
from augfeed.presets import IMAGENET_MEAN, IMAGENET_STD, cifar, seed_chain

SMALL = 64  # pixels a side up to which images are cut out of a padded frame
PADDING = 4


def chains(shape: Shape) -> dict[str, Policy]:
    """Return the chains for a shape, by name; images come in the size of the output.

    The window of the seed chain and label smoothing are left out: they are not work of an engine.
    An operation alone is done to every sample (the flip to half), so that none is idle.
    """
    color = shape.channels == 3
    mean: Any = IMAGENET_MEAN if color else 0.5
    std: Any = IMAGENET_STD if color else 0.25
    statistics = Normalize(mean, std)
    whole = seed_chain(shape.size, mean, std).without("random_resized_crop", "label_smoothing")
    side = min(shape.size)
    jitter = ColorJitter(0.4, 0.4, 0.4, about="half")
    affine = (Rotate(15), Translate(0.1, 0.1), Scale((0.8, 1.2)), Shear(10))
    alone: dict[str, tuple[Any, ...]] = {
        "convert": (),
        "normalize": (statistics,),
        "flip": (HorizontalFlip(),),
        "rotate": (Rotate(15),),
        "affine": affine,
        "perspective": (Perspective(0.5, p=1.0),),
        "jitter": (ColorJitter(0.4, 0.4, 0.4, 0.1),),
        "jitter_about_half": (jitter,),
        "grayscale": (Grayscale(1.0),),
        "posterize": (Posterize(4, p=1.0),),
        "solarize": (Solarize(0.5, p=1.0),),
        "mixup": (Mixup(0.2),),
        "cutmix": (CutMix(1.0),),
        "cutout": (Cutout(max(1, side // 4)),),
        "erasing": (RandomErasing(p=1.0),),
        "gaussian_noise": (GaussianNoise(0.05),),
        "salt_and_pepper": (SaltAndPepper(0.02),),
        "crop_flip_normalize": (
            RandomCrop(shape.size, padding=max(1, side // 8)),
            HorizontalFlip(),
            statistics,
        ),
        # What a fused kernel elsewhere can do as well.
        "flip_jitter_normalize": (HorizontalFlip(), jitter, Grayscale(0.1), statistics),
        "affine_jitter_normalize": (HorizontalFlip(), *affine, jitter, Grayscale(0.1), statistics),
    }
    made = {"seed_chain": whole, "seed_chain_no_noise": whole.without("gaussian_noise")}
    # A recipe of one pass over the pixels: that of `presets.imagenet` has a program besides.
    made["imagenet"] = Policy([
        HorizontalFlip(), ColorJitter(0.4, 0.4, 0.4), OneOf((Mixup(0.2), CutMix(1.0))),
        RandomErasing(0.25), statistics,
    ])  # fmt: skip
    # A program for each sample: its steps write frames, which the pass reads.
    made["trivial_augment"] = Policy([
        HorizontalFlip(), TrivialAugmentWide(), RandomErasing(0.1), statistics,
    ])  # fmt: skip
    made |= {name: Policy(operations) for name, operations in alone.items()}
    if max(shape.size) <= SMALL:
        made["padded_crop"] = Policy([RandomCrop(shape.size, padding=PADDING)])
    if shape.size == (32, 32) and color:
        made["cifar"] = cifar().without("label_smoothing")
    return made


def chosen(
    shapes: Sequence[Shape],
    names: Sequence[str] | None,
    made: Callable[[Shape], dict[str, Policy]] = chains,
) -> dict[Shape, dict[str, Policy]]:
    """Return the chains that were asked for, for each shape; all of them without names."""
    found = {shape: made(shape) for shape in shapes}
    every = list(dict.fromkeys(name for known in found.values() for name in known))
    for name in names or ():
        if name not in every:
            raise InputError(f"chain={name!r} is unknown for these shapes: use one of {every}")
    return {
        shape: {name: policy for name, policy in known.items() if not names or name in names}
        for shape, known in found.items()
    }
