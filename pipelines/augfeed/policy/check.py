"""A policy held against what keeps the labels of its dataset true."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from augfeed.errors import InvarianceError, PolicyError
from augfeed.invariances import RULES, Invariances, invariances_of
from augfeed.operation.describe import suggest
from augfeed.operation.effects import Effect, Setting
from augfeed.operation.program import Op, Series
from augfeed.operation.program_effects import ADDED, MULTIPLIED, together
from augfeed.policy import Kornia, Policy, Schedule

# A bound is passed by a value that equals it but for rounding: 1 / 1.3 is a zoom of 1.3.
SLACK = 1e-9
# An image of which no draw leaves more than one of 256 levels has no label, whatever it shows.
NOTHING = 1 / 255
TOGETHER = "steps together"
ENOUGH = 0.05  # what a cure leaves of it, at least


@dataclass(frozen=True)
class Finding:
    """One rule held against one parameter of one operation.

    `worst` is the largest (for `min_crop` and `min_content`: the smallest) effect that `value`
    allows, in the unit of `bound`. `ok` is None where it is not known without the size of the
    images. `passing` is a value of the parameter that keeps the rule; None if there is none and
    the operation has to go.
    """

    operation: str
    parameter: str
    value: Any
    rule: str
    bound: float | bool
    ok: bool | None
    worst: float | bool | None = None
    passing: Any = None
    part: str = ""  # of a program, which the parameter is of
    omission: str = ""  # the argument that leaves that part out

    @property
    def cure(self) -> str:
        """What to change so that the rule is kept."""
        if self.parameter == TOGETHER:
            return "use fewer of them, or weaker ones"
        cures = [] if self.passing is None else [f"{self.parameter}={self.passing!r} passes"]
        if self.omission:
            cures.append(f"{self.omission} leaves it out")
        if cures:
            return ", or ".join(cures)
        if self.rule == "min_crop":
            return "use a larger size, less padding, or a resize before it"
        if self.part:
            return f"take {self.part!r} out of {self.operation!r}"
        return f"remove it, as in policy.without({self.operation!r})"

    def __str__(self) -> str:
        bound = self.bound if isinstance(self.bound, bool) else f"{self.bound:g}"
        verdict = {True: "keeps", False: "breaks", None: "may break"}[self.ok]
        worst = ""
        if isinstance(self.worst, float):
            worst = f" ({'at least' if self.rule.startswith('min_') else 'up to'} {self.worst:.4g})"
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

    `allow` names rules that may be broken. `source` is the `(height, width)` of the images read,
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


def check_single(policy: Policy) -> None:
    """Raise `PolicyError` for operations that need samples with boxes or masks."""
    if policy.needs_fields:
        raise PolicyError(
            f"{policy.needs_fields!r} needs the boxes or masks of samples, and images alone have "
            "none: give augfeed.DataLoader a dataset of augfeed.datasets, or one of your own whose "
            "samples have them, or leave it out"
        )


def findings(
    policy: Policy, invariances: Invariances | str, *, source: tuple[int, int] | None = None
) -> tuple[Finding, ...]:
    """Return every rule held against every operation that it is about, in order of execution."""
    rules = invariances_of(invariances)
    if policy.find(Schedule) is not None:
        stages = [findings(one, rules, source=source) for _, one in policy.scheduled]
        return tuple(dict.fromkeys(item for stage in stages for item in stage))
    setting = Setting(policy, source)
    found: list[Finding] = []
    for operation in policy.operations:
        found += _of_operation(operation, operation.effects(setting), rules)
    if policy.programs:
        found += _together(policy, setting, rules, found)
    return tuple(found)


def _together(
    policy: Policy, setting: Setting, rules: Invariances, alone: Sequence[Finding]
) -> Iterator[Finding]:
    # A sample may get several steps, each within a rule, that break it together.
    tree = Series(tuple(item.program or Op(item) for item in policy.operations))
    for rule in (*ADDED, *MULTIPLIED):
        if getattr(rules, rule) == Invariances.model_fields[rule].default:
            continue  # it allows all
        broken = any(item.rule == rule and item.ok is False for item in alone)
        # Parts are rounded to six places, and what they add up to by as much more.
        worst, effect = round(together(tree, rule, setting), 4), None
        parts = {item.operation for item in alone if item.rule == rule}
        if not broken and worst > 0:
            effect = Effect(rule, TOGETHER, round(worst, 6), worst)
        if effect is not None and not _keeps(effect, bound=getattr(rules, rule)):
            names = " and ".join(sorted(parts))
            yield Finding(names, TOGETHER, effect.value, rule, getattr(rules, rule), False, worst)


def _of_operation(
    operation: Any, effects: Iterator[Effect], rules: Invariances
) -> Iterator[Finding]:
    told = set()
    for effect in effects:
        finding = _held(operation, effect, rules)
        # Where another rule is about the same parameter, that this one is kept says nothing more.
        if effect.rule != "min_content" or finding.ok is False or effect.parameter not in told:
            yield finding
        told.add(effect.parameter)


def _held(operation: Any, effect: Effect, rules: Invariances) -> Finding:
    bound, wanted = getattr(rules, effect.rule), 0.0
    destroys = effect.rule == "min_content" and effect.mildest <= NOTHING
    if not isinstance(bound, bool):
        bound = max(bound, NOTHING) if destroys else bound
        wanted = max(bound, ENOUGH) if effect.rule == "min_content" else bound
    parameter, passing = effect.parameter, effect.passing
    if isinstance(operation, Kornia):
        parameter = f"{operation.name}.{parameter}"
    return Finding(
        operation.op, parameter, effect.value, effect.rule, bound,
        effect.never or (_keeps(effect, bound=bound) if not destroys else False), effect.worst,
        None if passing is None else passing(wanted), _part(operation, effect),
        effect.omission,
    )  # fmt: skip


def _part(operation: Any, effect: Effect) -> str:
    part, dot, _ = effect.parameter.partition(".")
    return part if dot and operation.program is not None else ""


def _keeps(effect: Effect, *, bound: float | bool) -> bool | None:
    if isinstance(bound, bool):
        return bound or not effect.worst
    if effect.worst is None:
        allows_all = bound == Invariances.model_fields[effect.rule].default
        return True if allows_all else None
    if effect.rule.startswith("min_"):
        return effect.worst >= bound - SLACK
    return effect.worst <= bound * (1 + SLACK) + SLACK
