"""timm's lines for automatic augmentation, `rand-m9-mstd0.5-inc1`, as what they ask for."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from augfeed.operation.describe import shown, suggest
from augfeed.ops._auto_tables import TIMM_SETS

UNIFORM = float("inf")  # as a standard deviation: the level is uniform from 0 to the magnitude
TABLES = ("v0", "v0r", "original", "originalr", "3a")
MOST_STEPS = 16
_PART = re.compile(r"([a-z]*)(.*)")


@dataclass(frozen=True, slots=True)
class Rand:
    """RandAugment: `layers` steps of a set, each done with `p`, at a level about `magnitude`."""

    magnitude: int = 10
    layers: int = 2
    p: float = 0.5
    noise: float = 0.0
    most: int = 10
    increasing: bool = False
    steps: str = ""  # a name of `TIMM_SETS`


@dataclass(frozen=True, slots=True)
class Auto:
    """AutoAugment by one of `TABLES`; `noise` is the standard deviation of levels."""

    table: str
    noise: float = 0.0


@dataclass(frozen=True, slots=True)
class Mix:
    """AugMix: `width` chains of `depth` steps, 1 to 3 where it is not above 0; see `AugMix`."""

    magnitude: int = 3
    width: int = 3
    depth: int = -1
    alpha: float = 1.0
    noise: float = UNIFORM
    blended: bool = False  # chain by chain
    without: tuple[str, ...] = ()  # names of steps


Recipe = Rand | Auto | Mix


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"-?\d+", text) else None
        if value is None or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return read


def _real(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text) if re.fullmatch(r"\d+(\.\d*)?", text) else None
        if value is None or not least <= value <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return value

    return read


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("0 or 1")
    return text == "1"


def _set(text: str) -> str:
    names = [name for name in TIMM_SETS if name != "w0"]
    if text not in names:
        raise ValueError(f"one of {', '.join(f't{name}' for name in names)}")
    return text


def _first_weights(text: str) -> str:
    if text != "0":
        raise ValueError("0, the only weights that timm had")
    return "w0"


# By the letters of a part: the field, and how its value is read.
Parts = dict[str, tuple[str, Callable[[str], Any]]]
NOISE = ("noise", _real(0, 1e6))
RAND: Parts = {
    "m": ("magnitude", _whole(0, 1000)),
    "n": ("layers", _whole(1, MOST_STEPS)),
    "p": ("p", _real(0, 1)),
    "mstd": NOISE,
    "mmax": ("most", _whole(1, 1000)),
    "inc": ("increasing", _flag),
    "t": ("steps", _set),
    "w": ("steps", _first_weights),
}
MIX: Parts = {
    "m": ("magnitude", _whole(0, 1000)),
    "w": ("width", _whole(1, 8)),
    "d": ("depth", _whole(-1, 8)),
    "a": ("alpha", _real(0.01, 100)),
    "b": ("blended", _flag),
    "mstd": NOISE,
}


def parse_timm(line: str) -> Recipe:
    """Return what a line of timm asks for; raise `ValueError` that names what is not understood."""
    name, *parts = re.sub(r"-d-1(?=-|$)", "-d\0", line).split("-")
    if name in TABLES:
        return Auto(name, **_read(line, parts, {"mstd": NOISE}))
    if name == "augmix":
        return Mix(**_read(line, parts, MIX))
    if name != "rand":
        cure = suggest(name, ("rand", *TABLES, "augmix"))
        raise ValueError(f"{shown(line)} starts with {name!r}, which is not a policy of timm's: "
                         f"{cure}")  # fmt: skip
    made = Rand(**_read(line, parts, RAND))
    _check(line, made)
    return made if made.noise <= 100 else Rand(**{**_fields(made), "noise": UNIFORM})


def _fields(recipe: Rand) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in recipe.__dataclass_fields__}


def _check(line: str, made: Rand) -> None:
    if made.steps == "w0" and made.increasing:
        raise ValueError(f"{shown(line)}: timm has no weights w0 for inc1: write tweights")
    drawn = [weight for weight in TIMM_SETS.get(made.steps, {}).values() if weight > 0]
    if drawn and made.layers > len(drawn):
        raise ValueError(
            f"{shown(line)}: n{made.layers} of {len(drawn)} steps with a weight, which are drawn "
            f"without replacement: write at most n{len(drawn)}"
        )


def _read(line: str, parts: list[str], known: Parts) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        text = part.replace("\0", "-1")
        key, value = ("t", text[1:]) if text.startswith("t") else _split(text)
        if key not in known:
            raise ValueError(
                f"{shown(line)}: {text!r} is not understood: write one of "
                f"{', '.join(f'{name}...' for name in known)}"
            )
        field, read = known[key]
        if field in found:
            raise ValueError(f"{shown(line)}: {text!r} says again what was said: write it once")
        try:
            found[field] = read(value)
        except ValueError as error:
            raise ValueError(
                f"{shown(line)}: {text!r} is not allowed: {key!r} takes {error}"
            ) from None
    return found


def _split(text: str) -> tuple[str, str]:
    match = _PART.fullmatch(text)
    assert match is not None, "the pattern takes any line"
    return match.group(1), match.group(2)
