"""The strength of each technique, by successive halving on seeds of their own."""

from dataclasses import dataclass

from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.images import StudyData
from augfeed_trainer.study.techniques import Strength, Technique
from augfeed_trainer.study.trials import Outcomes, Trials, validated

RUNGS = (1, 2, 4)  # times the epochs of a run at equal steps


@dataclass(frozen=True, slots=True)
class Searched:
    """A technique at the strength that was best, what each one reached, and its last lead."""

    technique: Technique
    scores: dict[str, float]
    lead: float


def search_strengths(
    every: list[Technique], base: Recipe, where: StudyData, trials: Trials, share: float
) -> list[Searched]:
    """Return the techniques with their best strengths, the most promising first.

    Successive halving (1502.07943): all strengths of all techniques are run with one seed; the
    better half of each technique goes on to twice the epochs and one seed more, until one is left.
    A technique whose strengths could not all be run in time keeps the middle one.
    """
    left = {technique.name: list(technique.strengths) for technique in every}
    scores: dict[str, dict[str, float]] = {technique.name: {} for technique in every}
    leads = dict.fromkeys(left, float("-inf"))
    out: set[str] = set()
    for rung, scale in enumerate(RUNGS):
        open_ = [item for item in every if item.name not in out
                 and (len(left[item.name]) > 1 or not rung)]  # fmt: skip
        if not open_:
            break
        scaled = base.with_(epochs=base.epochs * scale)
        seeds = [where.search_seed(k) for k in range(rung + 1)]
        named = {_key(item, strength): strength.on(scaled) for item in open_
                 for strength in left[item.name]}  # fmt: skip
        what = f"strengths, round {rung + 1}"
        done = trials.of({"plain": scaled, **named}, seeds, what, share)
        for item in open_:
            _halve(item, left, scores, done, out)
            plain = done.get("plain")
            if plain and item.name not in out:
                best = max(scores[item.name][one.label] for one in left[item.name])
                leads[item.name] = best - validated(plain)
    found = [
        Searched(item.at(left[item.name][0]), scores[item.name], leads[item.name]) for item in every
    ]
    return sorted(found, key=lambda one: -one.lead)


def _halve(
    item: Technique, left: dict[str, list[Strength]], scores: dict[str, dict[str, float]],
    done: dict[str, Outcomes], out: set[str],
) -> None:  # fmt: skip
    strengths = left[item.name]
    reached = {one.label: validated(done[_key(item, one)]) for one in strengths
               if _key(item, one) in done}  # fmt: skip
    scores[item.name] |= reached
    if len(reached) < len(strengths):
        out.add(item.name)
        middle = strengths[(len(strengths) - 1) // 2]
        left[item.name] = [middle]
        return
    order = sorted(strengths, key=lambda one: -reached[one.label])  # a tie: the weaker one
    left[item.name] = order[: (len(order) + 1) // 2]


def _key(item: Technique, strength: Strength) -> str:
    return f"{item.name} {strength.label}".strip()
