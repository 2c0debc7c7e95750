"""Policies of views that were published for self-supervised training, with the papers' numbers.

Steps are carried out in the order of the papers: flip and crop, color jitter by torchvision's law
in a random order, gray, blur, solarize. `augfeed.view_presets` makes sets of views of them. Where a
recipe blurs by Pillow's radius, the kernel has 13 taps, which is three of its largest sigmas.
"""

from typing import Any, Literal

from augfeed.errors import PolicyError
from augfeed.invariances import Invariances
from augfeed.operation.parameter_types import pair
from augfeed.policy import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Normalize,
    Policy,
    RandomResizedCrop,
    Sequence,
    Solarize,
)
from augfeed.published_recipes import IMAGENET_MEAN, IMAGENET_STD, Channels, Sides

VIEWS = Invariances(
    name="views", reason="views are to agree with each other: nobody trains on their labels"
)
PILLOW, DINO_V2 = 13, 9  # taps of the blur
WEAK, STRONG = (0.4, 0.4, 0.2, 0.1), (0.8, 0.8, 0.8, 0.2)
Blur = Literal["trained", "meant"]
Jitter = tuple[float, float, float, float]


def _policy(
    name: str, crop: tuple[Sides, tuple[float, float], Any], jitter: Jitter,
    blur: tuple[int, float], normalize: Normalize, *, solarize: float = 0.0,
) -> Policy:  # fmt: skip
    size, scale, interpolation = crop
    brightness, contrast, saturation, hue = jitter
    taps, p = blur
    steps: list[Any] = [
        ColorJitter(
            brightness,
            contrast,
            saturation,
            hue,
            p=0.8,
            hue_space="hsv",
            ordering="random",
            clamp="each",
        ),
        Grayscale(p=0.2),
    ]
    if p:
        # Half of a kernel has to be smaller than the image.
        steps.append(GaussianBlur(min(taps, 2 * min(pair(size)) - 1), (0.1, 2.0), p=p))
    if solarize:
        steps.append(Solarize(0.5, p=solarize))
    operations = [
        RandomResizedCrop(size, scale=scale, interpolation=interpolation), HorizontalFlip(),
        Sequence(tuple(steps)), normalize,
    ]  # fmt: skip
    return Policy(operations, invariances=VIEWS, name=name)


