"""Training recipes that were published with results, as policies: `augfeed.presets` has them all.

Steps of training that are not a policy (epochs, loss, repeated augmentation) are named, not made.
Where recipes mix a whole batch with one lambda, a sample draws its own here, unless `per="batch"`
is asked for. Rules of labels are those of the dataset, widened to what a recipe turns or darkens.
"""

from typing import Any

from augfeed.invariances import Invariances, invariances_of
from augfeed.operation.parameter_types import pair
from augfeed.policy import (
    Border,
    CutMix,
    Cutout,
    HorizontalFlip,
    LabelSmoothing,
    Mixup,
    Normalize,
    OneOf,
    Policy,
    RandAugment,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    ThreeAugment,
    Timm,
    TrivialAugmentWide,
)

Sides = int | tuple[int, int]
Channels = float | tuple[float, ...]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
# TrivialAugmentWide turns by 135 degrees, and leaves 1 % of brightness or contrast.
WIDE: dict[str, Any] = {"max_rotation": 135.0, "min_content": 0.009}
SHIFT = 32  # pixels that it moves images by, which may be all of them
TWICE: dict[str, Any] = {"max_rotation": 60.0}  # two steps of timm's turn by 30 degrees each


def _rules(name: str, **wider: Any) -> Invariances:
    return invariances_of(name).model_copy(update=wider)


def _wide_rules(size: Sides) -> Invariances:
    wider = WIDE if min(pair(size)) > SHIFT + 1 else {**WIDE, "min_content": 0.0}
    return _rules("imagenet", **wider)


def _crop_and_flip(size: Sides, interpolation: Any = "bilinear") -> list[Any]:
    return [RandomResizedCrop(size, interpolation=interpolation), HorizontalFlip()]


def _mix(mixup: float, cutmix: float = 1.0) -> OneOf:
    return OneOf((Mixup(mixup), CutMix(cutmix)))


def _strikes_back(
    size: Sides, mean: Channels, std: Channels, line: str, mixup: float
) -> list[Any]:  # fmt: skip
    geometry = [*_crop_and_flip(size, "bicubic"), *_timm(line, "bicubic")]
    return [*geometry, _mix(mixup), Normalize(mean, std)]


def _timm(line: str, interpolation: Any = "policy") -> list[Any]:
    # As in timm: crop and steps resample by one filter, and what geometry finds outside is the mean
    # color of the images.
    return [Timm(line, interpolation=interpolation), Border("constant", "mean")]


