"""What each operation did to one sample, in words and numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from augfeed.constants import FILTER_NAMES
from augfeed.operation import (
    Declaration,
    Label,
    Mixing,
    Program,
    SampleValues,
    Stage,
    Window,
    Wording,
)
from augfeed.plan import Plan
from augfeed.show.program_steps import drawn_steps
from augfeed.show.windows import Sides, chosen, window_of
from augfeed.stages import drawn_by_stages

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a policy on one sample.

    `done` says what came of it, `law` how its values are drawn, `p` how often it is applied (None:
    always). `values` are the drawn numbers, also those of an operation that was not applied.
    """

    stage: str
    operation: str
    done: str
    law: str = ""
    p: float | None = None
    applied: bool = True
    values: Values = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What was done, and by which law."""
        chance = f"p = {self.p:g}" if self.p is not None and self.p < 1 else ""
        if not self.applied:
            refused = f"not applied ({chance})" if chance else "not applied"
            return f"{refused}: {self.done}" if self.done else refused
        known = "; ".join(part for part in (self.law, chance) if part)
        return f"{self.done} ({known})" if known else self.done

    def as_dict(self) -> Values:
        """Return the step as values that JSON knows."""
        return {
            "stage": self.stage,
            "operation": self.operation,
            "applied": self.applied,
            "p": self.p,
            "values": self.values,
            "text": self.text,
        }


def steps_before_mixing(plan: Plan, row: int, source: Sides, channels: int) -> Iterator[Step]:
    """Yield what happened to a row alone, in the order of execution.

    `source` is `(height, width)` of its image.
    """
    yield from _window_steps(plan, row, source)
    yield from _stage_steps(plan, row, channels)
    programs = plan.policy.programs
    for item in plan.policy.operations:
        if item.program is not None:
            which = next(k for k, other in enumerate(programs) if other is item)
            yield from _program_steps(plan, item, which, row, channels)
        elif not isinstance(item, Window | Stage) and item.order < Mixing.orders.start:
            yield from _step(item, _seen(plan, item, row, channels))


def steps_after_mixing(plan: Plan, row: int, channels: int, classes: int | None) -> Iterator[Step]:
    """Yield what came after the mixing: occlusion, normalization, noise, labels."""
    for item in plan.policy.operations:
        if item.order >= Mixing.orders.stop:
            seen = _seen(plan, item, row, channels)
            if isinstance(item, Label):
                seen = replace(seen, values={"classes": classes})
            yield from _step(item, seen)


def mixing_step(plan: Plan, item: Any, values: Values, *, applied: bool) -> Step:
    """Return how the first row was mixed; `values` are for the words of `item`."""
    return next(_step(item, SampleValues(values, applied, plan.size, 0)))


def _step(item: Declaration, seen: SampleValues) -> Iterator[Step]:
    told: Wording | None = item.explain(seen)
    if told is None:
        return
    applied = seen.applied if told.applied is None else told.applied
    values = dict(seen.values if told.values is None else told.values)
    done = told.done if applied else told.otherwise
    p = getattr(item, "p", None)
    yield Step(item.family, item.op, done, told.law, p, applied, values)


def _seen(plan: Plan, item: Any, row: int, channels: int) -> SampleValues:
    values = drawn(plan, item.op, row) if item.op in plan.decisions else {}
    applied = bool(values.pop("applied", True))
    return SampleValues(values, applied, plan.size, channels, bool(plan.warped[row]))


def _window_steps(plan: Plan, row: int, source: Sides) -> Iterator[Step]:
    windows = window_of(plan, row, source)
    top, left, height, width = windows.box[0].tolist()
    values = {
        "source": list(source),
        "box": [top, left, top + height, left + width],
        "resized": windows.resized[0].tolist(),
        "offset": windows.offset[0].tolist(),
        "interpolation": FILTER_NAMES[int(windows.filters[0])],
    }
    found = [item for item in plan.policy.operations if isinstance(item, Window)]
    for item in found:
        applied = chosen(plan, row, getattr(item, "p", 1.0))
        yield from _step(item, SampleValues(values, applied, plan.size, 0))
    if not found:
        done = f"the whole image, {source[0]} x {source[1]}"
        yield Step("window", "whole", done, values={"source": list(source)})


def _program_steps(
    plan: Plan, item: Any, which: int, row: int, channels: int
) -> Iterator[Step]:  # fmt: skip
    steps = list(drawn_steps(plan, which, row, channels))
    count = sum(step.changes for step in steps)
    done = f"{count} step{'s' if count != 1 else ''}"
    values: Values = {"steps": [{"operation": step.name, **step.values} for step in steps]}
    yield Step(Program.family, item.op, done if steps else "", p=item.p, applied=bool(steps),
               values=values)  # fmt: skip
    for k, step in enumerate(steps, 1):
        yield Step(f"step {k}", step.name, step.done, step.law, values=step.values)


def _stage_steps(plan: Plan, row: int, channels: int) -> Iterator[Step]:
    for made in drawn_by_stages(plan, row, channels):
        seen = SampleValues(made.values, made.applied, plan.size, channels)
        yield from (replace(step, p=made.p) for step in _step(made.stage, seen))


def drawn(plan: Plan, name: str, row: int) -> Values:
    """Return the decisions about one row under one operation, as plain Python values."""
    return {key: values[row].tolist() for key, values in plan.decisions[name].items()}
