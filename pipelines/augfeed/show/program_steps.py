"""What the program of one sample did, a step for each slot, in words and numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from augfeed.operation import SampleValues
from augfeed.operation.program import Candidate
from augfeed.plan import Plan


@dataclass(frozen=True, slots=True)
class DrawnStep:
    """One slot of a program: `name` of what was drawn, `done` and `law` in words, `values`."""

    name: str
    done: str
    law: str
    values: dict[str, Any]


def drawn_steps(plan: Plan, which: int, row: int, channels: int) -> Iterator[DrawnStep]:
    """Yield the steps of a row under program number `which` of its policy, in drawn order."""
    program = plan.program
    assert program is not None, "only asked of policies with a program"
    first = sum(program.widths[:which])
    for slot in range(first, first + program.widths[which]):
        number = int(program.slots.leaf[row, slot])
        if not number:
            continue
        leaf, made = program.leaves[number - 1], program.made[number - 1]
        if isinstance(leaf, Candidate):
            bin_, magnitude = program.slots.bin[row, slot], program.slots.magnitude[row, slot]
            values = {"bin": int(bin_) if bin_ >= 0 else None, "magnitude": float(magnitude)}
            grade = f"bin {bin_}: " if bin_ >= 0 else ""
            yield DrawnStep(leaf.name, f"{grade}{leaf.words(float(magnitude))}", "", values)
        else:
            assert made is not None
            values = {key: array[row].tolist() for key, array in made.values.items()}
            applied = bool(values.pop("applied"))
            told = leaf.explain(SampleValues(values, applied, plan.size, channels))
            yield DrawnStep(leaf.op, told.done, told.law, values)
