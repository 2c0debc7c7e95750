"""Steps that mix chains of a program, as AugMix does (1912.02781), on whole levels.

`Keep` puts the image aside, and begins a sum with a share of it; `Add` adds what a chain has made
of it to the sum, and goes on with the image that was put aside; `Blend` blends that image with the
sum, each cut off to whole levels as Pillow does. Weights are multiples of 2**-16, so that all sums
are exact in float32: any engine, in any order, has the same levels, and an image that no chain has
changed stays as it is.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import Column
from augfeed.operation.kinds import Frame
from augfeed.operation.parameter_types import Sides
from augfeed.operation.program import Candidate, Magnitudes, Node, Series

Weights = tuple[Magnitudes, Magnitudes, Magnitudes]
UNITS = 65536.0  # of a weight of 1


class Keep(Frame):
    """Put the image aside: the sum is `weight` times its levels."""

    reads = (Column("weight", np.float32),)


class Add(Frame):
    """Add the image to the sum: `kept` times the sum, and `weight` times the levels.

    The sum is cut off to whole levels where `whole` is not 0.
    """

    reads = (
        Column("kept", np.float32, neutral=1),
        Column("weight", np.float32),
        Column("whole", np.float32),
    )


class Blend(Frame):
    """Blend the image that was put aside with the sum, of which `weight` is the share."""

    reads = (Column("weight", np.float32),)


STEPS: tuple[type[Frame], ...] = (Keep, Add, Blend)


def _alone(magnitudes: Magnitudes, size: Sides) -> NDArray[np.float64]:
    return magnitudes[:, None]


def _summed(magnitudes: Magnitudes, size: Sides) -> NDArray[np.float64]:
    return np.stack([np.ones_like(magnitudes), magnitudes, np.zeros_like(magnitudes)], axis=1)


def _over(magnitudes: Magnitudes, size: Sides) -> NDArray[np.float64]:
    return np.stack([1.0 - magnitudes, magnitudes, np.ones_like(magnitudes)], axis=1)


KEEP = Candidate("chains", Keep, _alone)
BLEND = Candidate("blend", Blend, _alone)
SUMMED = (KEEP, Candidate("chain", Add, _summed), BLEND)
IN_TURN = (KEEP, Candidate("chain", Add, _over), BLEND)


def chain(step: Node, depth: int) -> Node:
    """Return a chain of `depth` draws of a step, of 1 to 3, each as often, if it is 0 or below."""
    if depth > 0:
        return Series((step,) * depth)
    third = Series((step,), 1 / 2)
    return Series((step, Series((step, third), 2 / 3)))


def _units(weights: Magnitudes) -> Magnitudes:
    made: Magnitudes = np.floor(weights * UNITS) / UNITS
    return made


def weigh_once(weights: Magnitudes, share: Magnitudes) -> Weights:
    """Return the weights of one sum of all, the image itself included, as torchvision adds up."""
    ended = _units(weights * share)
    return 1.0 - ended.sum(axis=0), ended, np.ones_like(share)


def weigh_twice(weights: Magnitudes, share: Magnitudes) -> Weights:
    """Return the weights of a sum of the chains, which is blended with the image, as timm does."""
    ended = _units(weights)
    ended[-1] = 1.0 - ended[:-1].sum(axis=0)
    return np.zeros_like(share), ended, _units(share)


def weigh_in_turn(weights: Magnitudes, share: Magnitudes) -> Weights:
    """Return how much of each chain is blended with the chains before it and the image.

    That is timm's `b1`: in the end all have the weights that they have in a sum, but levels are cut
    off at each chain.
    """
    ended = weights * share
    left = 1.0 - np.cumsum(ended[::-1], axis=0)[::-1] + ended  # without the chains behind
    ended = _units(np.clip(ended / np.maximum(left, 1e-300), 0.0, 1.0))
    return np.ones_like(share), ended, np.ones_like(share)


def shares(steps: Iterable[tuple[Candidate, float]]) -> Iterator[float]:
    """Yield the shares of the image, and of each chain, in what comes out.

    `steps` are those of the chains of one sample, with their magnitudes, in their order.
    """
    found: list[float] = []
    for candidate, magnitude in steps:
        numbers = candidate.numbers(np.array([magnitude]), (1, 1))[0].tolist()
        if candidate.step is Keep:
            found = numbers
        elif candidate.step is Add:
            found = [*(numbers[0] * share for share in found), numbers[1]]
        else:
            found = [numbers[0] * share for share in found]
            found[0] += 1.0 - numbers[0]
    yield from found
