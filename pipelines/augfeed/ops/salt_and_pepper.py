"""Turn some pixels white or black."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from augfeed.operation import (
    Column,
    Drawn,
    Effect,
    Flags,
    Interval,
    Noise,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Unit,
    Wording,
    between,
    ends,
    kind,
    operation,
    ordered,
)
from augfeed.operation.effects import clamped
from augfeed.operation.words import bounds_text


@operation
class SaltAndPepper(Noise):
    """Turn a share `amount` of the pixels white (share `salt` of them) or black."""

    amount: Annotated[
        Unit | tuple[Unit, Unit], Field(description="share of the pixels, or (lowest, highest)")
    ] = 0.02
    salt: Annotated[Unit, Field(description="share of them that turn white")] = 0.5
    p: Probability = 1.0
    op: Literal["salt_and_pepper"] = kind("salt_and_pepper")
    order = 910
    stream = 23
    uniforms = 2
    # Pixels whose 16 random bits lie in [pepper, salt) turn white, those in [0, pepper) black.
    columns = (Column("pepper", np.uint32), Column("salt", np.uint32))
    moves = False
    cases = {
        "salt and pepper": "salt_and_pepper(0.3)",
        "salt and pepper, some": "salt_and_pepper([0.0, 0.4], salt=0.2, p=0.6) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "salt everywhere": "salt_and_pepper(1.0, salt=1.0) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    @field_validator("amount")
    @classmethod
    def _amount(cls, value: float | Interval) -> float | Interval:
        ordered(value if isinstance(value, tuple) else (value, value), "amount", 0.0, 1.0)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what is left of the pixels."""
        low, high = self.amount if isinstance(self.amount, tuple) else (self.amount,) * 2

        def passing(least: float) -> Any:
            return clamped(self.amount, 0.0, 1 - least)

        yield Effect("min_content", "amount", self.amount, 1 - high, passing, 1 - low, self.p == 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the shares of pixels, and the bounds of their random bits."""
        amount = between(u[1], *ends(self.amount))
        hit = np.where(applied, amount * 65536.0, 0.0)
        pepper = np.round(hit * (1.0 - self.salt))
        return Drawn({"amount": amount}, {"pepper": pepper, "salt": np.round(hit)})

    def explain(self, seen: SampleValues) -> Wording:
        """Return the shares of white and black pixels."""
        amount = seen.values["amount"]
        white, bounds = amount * self.salt, self.amount
        done = f"{white:.2%} of the pixels white, {amount - white:.2%} black"
        law = f"both together uniform in {bounds_text(bounds)}" if isinstance(bounds, tuple) else ""
        return Wording(done, law)
