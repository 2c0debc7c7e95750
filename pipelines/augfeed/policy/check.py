"""A policy held against what keeps the labels of its data set true."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from augfeed.errors import InvarianceError, PolicyError
from augfeed.invariances import RULES, Invariances, invariances_of
from augfeed.policy import (
    CenterCrop,
    ColorJitter,
    CutMix,
    Cutout,
    Grayscale,
    HorizontalFlip,
    Invert,
    Kornia,
    Mixup,
    OneOf,
    Perspective,
    Policy,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    Resize,
    Rotate,
    Scale,
    Shear,
    Solarize,
    Translate,
    VerticalFlip,
    resized,
)
from augfeed.policy.base import interval, pair
from augfeed.policy.describe import suggest
from augfeed.policy.effects import effects

# A bound is passed by a value that equals it but for rounding: 1 / 1.3 is a zoom of 1.3.
SLACK = 1e-9


@dataclass(frozen=True)
class Finding:
    """One rule held against one parameter of one operation.

    `worst` is the largest (for `min_crop`: the smallest) effect that `value` allows, in the unit of
    `bound`. `ok` is None where it cannot be told without the size of the pictures. `passing` is a
    value of the parameter that keeps the rule; None if there is none and the operation has to go.
    """

    operation: str
    parameter: str
    value: Any
    rule: str
    bound: float | bool
    ok: bool | None
    worst: float | bool | None = None
    passing: Any = None

    @property
    def cure(self) -> str:
        """What to change so that the rule is kept."""
        if self.passing is not None:
            return f"{self.parameter}={self.passing!r} passes"
        if self.rule == "min_crop":
            return "use a larger size, less padding, or a resize before it"
        return f"remove it, as in policy.without({self.operation!r})"

    def __str__(self) -> str:
        bound = self.bound if isinstance(self.bound, bool) else f"{self.bound:g}"
        verdict = {True: "keeps", False: "breaks", None: "may break"}[self.ok]
        worst = ""
        if isinstance(self.worst, float):
            worst = f" ({'at least' if self.rule == 'min_crop' else 'up to'} {self.worst:.4g})"
        given = f"{self.operation}: {self.parameter}={self.value!r}{worst}"
        return f"{given} {verdict} {self.rule}={bound}"


def check_policy(
    policy: Policy,
    invariances: Invariances | str,
    *,
    allow: Sequence[str] = (),
    source: tuple[int, int] | None = None,
) -> tuple[Finding, ...]:
    """Return all findings; raise `InvarianceError` that lists every broken rule with its cure.

    `allow` names rules that may be broken. `source` is the `(height, width)` of the pictures read,
    where all have one: without it, rules that depend on it are left to the caller (`ok` is None).
    """
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    for rule in allowed:
        if rule not in RULES:
            raise PolicyError(f"allow={rule!r} is not a rule: {suggest(rule, RULES)}")
    rules = invariances_of(invariances)
    found = findings(policy, rules, source=source)
    broken = [item for item in found if item.ok is False and item.rule not in allowed]
    if broken:
        because = f" ({rules.reason})" if rules.reason else ""
        lines = [f"- {item}: {item.cure}, or allow=[{item.rule!r}]" for item in broken]
        raise InvarianceError(
            "\n".join([f"this policy changes labels of {rules.name!r}{because}:", *lines])
        )
    return found


def findings(
    policy: Policy, invariances: Invariances | str, *, source: tuple[int, int] | None = None
) -> tuple[Finding, ...]:
    """Return every rule held against every operation that it is about, in order of execution."""
    rules = invariances_of(invariances)
    found: list[Finding] = []
    for operation in policy.operations:
        found += _window(operation, rules, policy, source)
        found += _geometry(operation, rules)
        found += _color(operation, rules)
        found += _labels(operation, rules, policy, source)
        found += _kornia(operation, rules)
    return tuple(found)


def _window(
    operation: Any, rules: Invariances, policy: Policy, source: tuple[int, int] | None
) -> Iterator[Finding]:
    least = rules.min_crop
    match operation:
        case RandomResizedCrop(scale=(low, high), p=p):
            yield Finding(
                "random_resized_crop", "scale", (low, high), "min_crop", least,
                p == 0 or low >= least - SLACK, low, (max(low, least), max(high, least)),
            )  # fmt: skip
        case RandomCrop() | CenterCrop():
            ok, share = True if least == 0 else None, None
            if source is not None:
                share = _share_kept(operation, resized(policy.find(Resize), source))
                ok = share >= least - SLACK
            yield Finding(operation.op, "size", operation.size, "min_crop", least, ok, share)


def _share_kept(crop: RandomCrop | CenterCrop, source: tuple[int, int]) -> float:
    # A window at the edge shows least of the picture: padding takes the place of the rest.
    padding = crop.padding if isinstance(crop, RandomCrop) and crop.p > 0 else 0
    sides = zip(pair(crop.size), source, strict=True)
    return math.prod(min(max(side - padding, 0), whole) / whole for side, whole in sides)


def _geometry(operation: Any, rules: Invariances) -> Iterator[Finding]:
    match operation:
        case HorizontalFlip() | VerticalFlip():
            yield _whether(operation, "p", operation.op, rules)
        case Rotate():
            yield _at_most(operation, "degrees", "max_rotation", rules)
        case Shear():
            yield _at_most(operation, "x", "max_shear", rules)
            yield _at_most(operation, "y", "max_shear", rules)
        case Translate():
            yield _at_most(operation, "x", "max_translation", rules)
            yield _at_most(operation, "y", "max_translation", rules)
        case Perspective():
            yield _at_most(operation, "distortion", "max_distortion", rules)
        case Scale(factor=(low, high), p=p):
            worst, most = max(1 / low, high), rules.max_zoom
            least = math.ceil(1e4 / most) / 1e4
            yield Finding(
                "scale", "factor", (low, high), "max_zoom", most,
                p == 0 or worst <= most * (1 + SLACK), worst,
                (min(max(low, least), most), min(max(high, least), most)),
            )  # fmt: skip


def _color(operation: Any, rules: Invariances) -> Iterator[Finding]:
    match operation:
        case ColorJitter(saturation=saturation, p=p):
            yield _at_most(operation, "hue", "max_hue", rules)
            low, high = interval(saturation, about=1.0, low=0.0)
            ok = rules.grayscale or low > 0 or p == 0
            passing = (0.1, max(high, 0.1)) if isinstance(saturation, tuple) else 0.9
            yield Finding(
                "color_jitter", "saturation", saturation, "grayscale", rules.grayscale, ok,
                low == 0, passing,
            )  # fmt: skip
        case Grayscale():
            yield _whether(operation, "p", "grayscale", rules)
        case Invert() | Solarize():
            yield _whether(operation, "p", "invert", rules)


def _labels(
    operation: Any, rules: Invariances, policy: Policy, source: tuple[int, int] | None
) -> Iterator[Finding]:
    most = rules.max_occlusion
    match operation:
        case Mixup() | CutMix():
            yield _whether(operation, "p", "mixing", rules)
        case OneOf(p=p, operations=members, weights=weights):
            mixes = any(
                member.p * weight
                for member, weight in zip(members, weights or (1,) * len(members), strict=True)
            )
            ok = rules.mixing or not p * mixes
            yield Finding("one_of", "p", p, "mixing", rules.mixing, ok, bool(p * mixes))
        case Cutout():
            yield _cutout(operation, most, policy, source)
        case RandomErasing(scale=(low, high), p=p):
            passing = (min(low, most), min(high, most)) if most >= 1e-6 else None
            yield Finding(
                "random_erasing", "scale", (low, high), "max_occlusion", most,
                p == 0 or high <= most + SLACK, high, passing,
            )  # fmt: skip


def _cutout(cutout: Cutout, most: float, policy: Policy, source: tuple[int, int] | None) -> Finding:
    def finding(ok: bool | None, worst: float | None = None, side: int = 0) -> Finding:
        return Finding(
            "cutout", "size", cutout.size, "max_occlusion", most, ok, worst, side or None
        )

    harmless = most == 1 or cutout.p == 0
    try:
        height, width = policy.size(source)
    except PolicyError:
        return finding(True if harmless else None)
    rows, columns = pair(cutout.size)
    worst = min(rows, height) * min(columns, width) / (height * width)
    return finding(harmless or worst <= most + SLACK, worst, math.isqrt(int(most * height * width)))


def _kornia(operation: Any, rules: Invariances) -> Iterator[Finding]:
    if not isinstance(operation, Kornia):
        return
    never = operation.arguments.get("p") == 0
    for effect in effects(operation):
        bound, passing = getattr(rules, effect.rule), None
        if isinstance(bound, bool):
            ok = bound or not effect.worst
        elif effect.rule == "min_crop":
            ok = effect.worst >= bound
        else:
            ok = effect.worst <= bound * (1 + SLACK)
            passing = bound if isinstance(effect.value, int | float) else None
        name, ok = f"{operation.name}.{effect.parameter}", never or ok
        yield Finding("kornia", name, effect.value, effect.rule, bound, ok, effect.worst, passing)


def _at_most(operation: Any, parameter: str, rule: str, rules: Invariances) -> Finding:
    value, bound = getattr(operation, parameter), float(getattr(rules, rule))
    low, high = interval(value)
    worst = max(abs(low), abs(high))
    passing = min(max(low, -bound), bound), min(max(high, -bound), bound)
    return Finding(
        operation.op, parameter, value, rule, bound,
        operation.p == 0 or worst <= bound + SLACK, worst,
        passing if isinstance(value, tuple) else min(value, bound),
    )  # fmt: skip


def _whether(operation: Any, parameter: str, rule: str, rules: Invariances) -> Finding:
    value, bound = getattr(operation, parameter), bool(getattr(rules, rule))
    return Finding(operation.op, parameter, value, rule, bound, bound or value == 0, value > 0)
