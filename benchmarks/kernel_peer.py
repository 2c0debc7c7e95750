"""What a peer of the kernel is: other code that does a chain to a batch of uint8 images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from augfeed.bench.result import Shape
from augfeed.policy import Policy, Rotate, Scale, Shear, Translate

AFFINE = (Rotate, Translate, Scale, Shear)
Augment = Callable[[torch.Tensor], torch.Tensor]


class UnsupportedError(Exception):
    """A chain that a peer cannot do; the message says what it lacks."""


@dataclass(frozen=True)
class Work:
    """What is asked for: images uint8 `[B, C, H, W]` in, the dtype and layout out."""

    policy: Policy
    shape: Shape
    dtype: torch.dtype
    memory: torch.memory_format
    device: torch.device

    def given_out(self, values: torch.Tensor) -> torch.Tensor:
        """Return a batch in the dtype and layout of the output."""
        return values.to(self.dtype, memory_format=self.memory)


@dataclass(frozen=True)
class Made:
    """A peer ready for a chain; `differs` says what it leaves out or does otherwise there.

    `prepare` is done to the images beforehand, outside the timed region.
    """

    run: Augment
    differs: tuple[str, ...] = ()
    prepare: Augment | None = None


@dataclass(frozen=True)
class Peer:
    """One way to do the work. `make` raises `ImportError` where the peer is not installed.

    `per_sample` is whether every image gets parameters of its own; `wished`, that it takes part
    only where it is named.
    """

    name: str
    title: str
    make: Callable[[Work], Made]
    per_sample: bool = True
    wished: bool = False


@dataclass(frozen=True)
class Affine:
    """The affine operations of a policy as one, as other libraries have it."""

    degrees: Any
    translate: tuple[float, float] | None
    scale: tuple[float, float] | None
    shear: float | None
    p: float


def steps(policy: Policy) -> Iterator[Any]:
    """Yield the operations of a policy in their order, all affine ones as one `Affine`."""
    affine = [item for item in policy.operations if isinstance(item, AFFINE)]
    for item in policy.operations:
        if not isinstance(item, AFFINE):
            yield item
        elif item is affine[0]:
            yield _joined(policy, affine)


def lacking(step: Any) -> UnsupportedError:
    """Return the error for an operation that a peer has no match for."""
    return UnsupportedError(f"has no match for {step!r}")


def _joined(policy: Policy, affine: list[Any]) -> Affine:
    rotate, translate = policy.find(Rotate), policy.find(Translate)
    scale, shear = policy.find(Scale), policy.find(Shear)
    if len({item.p for item in affine}) > 1:
        raise UnsupportedError("affine operations with probabilities of their own")
    if shear and shear.y:
        raise UnsupportedError("a shear along y")
    return Affine(
        rotate.degrees if rotate else 0.0,
        (translate.x, translate.y) if translate else None,
        scale.factor if scale else None,
        shear.x if shear else None,
        affine[0].p,
    )