def _tenth(size: Sides) -> int:
    # SimCLR's kernel: a tenth of the side, and the middle.
    return 2 * (max(pair(size)) // 10 // 2) + 1


def simclr(
    size: Sides = 224,
    strength: float = 1.0,
    mean: Channels = IMAGENET_MEAN,
    std: Channels = IMAGENET_STD,
) -> Policy:
    """Return SimCLR's view (2002.05709): crop of 8 % or more, jitter 0.8, gray, blur of 50 %.

    `strength` is that of the jitter, 0.5 for CIFAR; the original leaves images in 0 to 1:
    https://github.com/google-research/simclr/blob/master/data_util.py
    """
    strong = strength * STRONG[0], strength * STRONG[1], strength * STRONG[2], strength * STRONG[3]
    return _policy("simclr", (size, (0.08, 1.0), "bicubic"), strong, (_tenth(size), 0.5),
                   Normalize(mean, std))  # fmt: skip


def moco_v3_1(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return the first view of MoCo v3 (2104.02057): every image is blurred.

    https://github.com/facebookresearch/moco-v3/blob/main/main_moco.py
    """
    return _policy("moco_v3_1", (size, (0.08, 1.0), "bilinear"), WEAK, (PILLOW, 1.0),
                   Normalize(mean, std))  # fmt: skip


def moco_v3_2(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return the second view of MoCo v3 (2104.02057): blur of 10 %, solarize of 20 %."""
    return _policy("moco_v3_2", (size, (0.08, 1.0), "bilinear"), WEAK, (PILLOW, 0.1),
                   Normalize(mean, std), solarize=0.2)  # fmt: skip


def byol_1(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return the first view of BYOL (2006.07733, appendix B): always blurred, by 23 taps."""
    return _policy("byol_1", (size, (0.08, 1.0), "bicubic"), WEAK, (23, 1.0),
                   Normalize(mean, std))  # fmt: skip


def byol_2(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return the second view of BYOL (2006.07733, appendix B): blur of 10 %, solarize of 20 %."""
    return _policy("byol_2", (size, (0.08, 1.0), "bicubic"), WEAK, (23, 0.1),
                   Normalize(mean, std), solarize=0.2)  # fmt: skip


def vicreg_1(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return the first view of VICReg (2105.04906): every image is blurred.

    https://github.com/facebookresearch/vicreg/blob/main/augmentations.py
    """
    return _policy("vicreg_1", (size, (0.08, 1.0), "bicubic"), WEAK, (PILLOW, 1.0),
                   Normalize(mean, std))  # fmt: skip


def vicreg_2(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return the second view of VICReg (2105.04906): blur of 10 %, solarize of 20 %."""
    return _policy("vicreg_2", (size, (0.08, 1.0), "bicubic"), WEAK, (PILLOW, 0.1),
                   Normalize(mean, std), solarize=0.2)  # fmt: skip


def swav_global(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = (0.228, 0.224, 0.225)
) -> Policy:
    """Return the large view of SwAV (2006.09882): 14 % of the area or more, jitter 0.8.

    https://github.com/facebookresearch/swav/blob/main/src/multicropdataset.py
    """
    return _policy("swav_global", (size, (0.14, 1.0), "bilinear"), STRONG, (PILLOW, 0.5),
                   Normalize(mean, std))  # fmt: skip


def swav_local(
    size: Sides = 96, mean: Channels = IMAGENET_MEAN, std: Channels = (0.228, 0.224, 0.225)
) -> Policy:
    """Return the small view of SwAV (2006.09882): 5 % to 14 % of the area."""
    return _policy("swav_local", (size, (0.05, 0.14), "bilinear"), STRONG, (PILLOW, 0.5),
                   Normalize(mean, std))  # fmt: skip


def dino_global_1(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return DINO's first large view (2104.14294): 40 % of the area or more, always blurred.

    https://github.com/facebookresearch/dino/blob/main/main_dino.py
    """
    return _policy("dino_global_1", (size, (0.4, 1.0), "bicubic"), WEAK, (PILLOW, 1.0),
                   Normalize(mean, std))  # fmt: skip


def dino_global_2(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return DINO's second large view (2104.14294): blur of 10 %, solarize of 20 %."""
    return _policy("dino_global_2", (size, (0.4, 1.0), "bicubic"), WEAK, (PILLOW, 0.1),
                   Normalize(mean, std), solarize=0.2)  # fmt: skip


def dino_local(
    size: Sides = 96, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return DINO's small view (2104.14294): 5 % to 40 % of the area, blur of 50 %."""
    return _policy("dino_local", (size, (0.05, 0.4), "bicubic"), WEAK, (PILLOW, 0.5),
                   Normalize(mean, std))  # fmt: skip


def dino_v2_global_1(
    size: Sides = 224,
    blur: Blur = "trained",
    mean: Channels = IMAGENET_MEAN,
    std: Channels = IMAGENET_STD,
) -> Policy:
    """Return DINOv2's first large view (2304.07193): 32 % of the area or more, never blurred.

    The code gives its blur 1 - p in place of p, so that the published models were trained with 0,
    where 1 was meant: `blur="meant"`.
    https://github.com/facebookresearch/dinov2/blob/main/dinov2/data/augmentations.py
    """
    return _policy("dino_v2_global_1", (size, (0.32, 1.0), "bicubic"), WEAK,
                   (DINO_V2, _chance(blur, 1.0)), Normalize(mean, std))  # fmt: skip


def dino_v2_global_2(
    size: Sides = 224,
    blur: Blur = "trained",
    mean: Channels = IMAGENET_MEAN,
    std: Channels = IMAGENET_STD,
) -> Policy:
    """Return DINOv2's second large view (2304.07193): blur of 90 % as trained, solarize of 20 %.

    `blur="meant"` is 10 %: see `dino_v2_global_1`.
    """
    return _policy("dino_v2_global_2", (size, (0.32, 1.0), "bicubic"), WEAK,
                   (DINO_V2, _chance(blur, 0.1)), Normalize(mean, std), solarize=0.2)  # fmt: skip


def dino_v2_local(
    size: Sides = 96, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return DINOv2's small view (2304.07193): 5 % to 32 % of the area, blur of 50 %."""
    return _policy("dino_v2_local", (size, (0.05, 0.32), "bicubic"), WEAK, (DINO_V2, 0.5),
                   Normalize(mean, std))  # fmt: skip


def _chance(blur: str, p: float) -> float:
    if blur not in ("trained", "meant"):
        raise PolicyError(f"blur={blur!r} is unknown: use 'trained', or 'meant'")
    return round(1.0 - p, 9) if blur == "trained" else p


RECIPES = (
    simclr, moco_v3_1, moco_v3_2, byol_1, byol_2, vicreg_1, vicreg_2, swav_global, swav_local,
    dino_global_1, dino_global_2, dino_local, dino_v2_global_1, dino_v2_global_2, dino_v2_local,
)  # fmt: skip
