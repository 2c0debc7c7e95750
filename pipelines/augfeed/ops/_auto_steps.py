"""What published automatic policies draw: one step each, with what a magnitude means for it.

Magnitudes are in the unit that people speak of: degrees, pixels, shares of a side, bits kept, a
factor less 1. A positive shift goes right or down, a positive angle counter-clockwise.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import Effect, Geometry, Matrices, Setting, Sides
from augfeed.operation.effects import content, factor_left
from augfeed.operation.program import Candidate, Magnitudes
from augfeed.ops import _enhance
from augfeed.ops._geometry import identities, keep_centre
from augfeed.ops.autocontrast import AutoContrast
from augfeed.ops.equalize import Equalize
from augfeed.ops.gaussian_blur import LEAST_SIGMA, GaussianBlur
from augfeed.ops.posterize import Posterize
from augfeed.ops.sharpness import Sharpness
from augfeed.ops.solarize import Solarize
from augfeed.ops.solarize_add import SolarizeAdd
from augfeed.ops.translate import reflects

Numbers = NDArray[np.float64]
Effects = Iterator[Effect]
LEVELS = 255
BLUR_TAPS = 17  # a radius of 2, the largest, reaches 8 pixels: four standard deviations


def linspace(first: float, last: float, count: int) -> tuple[float, ...]:
    """Return the magnitudes of `count` bins, rounded to float32 as `torch.linspace` does."""
    start, end = float(np.float32(first)), float(np.float32(last))
    step = float(np.float32(end - start) / np.float32(max(count - 1, 1)))
    half = count // 2  # from both ends, each rounded once
    made = (start + step * k if k < half else end - step * (count - 1 - k) for k in range(count))
    return tuple(float(np.float32(value)) for value in made)


def _columns(*columns: Any) -> Numbers:
    return np.stack(np.broadcast_arrays(*columns), axis=1).astype(np.float64)


def _nothing(magnitudes: Magnitudes, size: Sides) -> Numbers:
    return np.zeros((len(magnitudes), 0))


def _most(low: float, high: float) -> float:
    # Bins are rounded to float32, and read by people.
    return round(max(abs(low), abs(high)), 6)


def _turned(magnitudes: Magnitudes, size: Sides) -> Matrices:
    made = identities(len(magnitudes))
    angle = np.deg2rad(magnitudes)
    made[:, 0, 0] = made[:, 1, 1] = np.cos(angle)
    made[:, 1, 0] = np.sin(angle)
    made[:, 0, 1] = -made[:, 1, 0]
    keep_centre(made, size)
    return made


def _turned_words(magnitude: float) -> str:
    way = "counter-" if magnitude >= 0 else ""
    return f"turned {abs(magnitude):.1f} degrees {way}clockwise"


def _turned_effects(low: float, high: float, setting: Setting) -> Effects:
    most = _most(low, high)
    yield Effect("max_rotation", "rotate", most, most)


def _sheared(axis: int, magnitudes: Magnitudes, size: Sides) -> Matrices:
    # About the upper left corner, which is half a pixel from the middle of the first pixel.
    made = identities(len(magnitudes))
    made[:, axis, 1 - axis] = magnitudes
    made[:, axis, 2] = magnitudes / 2
    return made


def _sheared_effects(name: str, low: float, high: float, setting: Setting) -> Effects:
    most = _most(low, high)
    yield Effect("max_shear", name, most, math.degrees(math.atan(most)))


def _shifted(axis: int, pixels: Numbers) -> Matrices:
    made = identities(len(pixels))
    made[:, axis, 2] = -pixels
    return made


def _by_pixels(axis: int, magnitudes: Magnitudes, size: Sides) -> Matrices:
    return _shifted(axis, np.trunc(magnitudes))


def _by_share(axis: int, magnitudes: Magnitudes, size: Sides) -> Matrices:
    return _shifted(axis, magnitudes * size[1 - axis])


def _by_bin(
    axis: int, most: float, bins: int, magnitudes: Magnitudes, size: Sides
) -> Matrices:  # fmt: skip
    # torchvision cuts the magnitude of a bin, in pixels and in float32, to whole pixels.
    table = np.trunc(linspace(0.0, most * size[1 - axis], bins))
    share = np.abs(magnitudes) / most
    return _shifted(axis, np.sign(magnitudes) * table[np.rint(share * (bins - 1)).astype(int)])


def _shift_words(axis: int, unit: str, magnitude: float) -> str:
    way = (("left", "right"), ("up", "down"))[axis][magnitude >= 0]
    side = ("width", "height")[axis]
    amount = f"{int(abs(magnitude))} pixels" if unit == "pixels" else (
        f"{abs(magnitude):.1%} of the {side}")  # fmt: skip
    return f"moved {amount} {way}"


def _shift_effects(
    axis: int, unit: str, name: str, low: float, high: float, setting: Setting
) -> Effects:
    most, share = _most(low, high), None
    if unit == "share":
        share = most
    elif setting.size is not None:
        share = min(most / setting.size[1 - axis], 1.0)
    yield Effect("max_translation", name, most, share)
    if not reflects(setting):
        yield Effect("min_content", name, most, None if share is None else 1 - share)


@cache
def _shift(axis: int, unit: str, numbers: Any) -> Candidate:
    name = f"translate_{'xy'[axis]}"
    return Candidate(
        name, Geometry, numbers, True, partial(_shift_words, axis, unit),
        partial(_shift_effects, axis, unit, name), moves=True,
    )  # fmt: skip


@cache
def translate_by_bin(axis: int, most: float, bins: int) -> Candidate:
    """Return a shift by a share of the side, up to `most`, cut to pixels as torchvision does."""
    return _shift(axis, "share", partial(_by_bin, axis, most, bins))


def _factor(magnitudes: Magnitudes, size: Sides) -> Numbers:
    return _columns(1.0 + magnitudes)


def _factor_from_a_tenth(magnitudes: Magnitudes, size: Sides) -> Numbers:
    return _columns(np.maximum(0.1, 1.0 + magnitudes))


def _factor_words(name: str, least: float, magnitude: float) -> str:
    return f"{name} times {max(least, 1.0 + magnitude):.3g}"


def _enhance_effects(name: str, least: float, low: float, high: float, setting: Setting) -> Effects:
    bounds = round(max(least, 1 + low), 6), round(max(least, 1 + high), 6)
    if name == "color":
        yield Effect("grayscale", name, bounds[0], bounds[0] <= 0)
    elif name != "sharpness":
        left: Callable[[float], float] = factor_left if name == "brightness" else _damped
        yield content(name, bounds, bounds, left)


def _damped(factor: float) -> float:
    return min(factor, 1.0)


ENHANCE: dict[str, Any] = {
    "brightness": _enhance.Brightness,
    "color": _enhance.Color,
    "contrast": _enhance.Contrast,
    "sharpness": Sharpness,
}


@cache
def enhance(name: str, *, signed: bool, least: float = 0.0) -> Candidate:
    """Return one of Pillow's ImageEnhance, of which a magnitude is the factor less 1."""
    return Candidate(
        name, ENHANCE[name], _factor_from_a_tenth if least else _factor, signed,
        partial(_factor_words, name, least), partial(_enhance_effects, name, least),
    )  # fmt: skip


