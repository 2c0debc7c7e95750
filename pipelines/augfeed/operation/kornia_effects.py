"""What Kornia's classes may do to a label, in the terms of `Invariances`."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

from augfeed.invariances import RULES
from augfeed.operation.effects import Effect, Setting, factor_left, noise_left

# Where a class has the effect or has it not, however it is built.
_FIXED: dict[str, dict[str, float | bool]] = {
    "RandomHorizontalFlip": {"horizontal_flip": True},
    "RandomVerticalFlip": {"vertical_flip": True},
    "RandomGrayscale": {"grayscale": True},
    "RandomInvert": {"invert": True},
    "RandomSolarize": {"invert": True},
    "RandomChannelShuffle": {"max_hue": 0.5},
    "RandomChannelDropout": {"max_hue": 0.5},
    "RandomRGBShift": {"max_hue": 0.5},
    "RandomElasticTransform": {"max_distortion": 1.0},
    "RandomFisheye": {"max_distortion": 1.0},
    "RandomThinPlateSpline": {"max_distortion": 1.0},
}
# Classes that change no label: focus, compression, weather. Of light, contrast and noise see below.
_FREE = frozenset((
    "RandomAutoContrast", "RandomClahe", "RandomEqualize", "RandomJPEG", "RandomPlanckianJitter",
    "RandomPlasmaBrightness", "RandomPlasmaContrast", "RandomRain", "RandomSharpness", "RandomSnow",
))  # fmt: skip
# Classes that leave every pixel where it is, beyond those that change no label.
_IN_PLACE = frozenset((
    "ColorJiggle", "ColorJitter", "RandomBoxBlur", "RandomBrightness", "RandomChannelDropout",
    "RandomChannelShuffle", "RandomContrast", "RandomErasing", "RandomGamma", "RandomGaussianBlur",
    "RandomGaussianIllumination", "RandomGaussianNoise", "RandomGrayscale", "RandomHue",
    "RandomInvert", "RandomLinearCornerIllumination", "RandomLinearIllumination",
    "RandomMedianBlur", "RandomMotionBlur", "RandomPlasmaShadow", "RandomPosterize",
    "RandomRGBShift", "RandomSaltAndPepperNoise", "RandomSaturation", "RandomSolarize",
))  # fmt: skip
# Any class that is not known is held to break whatever can be broken.
_ANYTHING: dict[str, float | bool] = {
    rule: True for rule in RULES if not rule.startswith("m")
} | {
    "max_rotation": 180.0, "max_shear": 90.0, "max_translation": 1.0, "max_zoom": 20.0,
    "max_distortion": 1.0, "min_crop": 0.0, "max_hue": 0.5, "max_occlusion": 1.0,
    "min_content": 0.0,
}  # fmt: skip


def _numbers(value: Any) -> list[float]:
    if isinstance(value, tuple):
        return [number for item in value for number in _numbers(item)]
    return [float(value)]


def _most(value: Any) -> float:
    return max(map(abs, _numbers(value)), default=0.0)


def _zoom(value: Any) -> float:
    return max((max(x, 1 / x) if x > 0 else 20.0 for x in _numbers(value)), default=1.0)


def _right_angles(value: Any) -> float:
    return min(180.0, 90.0 * _most(value))


def _grey(value: Any) -> bool:
    # A number s stands for factors from 1 - s on.
    return (min(_numbers(value)) if isinstance(value, tuple) else 1 - float(value)) <= 0


# Where it depends on a parameter: (parameter, Kornia's default, rule, its effect).
_BY_PARAMETER: dict[str, tuple[tuple[str, Any, str, Callable[[Any], float | bool]], ...]] = {
    "ColorJiggle": (("hue", 0.0, "max_hue", _most), ("saturation", 0.0, "grayscale", _grey)),
    "ColorJitter": (("hue", 0.0, "max_hue", _most), ("saturation", 0.0, "grayscale", _grey)),
    "RandomAffine": (
        ("degrees", 0.0, "max_rotation", _most), ("translate", 0.0, "max_translation", _most),
        ("scale", 1.0, "max_zoom", _zoom), ("shear", 0.0, "max_shear", _most),
    ),
    "RandomErasing": (("scale", (0.02, 0.33), "max_occlusion", _most),),
    "RandomHue": (("hue", 0.0, "max_hue", _most),),
    "RandomPerspective": (("distortion_scale", 0.5, "max_distortion", _most),),
    "RandomRotation": (("degrees", 180.0, "max_rotation", _most),),
    "RandomRotation90": (("times", 2, "max_rotation", _right_angles),),
    "RandomSaturation": (("saturation", (1.0, 1.0), "grayscale", _grey),),
    "RandomShear": (("shear", 90.0, "max_shear", _most),),
    "RandomTranslate": (
        ("translate_x", 0.0, "max_translation", _most),
        ("translate_y", 0.0, "max_translation", _most),
    ),
}  # fmt: skip


def _inverse(value: float) -> float:
    return max(0.0, 1 - abs(value))


def _beside_one(value: float) -> float:
    return max(0.0, 1 - abs(value - 1))


def _damped(value: float) -> float:
    return max(0.0, min(1.0, value))


def _zoomed(value: float) -> float:
    return factor_left(value) ** 2


def _any_bit(value: float) -> float:
    return float(value >= 1)


def _of_three(value: float) -> float:
    return max(0.0, 1 - value / 3)


def _slanted(value: float) -> float:
    slope = abs(math.tan(math.radians(value)))
    return 1 - slope / 4 if slope <= 2 else 1 / slope


# How a value is drawn: "range" between two numbers, or always the one; "bound" from 0 to it, on
# both sides; "factor" of a lone number s from 1 - s to 1 + s; "bits" of a lone number up to 8.
Drawn = Literal["range", "bound", "factor", "bits"]
# What a number of a parameter leaves of the image: (parameter, Kornia's default, how it is drawn,
# what is left).
_LEFT: dict[str, tuple[tuple[str, Any, Drawn, Callable[[float], float]], ...]] = {
    "ColorJiggle": (
        ("brightness", 0.0, "factor", _beside_one), ("contrast", 0.0, "factor", _damped),
    ),
    "ColorJitter": (
        ("brightness", 0.0, "factor", factor_left), ("contrast", 0.0, "factor", _damped),
    ),
    "RandomAffine": (
        ("translate", 0.0, "bound", _inverse), ("scale", 1.0, "range", _zoomed),
        ("shear", 0.0, "bound", _slanted),
    ),
    "RandomBrightness": (("brightness", 0.0, "factor", _beside_one),),
    "RandomChannelDropout": (("num_drop_channels", 1, "range", _of_three),),
    "RandomContrast": (("contrast", 0.0, "factor", _damped),),
    "RandomErasing": (("scale", (0.02, 0.33), "range", _inverse),),
    "RandomGamma": (
        ("gamma", 0.0, "factor", factor_left), ("gain", 0.0, "factor", factor_left),
    ),
    "RandomGaussianIllumination": (("gain", (0.01, 0.15), "range", _inverse),),
    "RandomGaussianNoise": (("mean", 0.0, "range", _inverse), ("std", 1.0, "range", noise_left)),
    "RandomLinearCornerIllumination": (("gain", (0.01, 0.2), "range", _inverse),),
    "RandomLinearIllumination": (("gain", (0.01, 0.2), "range", _inverse),),
    "RandomPerspective": (("distortion_scale", 0.5, "bound", _inverse),),
    "RandomPlasmaShadow": (("shade_quantity", (0.0, 1.0), "range", _inverse),),
    "RandomPosterize": (("bits", 3, "bits", _any_bit),),
    "RandomRGBShift": tuple(
        (f"{channel}_shift_limit", 0.5, "bound", _inverse) for channel in "rgb"
    ),
    "RandomSaltAndPepperNoise": (("amount", (0.01, 0.06), "range", _inverse),),
    "RandomShear": (("shear", 90.0, "bound", _slanted),),
    "RandomTranslate": (
        ("translate_x", 0.0, "range", _inverse), ("translate_y", 0.0, "range", _inverse),
    ),
}  # fmt: skip
# Classes that blend each pixel with those about it: (parameter, Kornia's default, in pixels).
_BLURS: dict[str, tuple[str, Any]] = {
    "RandomBoxBlur": ("kernel_size", (3, 3)),
    "RandomGaussianBlur": ("kernel_size", (3, 3)),
    "RandomMedianBlur": ("kernel_size", (3, 3)),
    "RandomMotionBlur": ("kernel_size", 3),
}


# Operations of ours that do what a class does, and that say where they take pixels from.
_FOLLOWED = {
    "RandomAffine": "rotate, translate, scale or shear",
    "RandomElasticTransform": "elastic",
    "RandomHorizontalFlip": "horizontal_flip",
    "RandomPerspective": "perspective",
    "RandomRotation": "rotate",
    "RandomShear": "shear",
    "RandomTranslate": "translate",
    "RandomVerticalFlip": "vertical_flip",
}


def followed(name: str) -> str:
    """Return the operations that masks, boxes and points follow in place of a class, "" if none."""
    return _FOLLOWED.get(name, "")


def moves(name: str) -> bool:
    """Return whether a class may move pixels; one that is not known may."""
    return name not in _FREE | _IN_PLACE


def effects_of(name: str, given: dict[str, Any], setting: Setting) -> Iterator[Effect]:
    """Yield what a class may do to a label; all there is for a class that is not known."""
    never = given.get("p") == 0
    for parameter, default, rule, worst in _BY_PARAMETER.get(name, ()):
        value = given.get(parameter, default)
        bounded = rule.startswith("max_") and not isinstance(value, tuple)
        passing = (lambda bound: bound) if bounded else None
        yield Effect(rule, parameter, value, worst(value), passing, never=never)
    for parameter, default, drawn, left in _LEFT.get(name, ()):
        yield _left(parameter, given.get(parameter, default), drawn, left, never=never)
    if name in _BLURS:
        parameter, default = _BLURS[name]
        yield _blurred(parameter, given.get(parameter, default), setting, never=never)
    known = name in _FREE or name in _BY_PARAMETER or name in _LEFT or name in _BLURS
    for rule, fixed in _FIXED.get(name, {} if known else _ANYTHING).items():
        yield Effect(rule, "p", given.get("p", "default"), fixed, never=never)


def _left(
    parameter: str, value: Any, drawn: Drawn, left: Callable[[float], float], *, never: bool
) -> Effect:
    numbers = _numbers(value)
    if drawn == "factor" and not isinstance(value, tuple):
        numbers = [max(0.0, 1 - numbers[0]), 1 + numbers[0]]
    elif drawn == "bits" and not isinstance(value, tuple):
        numbers = [*numbers, 8.0]
    elif drawn == "bound":
        numbers = [0.0, *numbers]
    peaks = [peak for peak in (0.0, 1.0) if numbers and min(numbers) <= peak <= max(numbers)]
    shares = [left(number) for number in numbers] or [1.0]
    mildest = max([*shares, *map(left, peaks)])
    return Effect("min_content", parameter, value, min(shares), mildest=mildest, never=never)


def _blurred(parameter: str, value: Any, setting: Setting, *, never: bool) -> Effect:
    # A kernel of twice the image makes one color of it.
    if setting.size is None:
        return Effect("min_content", parameter, value, None, never=never)
    shares = [max(0.0, 1 - number / (2 * min(setting.size))) for number in _numbers(value)]
    least = min(shares, default=1.0)
    return Effect("min_content", parameter, value, least, mildest=max(shares), never=never)
