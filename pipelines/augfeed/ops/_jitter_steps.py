"""Color jitter as torchvision does it: four steps on whole levels, each held and rounded."""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import Effect, Interval, Setting, Sides
from augfeed.operation.effects import content, factor_left
from augfeed.operation.program import (
    Candidate,
    Entry,
    Graded,
    Magnitudes,
    Node,
    Series,
    Uniform,
    shuffled,
)
from augfeed.ops import _enhance

HUES = 256  # of a turn, on whole levels


def _factors(magnitudes: Magnitudes, size: Sides) -> NDArray[np.float64]:
    return magnitudes[:, None]


def _turns(magnitudes: Magnitudes, size: Sides) -> NDArray[np.float64]:
    # torchvision cuts 255 times the turn to a whole number, and adds it in a byte.
    return np.trunc(magnitudes * 255.0)[:, None] % HUES


def _factor_words(name: str, magnitude: float) -> str:
    return f"{name} x {magnitude:.2f}"


def _turn_words(magnitude: float) -> str:
    return f"hue {360 * magnitude:+.1f} degrees"


def _light(name: str, low: float, high: float, setting: Setting) -> Iterator[Effect]:
    left = factor_left if name == "brightness" else _damped
    yield content(name, (low, high), (low, high), left)


def _gray(low: float, high: float, setting: Setting) -> Iterator[Effect]:
    yield Effect("grayscale", "saturation", (low, high), low == 0)


def _hue(low: float, high: float, setting: Setting) -> Iterator[Effect]:
    yield Effect("max_hue", "hue", (low, high), max(abs(low), abs(high)))


def _damped(factor: float) -> float:
    return min(factor, 1.0)


def _as_drawn(magnitudes: Magnitudes) -> Magnitudes:
    return magnitudes


CANDIDATES: dict[str, Candidate] = {
    "brightness": Candidate("brightness", _enhance.Brightness, _factors,
                            words=partial(_factor_words, "brightness"),
                            effects=partial(_light, "brightness")),
    "contrast": Candidate("contrast", _enhance.Contrast, _factors,
                          words=partial(_factor_words, "contrast"),
                          effects=partial(_light, "contrast")),
    "saturation": Candidate("saturation", _enhance.Color, _factors,
                            words=partial(_factor_words, "saturation"), effects=_gray),
    "hue": Candidate("hue", _enhance.Hue, _turns, words=_turn_words, effects=_hue),
}  # fmt: skip


@cache
def jitter_tree(bounds: tuple[tuple[str, Interval], ...], p: float, *, mixed: bool) -> Node:
    """Return the steps whose bounds are given, in this order or, if `mixed`, in a drawn one."""
    steps: Any = tuple(
        Graded(((Entry(CANDIDATES[name], _as_drawn),),), Uniform(low, high))
        for name, (low, high) in bounds
    )
    return shuffled(steps, p) if mixed else Series(steps, p)
