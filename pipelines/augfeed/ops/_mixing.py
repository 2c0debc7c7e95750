"""What mixing operations share."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from augfeed.operation import Column

Alpha = Annotated[float, Field(gt=0, le=1000, description="both parameters of the Beta law")]
Per = Annotated[
    Literal["sample", "batch"],
    Field(description="a lambda for each sample, or one for the batch as in the papers' code"),
]
# The partner's row is every row's own unless it is mixed.
COLUMNS = (Column("mode", np.uint8), Column("partner", np.int32), Column("lam", np.float32, 1.0))


def lambda_law(operation: Any) -> str:
    """Return how lambda is drawn, in words."""
    law = f"lambda ~ Beta({operation.alpha:g}, {operation.alpha:g})"
    if operation.per == "batch":
        law += ", one for the batch: here as if the sample came first in it"
    return law if operation.until is None else f"{law}, before epoch {operation.until}"