def _bits(magnitudes: Magnitudes, size: Sides) -> Numbers:
    return _columns(magnitudes)


def _bits_words(magnitude: float) -> str:
    return f"{magnitude:.0f} of 8 bits kept"


def _bits_effects(low: float, high: float, setting: Setting) -> Effects:
    if low < 1:
        yield Effect("min_content", "posterize", low, 0.0)


def _from_level(magnitudes: Magnitudes, size: Sides) -> Numbers:
    # Half a level below, so that rounding moves no level to the other side.
    return _columns((magnitudes - 0.5) / LEVELS)


def _from_level_words(magnitude: float) -> str:
    return f"levels from {magnitude:.0f} on inverted"


def _from_level_effects(low: float, high: float, setting: Setting) -> Effects:
    yield Effect("invert", "solarize", low, low <= LEVELS)


def _all(magnitudes: Magnitudes, size: Sides) -> Numbers:
    return np.full((len(magnitudes), 1), -0.5 / LEVELS)


def _invert_effects(low: float, high: float, setting: Setting) -> Effects:
    yield Effect("invert", "invert", True, True)


def _added(magnitudes: Magnitudes, size: Sides) -> Numbers:
    return _columns(magnitudes / LEVELS, 127.5 / LEVELS)


def _added_words(magnitude: float) -> str:
    return f"{magnitude:.0f} added to levels below 128"


