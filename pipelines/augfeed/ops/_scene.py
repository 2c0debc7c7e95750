"""What operations on several samples share."""

from typing import Annotated

from pydantic import Field

Until = Annotated[
    Annotated[int, Field(ge=0, le=2**31 - 1)] | None,
    Field(description="the first epoch without it; None: it never ends"),
]
