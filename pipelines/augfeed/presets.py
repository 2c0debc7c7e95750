"""Policies with a name, each with the rules that keep its labels true."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from augfeed.errors import PolicyError
from augfeed.invariances import invariances_of
from augfeed.notation import ALIASES, Call, parse_calls, parse_policy
from augfeed.operation.describe import shown, suggest
from augfeed.operation.parameter_types import pair
from augfeed.policy import (
    OPERATIONS,
    BboxSafeCrop,
    CenterCrop,
    ColorJitter,
    CutMix,
    Cutout,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Invert,
    LabelSmoothing,
    Letterbox,
    Mixup,
    Normalize,
    OneOf,
    Policy,
    Posterize,
    RandomCrop,
    RandomIouCrop,
    RandomResizedCrop,
    Resize,
    Rotate,
    Scale,
    Shear,
    Solarize,
    Translate,
    VerticalFlip,
)
from augfeed.published_recipes import CIFAR10_MEAN as CIFAR10_MEAN
from augfeed.published_recipes import CIFAR10_STD as CIFAR10_STD
from augfeed.published_recipes import IMAGENET_MEAN as IMAGENET_MEAN
from augfeed.published_recipes import IMAGENET_STD as IMAGENET_STD
from augfeed.published_recipes import Channels as Channels
from augfeed.published_recipes import Sides as Sides
from augfeed.published_recipes import airbench as airbench
from augfeed.published_recipes import cifar_trivial as cifar_trivial
from augfeed.published_recipes import deit as deit
from augfeed.published_recipes import deit3 as deit3
from augfeed.published_recipes import efficientnet_v2 as efficientnet_v2
from augfeed.published_recipes import imagenet as imagenet
from augfeed.published_recipes import imagenet_a1 as imagenet_a1
from augfeed.published_recipes import imagenet_a2 as imagenet_a2
from augfeed.published_recipes import imagenet_a3 as imagenet_a3
from augfeed.published_recipes import torchvision_2021 as torchvision_2021
from augfeed.published_recipes import ultralytics_classify as ultralytics_classify
from augfeed.self_supervised_recipes import RECIPES
from augfeed.self_supervised_recipes import byol_1 as byol_1
from augfeed.self_supervised_recipes import byol_2 as byol_2
from augfeed.self_supervised_recipes import dino_global_1 as dino_global_1
from augfeed.self_supervised_recipes import dino_global_2 as dino_global_2
from augfeed.self_supervised_recipes import dino_local as dino_local
from augfeed.self_supervised_recipes import dino_v2_global_1 as dino_v2_global_1
from augfeed.self_supervised_recipes import dino_v2_global_2 as dino_v2_global_2
from augfeed.self_supervised_recipes import dino_v2_local as dino_v2_local
from augfeed.self_supervised_recipes import moco_v3_1 as moco_v3_1
from augfeed.self_supervised_recipes import moco_v3_2 as moco_v3_2
from augfeed.self_supervised_recipes import simclr as simclr
from augfeed.self_supervised_recipes import swav_global as swav_global
from augfeed.self_supervised_recipes import swav_local as swav_local
from augfeed.self_supervised_recipes import vicreg_1 as vicreg_1
from augfeed.self_supervised_recipes import vicreg_2 as vicreg_2


def seed_chain(
    size: Sides = 224, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Policy:
    """Return the whole chain for photographs: every family of operations at a moderate strength.

    Crop, flip, a little rotation, color, noise, Cutout, Mixup or CutMix, label smoothing. It
    follows no paper: it is what the fused pass is measured with.
    """
    operations = [
        RandomResizedCrop(size),
        HorizontalFlip(),
        Rotate(15, p=0.3),
        ColorJitter(0.4, 0.4, 0.4, 0.1),
        Grayscale(p=0.1),
        OneOf((Mixup(0.2), CutMix(1.0))),
        Cutout(max(1, min(pair(size)) // 4)),
        Normalize(mean, std),
        GaussianNoise(0.05),
        LabelSmoothing(0.1),
    ]
    return Policy(operations, invariances=invariances_of("photos"), name="seed_chain")


def digits(size: int = 28, mean: Channels = 0.1307, std: Channels = 0.3081) -> Policy:
    """Return small warps, noise, a small Cutout and Mixup, within what a digit survives.

    No flips, and no turn that makes a 6 a 9. `mean` and `std` are those of MNIST; for the 8x8
    digits of scikit-learn, scaled to 1: `digits(8, mean=0.3053, std=0.3760)`.
    """
    operations = [
        RandomCrop(size, padding=max(1, _side(size) // 14)),
        Rotate(12),
        Translate(0.05, 0.05),
        Scale((0.9, 1.1)),
        Shear(8),
        Mixup(0.2),
        Cutout(max(1, size // 4)),
        Normalize(mean, std),
        GaussianNoise(0.05),
    ]
    return Policy(operations, invariances=invariances_of("digits"), name="digits")


def fashion(size: int = 28, mean: Channels = 0.2860, std: Channels = 0.3530) -> Policy:
    """Return flip, shift, Cutout, noise, Mixup or CutMix, light smoothing, for Fashion-MNIST.

    The shift by 2 pixels and the flip are what its common baselines use.
    """
    operations = [
        RandomCrop(size, padding=max(1, _side(size) // 14)),
        HorizontalFlip(),
        OneOf((Mixup(0.2), CutMix(1.0))),
        Cutout(max(1, size * 2 // 7)),
        Normalize(mean, std),
        GaussianNoise(0.05),
        LabelSmoothing(0.05),
    ]
    return Policy(operations, invariances=invariances_of("fashion"), name="fashion")


def cifar(size: int = 32, mean: Channels = CIFAR10_MEAN, std: Channels = CIFAR10_STD) -> Policy:
    """Return shift by 4 pixels, flip and Cutout of 16, as in the Cutout paper (1708.04552).

    It differs in the padding, which mirrors the image, and adds label smoothing. The statistics
    are those of CIFAR-10; the paper takes a Cutout of 8 for CIFAR-100: `policy.with_(Cutout(8))`.
    """
    operations = [
        RandomCrop(size, padding=max(1, _side(size) // 8), mode="reflect"),
        HorizontalFlip(),
        Cutout(max(1, size // 2)),
        Normalize(mean, std),
        LabelSmoothing(0.1),
    ]
    return Policy(operations, invariances=invariances_of("cifar"), name="cifar")


def evaluation(
    size: Sides = 224,
    resize: Sides = 256,
    mean: Channels = IMAGENET_MEAN,
    std: Channels = IMAGENET_STD,
) -> Policy:
    """Return what ImageNet models are tested with: shorter side to `resize`, middle of `size`."""
    operations = [Resize(resize), CenterCrop(size), Normalize(mean, std)]
    return Policy(operations, invariances=invariances_of("imagenet"), name="evaluation")


PRESETS: dict[str, Callable[..., Policy]] = {
    "seed_chain": seed_chain,
    "digits": digits,
    "fashion": fashion,
    "cifar": cifar,
    "imagenet": imagenet,
    "evaluation": evaluation,
    "imagenet_a1": imagenet_a1,
    "imagenet_a2": imagenet_a2,
    "imagenet_a3": imagenet_a3,
    "torchvision_2021": torchvision_2021,
    "deit": deit,
    "deit3": deit3,
    "efficientnet_v2": efficientnet_v2,
    "ultralytics_classify": ultralytics_classify,
    "cifar_trivial": cifar_trivial,
    "airbench": airbench,
    **{make.__name__: make for make in RECIPES},
}
# Presets of `augfeed.view_presets` that no policy is called like.
SETS_OF_VIEWS = ("byol", "dino", "dino_v2", "moco_v3", "swav", "vicreg")


def without_augmentation(policy: Policy) -> Policy:
    """Return the evaluation twin of a policy: the same size and normalization, nothing random.

    A random crop becomes a central one; `random_resized_crop(size)` becomes the middle of the
    image resized to `size * 256 / 224`. Flips and color operations that every sample gets
    (`p=1`) stay: they prepare the image.
    """
    kept: list[Any] = []
    for operation in policy.operations:
        match operation:
            case RandomIouCrop(size=size) | BboxSafeCrop(size=size):
                kept.append(Resize(pair(size)))
            case RandomResizedCrop(size=size, p=0):
                kept.append(Resize(pair(size)))
            case RandomResizedCrop(size=size):
                kept += [Resize(round(max(pair(size)) * 256 / 224)), CenterCrop(size)]
            case RandomCrop(size=size):
                kept.append(CenterCrop(size))
            case Resize() | CenterCrop() | Letterbox() | Normalize():
                kept.append(operation)
            case (
                HorizontalFlip(p=1)
                | VerticalFlip(p=1)
                | Grayscale(p=1)
                | Invert(p=1)
                | Posterize(p=1)
                | Solarize(p=1)
            ):
                kept.append(operation)
    return Policy(kept, invariances=policy.invariances)


def resolve_policy(spec: str | Policy | Path, *, files: bool = True) -> Policy:
    """Return the policy that is meant: itself, a preset, a JSON text or file, or a line of text.

    Text is a preset (`"digits"`, `"imagenet(176)"`), JSON if it starts with `{`, the path of a
    file if it ends in `.json`, else the notation. `files=False` reads no file: for text that
    somebody else sends.
    """
    if isinstance(spec, Policy):
        return spec
    if isinstance(spec, Path):
        return _read(spec)
    if not isinstance(spec, str):
        raise PolicyError(f"{shown(spec)} is not a policy: give a Policy, a line of text or a path")
    text = spec.strip()
    if text.startswith("{"):
        return Policy.from_json(text)
    if files and text.endswith(".json"):
        return _read(Path(text))
    calls = parse_calls(text)
    named = next((call for call in calls if call.name in PRESETS), None)
    if named is None:
        known = (*PRESETS, *OPERATIONS, *ALIASES)
        if len(calls) == 1 and calls[0].name not in known:
            cure = suggest(calls[0].name.lower(), known)
            if calls[0].name in SETS_OF_VIEWS:
                cure = f"it is a set of views: give views={text!r}"
            raise calls[0].error(f"{shown(calls[0].name)} is not a preset and no operation: {cure}")
        return parse_policy(text)
    if len(calls) > 1:
        cure = f"presets.{named.name}(...).with_(...) adds operations"
        raise named.error(f"{named.name!r} is a preset and stands alone: {cure}")
    return _preset(named)


def _preset(call: Call) -> Policy:
    make = PRESETS[call.name]
    known = inspect.signature(make).parameters
    arguments = call.arguments(tuple(known))
    try:
        return make(**arguments)
    except PolicyError as error:
        usage = ", ".join(f"{name}={known[name].default!r}" for name in known)
        raise call.error(f"{error}\n{call.name}({usage})") from None


def _side(size: int) -> int:
    if not isinstance(size, int) or size < 1:
        raise PolicyError(f"size={shown(size)} is not a number of pixels: give one, as 28")
    return size


def _read(path: Path) -> Policy:
    try:
        text = path.read_bytes()
    except (OSError, ValueError) as error:
        raise PolicyError(f"{str(path)!r} cannot be read as a policy: {error}") from None
    try:
        return Policy.from_json(text)
    except PolicyError as error:
        raise PolicyError(f"{str(path)!r}: {error}") from None