def _added_effects(low: float, high: float, setting: Setting) -> Effects:
    yield Effect("invert", "solarize_add", high, high > 0)
    yield Effect("min_content", "solarize_add", high, 1 - high / (2 * LEVELS),
                 mildest=1 - low / (2 * LEVELS))  # fmt: skip


def _gray(magnitudes: Magnitudes, size: Sides) -> Numbers:
    return _columns(np.clip(1.0 - magnitudes, 0.0, 1.0))


def _gray_effects(low: float, high: float, setting: Setting) -> Effects:
    yield Effect("grayscale", "desaturate", high, high >= 1)


def _blurred(magnitudes: Magnitudes, size: Sides) -> Numbers:
    height, width = (min(BLUR_TAPS, 2 * side - 1) for side in size)
    return _columns(np.maximum(magnitudes, LEAST_SIGMA), float(height), float(width))


def _blur_effects(low: float, high: float, setting: Setting) -> Effects:
    bounds = max(low, LEAST_SIGMA), max(high, LEAST_SIGMA)
    yield from GaussianBlur(BLUR_TAPS, bounds, p=1.0).effects(setting)


def _same(words: str, magnitude: float) -> str:
    return words


ROTATE = Candidate("rotate", Geometry, _turned, True, _turned_words, _turned_effects, moves=True)
SHEAR_X, SHEAR_Y = (
    Candidate(
        f"shear_{'xy'[axis]}", Geometry, partial(_sheared, axis), True,
        f"slanted by {{:.3g}} along {'xy'[axis]}".format,
        partial(_sheared_effects, f"shear_{'xy'[axis]}"), moves=True,
    )
    for axis in (0, 1)
)  # fmt: skip
TRANSLATE_BY_PIXELS = tuple(_shift(axis, "pixels", partial(_by_pixels, axis)) for axis in (0, 1))
TRANSLATE_BY_SHARE = tuple(_shift(axis, "share", partial(_by_share, axis)) for axis in (0, 1))
POSTERIZE = Candidate("posterize", Posterize, _bits, words=_bits_words, effects=_bits_effects)
SOLARIZE = Candidate(
    "solarize", Solarize, _from_level, words=_from_level_words, effects=_from_level_effects
)
SOLARIZE_ADD = Candidate(
    "solarize_add", SolarizeAdd, _added, words=_added_words, effects=_added_effects
)
INVERT = Candidate(
    "invert", Solarize, _all, words=partial(_same, "every level x became 255 - x"),
    effects=_invert_effects,
)  # fmt: skip
AUTOCONTRAST = Candidate(
    "autocontrast", AutoContrast, _nothing,
    words=partial(_same, "levels of each channel stretched from black to white"),
)  # fmt: skip
EQUALIZE = Candidate(
    "equalize", Equalize, _nothing,
    words=partial(_same, "levels of each channel made equally frequent"),
)  # fmt: skip
DESATURATE = Candidate(
    "desaturate", _enhance.Color, _gray, words="{:.0%} of the color taken away".format,
    effects=_gray_effects,
)  # fmt: skip
BLUR = Candidate(
    "gaussian_blur", GaussianBlur, _blurred, words="blurred: sigma {:.3g}".format,
    effects=_blur_effects, reach=BLUR_TAPS // 2,
)  # fmt: skip
