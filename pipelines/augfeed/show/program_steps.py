"""What the program of one sample did, a step for each slot, in words and numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from augfeed.operation import SampleValues
from augfeed.operation.program import Candidate
from augfeed.ops import _chains
from augfeed.plan import Plan, Program


@dataclass(frozen=True, slots=True)
class DrawnStep:
    """One slot of a program: `name` of what was drawn, `done` and `law` in words, `values`.

    `changes` is False of what only says how much of the image, or of a chain, comes out.
    """

    name: str
    done: str
    law: str
    values: dict[str, Any]
    changes: bool = True


def drawn_steps(plan: Plan, which: int, row: int, channels: int) -> Iterator[DrawnStep]:
    """Yield the steps of a row under program number `which` of its policy, in drawn order."""
    program = plan.program
    assert program is not None, "only asked of policies with a program"
    first = sum(program.widths[:which])
    slots = range(first, first + program.widths[which])
    taken = [slot for slot in slots if program.slots.leaf[row, slot]]
    shares: list[float] = []  # of the image, and of each chain
    chain, empty = 0, True
    for k, slot in enumerate(taken):
        leaf, made = _leaf(program, row, slot)
        if not _is_control(leaf):
            step = _drawn_step(plan, leaf, made, row, slot, channels)
            values = {**step.values, "chain": chain} if chain else step.values
            yield replace(step, done=f"{_words(chain, shares)}{step.done}", values=values)
            empty = False
        elif leaf.step is _chains.Keep:
            shares, chain, empty = _shares(program, row, taken[k:]), 1, True
            yield _mixed(shares)
        elif leaf.step is _chains.Add:
            if empty:
                done = f"{_words(chain, shares)}the image as it is"
                yield DrawnStep(leaf.name, done, "", {}, changes=False)
            chain, empty = chain + 1, True
        else:
            chain = 0


def _leaf(program: Program, row: int, slot: int) -> tuple[Any, Any]:
    number = int(program.slots.leaf[row, slot])
    return program.leaves[number - 1], program.made[number - 1]


def _is_control(leaf: Any) -> bool:
    return isinstance(leaf, Candidate) and leaf.step in _chains.STEPS


def _shares(program: Program, row: int, slots: list[int]) -> list[float]:
    # Of the chains that begin at the first of some slots.
    steps = []
    for slot in slots:
        leaf, _ = _leaf(program, row, slot)
        if _is_control(leaf):
            steps.append((leaf, float(program.slots.magnitude[row, slot])))
        if steps and steps[-1][0].step is _chains.Blend:
            break
    return list(_chains.shares(steps))


def _mixed(shares: list[float]) -> DrawnStep:
    image, *chains = shares
    done = f"{image:.1%} of the image, mixed with {len(chains)} chain{'s'[: len(chains) - 1]}"
    values = {"image": image, "chains": chains}
    return DrawnStep(_chains.KEEP.name, done, "", values, changes=False)


def _words(chain: int, shares: list[float]) -> str:
    return f"chain {chain} of {len(shares) - 1}, weight {shares[chain]:.3f}: " if chain else ""


def _drawn_step(
    plan: Plan, leaf: Any, made: Any, row: int, slot: int, channels: int
) -> DrawnStep:  # fmt: skip
    if isinstance(leaf, Candidate):
        assert plan.program is not None
        slots = plan.program.slots
        bin_, magnitude = slots.bin[row, slot], slots.magnitude[row, slot]
        values = {"bin": int(bin_) if bin_ >= 0 else None, "magnitude": float(magnitude)}
        grade = f"bin {bin_}: " if bin_ >= 0 else ""
        return DrawnStep(leaf.name, f"{grade}{leaf.words(float(magnitude))}", "", values)
    values = {key: array[row].tolist() for key, array in made.values.items()}
    applied = bool(values.pop("applied"))
    told = leaf.explain(SampleValues(values, applied, plan.size, channels))
    return DrawnStep(leaf.op, told.done, told.law, values)