def imagenet_a1(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return A1 of ResNet strikes back (2110.00476): RandAugment 7, Mixup 0.2, CutMix 1, smoothing.

    600 epochs with a binary cross-entropy and three repeats of each sample; tested at a crop of
    0.95: `presets.evaluation(224, 236)`.
    """
    operations = _strikes_back(size, mean, std, "rand-m7-mstd0.5-inc1", 0.2)
    return Policy([*operations, LabelSmoothing(0.1)], invariances=_rules("imagenet", **TWICE),
                  name="imagenet_a1")  # fmt: skip


def imagenet_a2(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return A2 of ResNet strikes back (2110.00476): RandAugment 7, Mixup 0.1, CutMix 1.

    300 epochs with a binary cross-entropy and three repeats of each sample.
    """
    operations = _strikes_back(size, mean, std, "rand-m7-mstd0.5-inc1", 0.1)
    return Policy(operations, invariances=_rules("imagenet", **TWICE), name="imagenet_a2")


def imagenet_a3(
    size: Sides = 160, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return A3 of ResNet strikes back (2110.00476): RandAugment 6, Mixup 0.1, CutMix 1.

    100 epochs at 160 pixels with a binary cross-entropy; tested at 224.
    """
    operations = _strikes_back(size, mean, std, "rand-m6-mstd0.5-inc1", 0.1)
    return Policy(operations, invariances=_rules("imagenet", **TWICE), name="imagenet_a3")


def _torchvision(size: Sides, mean: Channels, std: Channels) -> list[Any]:
    return [
        *_crop_and_flip(size), TrivialAugmentWide(), _mix(0.2), RandomErasing(0.1),
        Normalize(mean, std), LabelSmoothing(0.1),
    ]  # fmt: skip


def torchvision_2021(
    size: Sides = 176, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return torchvision's recipe of 2021: TrivialAugmentWide, Mixup or CutMix, erasing, smoothing.

    Trained at 176 pixels for 600 epochs, tested with `presets.evaluation(224, 232)`; ResNet-50
    reached 80.9 %: https://pytorch.org/blog/how-to-train-state-of-the-art-models-using-torchvision-latest-primitives/
    """
    return Policy(_torchvision(size, mean, std), invariances=_wide_rules(size),
                  name="torchvision_2021")  # fmt: skip


def imagenet(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return torchvision's recipe of 2021 at 224 pixels, the size that models are tested at.

    Crop, flip, TrivialAugmentWide, Mixup 0.2 or CutMix 1.0, one image in ten erased in part, label
    smoothing 0.1; `torchvision_2021` is the same at its own size.
    """
    return Policy(_torchvision(size, mean, std), invariances=_wide_rules(size), name="imagenet")


def deit(size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD) -> Policy:
    """Return DeiT's recipe (2012.12877): RandAugment 9, Mixup 0.8, CutMix 1, erasing, smoothing.

    300 epochs with three repeats of each sample.
    """
    operations = [
        *_crop_and_flip(size, "bicubic"), *_timm("rand-m9-mstd0.5-inc1", "bicubic"), _mix(0.8),
        RandomErasing(0.25, scale=(0.02, 1 / 3), fill="noise"), Normalize(mean, std),
        LabelSmoothing(0.1),
    ]  # fmt: skip
    return Policy(operations, invariances=_rules("imagenet", **TWICE), name="deit")


def deit3(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return the recipe of DeiT III for ImageNet-1k (2204.07118): 3-Augment, Mixup 0.8, CutMix 1.

    800 epochs with a binary cross-entropy and three repeats of each sample, without smoothing.
    """
    operations = [
        *_crop_and_flip(size, "bicubic"),
        ThreeAugment(0.3),
        _mix(0.8),
        Normalize(mean, std),
    ]
    return Policy(operations, invariances=_rules("imagenet"), name="deit3")


def efficientnet_v2(
    size: Sides = 300,
    magnitude: int = 15,
    mixup: float = 0.0,
    mean: Channels = 0.5,
    std: Channels = 0.5,
) -> Policy:
    """Return the last stage of EfficientNetV2-S (2104.00298): RandAugment 15 at 300 pixels.

    Training goes in four stages from 128 pixels and magnitude 5 on: one policy a stage; M ends at
    380, 20 and `mixup=0.2`, L at 380, 25 and 0.5. The steps are timm's reading of the RandAugment
    of EfficientNet, without its Cutout; shifts are 0.45 of the side a 10, where the original has
    100 pixels. Values end up in -1 to 1.
    """
    line = f"rand-m{magnitude}-mmax{max(magnitude, 1)}"
    operations = [
        *_crop_and_flip(size), *_timm(line), *([Mixup(mixup)] if mixup else []),
        Normalize(mean, std), LabelSmoothing(0.1),
    ]  # fmt: skip
    wider = {"max_rotation": min(180.0, max(60.0, 6.0 * magnitude)), "min_content": 0.0}
    return Policy(operations, invariances=_rules("imagenet", **wider), name="efficientnet_v2")


def ultralytics_classify(size: Sides = 224) -> Policy:
    """Return what Ultralytics trains classifiers with by default: RandAugment and erasing 0.4.

    Crops keep half of the area at least (`scale=0.5`); values go from 0 to 1, and what is erased is
    black: https://docs.ultralytics.com/usage/cfg/
    """
    operations = [
        RandomResizedCrop(size, scale=(0.5, 1.0)), HorizontalFlip(), RandAugment(2, 9),
        RandomErasing(0.4),
    ]  # fmt: skip
    return Policy(operations, invariances=_rules("imagenet"), name="ultralytics_classify")


def cifar_trivial(
    size: int = 32, mean: Channels = CIFAR10_MEAN, std: Channels = CIFAR10_STD
) -> Policy:
    """Return what TrivialAugment was shown with on CIFAR (2103.10158): crop, flip, Cutout 16.

    The paper augments before it crops, here the crop comes first; its steps take the nearest pixel,
    here they are bilinear. A shift of all 32 pixels, one sample in 217, leaves nothing of an image
    of 32.
    """
    operations = [
        RandomCrop(size, padding=max(1, size // 8)), HorizontalFlip(), TrivialAugmentWide(),
        Cutout(max(1, size // 2)), Normalize(mean, std),
    ]  # fmt: skip
    rules = _rules("cifar", **WIDE | {"min_content": 0.0})
    return Policy(operations, invariances=rules, name="cifar_trivial")


def airbench(size: int = 32, mean: Channels = CIFAR10_MEAN, std: Channels = CIFAR10_STD) -> Policy:
    """Return what airbench trains CIFAR-10 to 94 % with (2404.00498): alternating flip, shift by 2.

    A coin tossed once for each image says in which of two epochs it is mirrored; borders reflect;
    smoothing 0.2. Its 96 % variant shifts by 4 and adds a Cutout of 12.
    """
    operations = [
        RandomCrop(size, padding=2, mode="reflect"), HorizontalFlip(mode="alternate"),
        Normalize(mean, std), LabelSmoothing(0.2),
    ]  # fmt: skip
    return Policy(operations, invariances=_rules("cifar"), name="airbench")
