"""Recipes that were compared with another one, over the same seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.statistics import Gain, gains
from augfeed_trainer.study.trials import Outcomes

SCALES = (1, 2, 4)  # times the epochs of the regime


@dataclass(frozen=True, slots=True)
class Tried:
    """A recipe with its outcomes at the longest training, and its gain there.

    `equal` is the gain at the steps of the regime, over the plain network at the same; `shorter`
    has the outcomes at fewer epochs, by their scale.
    """

    name: str
    strength: str
    recipe: Recipe
    outcomes: Outcomes
    gain: Gain
    round: int
    equal: Gain | None = None
    shorter: dict[int, Outcomes] = field(default_factory=dict)


def compared(
    done: Mapping[int, Mapping[str, Outcomes]], recipes: Mapping[str, Recipe],
    plain: Mapping[int, Outcomes], best: int, strengths: Mapping[str, str], resolution: float,
) -> list[Tried]:  # fmt: skip
    """Return techniques alone, the best first; those left out for lack of time are not there.

    `best` is the scale at which the plain network is best; `resolution` is the share of one image.
    """
    first, last = SCALES[0], SCALES[-1]
    at_end = gains_over(done[last], plain[best], len(recipes), resolution)
    equal = gains_over(done[first], plain[first], len(recipes), resolution)
    tried = [
        Tried(
            name, strengths[name], recipes[name], done[last][name], gain, 0, equal.get(name),
            {scale: found[name] for scale, found in sorted(done.items())
             if scale != last and name in found},
        )
        for name, gain in at_end.items()
    ]  # fmt: skip
    return sorted(tried, key=lambda item: -item.gain.mean)


def gains_over(
    made: Mapping[str, Outcomes], against: Outcomes, family: int, resolution: float
) -> dict[str, Gain]:
    """Return the gain in validation accuracy of each over the same seeds of another recipe."""
    differences = {
        name: [a.validation - b.validation for a, b in zip(outcomes, against, strict=True)]
        for name, outcomes in made.items()
    }
    return gains(differences, family=family, resolution=resolution)
