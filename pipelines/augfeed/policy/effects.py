"""What Kornia's classes may do to a label, in the terms of `Invariances`."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from augfeed.invariances import RULES
from augfeed.policy.stages import Kornia


class Effect(NamedTuple):
    """The largest effect that a parameter of a stage allows, in the unit of a rule.

    `worst` is True where the rule says only whether; for `min_crop` it is the smallest share.
    """

    parameter: str
    value: Any
    rule: str
    worst: float | bool


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
# Classes that change no label: light, focus, noise, compression, weather.
_FREE = frozenset((
    "RandomAutoContrast", "RandomBoxBlur", "RandomBrightness", "RandomClahe", "RandomContrast",
    "RandomEqualize", "RandomGamma", "RandomGaussianBlur", "RandomGaussianIllumination",
    "RandomGaussianNoise", "RandomJPEG", "RandomLinearCornerIllumination",
    "RandomLinearIllumination", "RandomMedianBlur", "RandomMotionBlur", "RandomPlanckianJitter",
    "RandomPlasmaBrightness", "RandomPlasmaContrast", "RandomPlasmaShadow", "RandomPosterize",
    "RandomRain", "RandomSaltAndPepperNoise", "RandomSharpness", "RandomSnow",
))  # fmt: skip
# Any class that is not known is held to break whatever can be broken.
_ANYTHING: dict[str, float | bool] = {
    rule: True for rule in RULES if not rule.startswith("m")
} | {
    "max_rotation": 180.0, "max_shear": 90.0, "max_translation": 1.0, "max_zoom": 20.0,
    "max_distortion": 1.0, "min_crop": 0.0, "max_hue": 0.5, "max_occlusion": 1.0,
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


def effects(stage: Kornia) -> Iterator[Effect]:
    """Yield what a stage may do to a label; all there is for a class that is not known."""
    given = stage.arguments
    if stage.name in _FREE:
        return
    if stage.name in _BY_PARAMETER:
        for parameter, default, rule, worst in _BY_PARAMETER[stage.name]:
            value = given.get(parameter, default)
            yield Effect(parameter, value, rule, worst(value))
        return
    for rule, fixed in _FIXED.get(stage.name, _ANYTHING).items():
        yield Effect("p", given.get("p", "default"), rule, fixed)
