"""What a plan of a service is about: a data set by name, a policy, and how batches are cut."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from augfeed.engines import DTYPES, Output
from augfeed.errors import InputError
from augfeed.operation.describe import describe
from augfeed.policy import Policy

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Description(BaseModel):
    """All that the bytes of a plan's batches depend on, but for the machine and its versions.

    `id`, the hash of the canonical JSON, is the plan's name: any replica can check it, and none
    needs to know what another one was told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Annotated[Name, Field(description="name of a data set that the service has mounted")]
    policy: Annotated[Policy, Field(description="what is done to pictures and labels")]
    seed: Annotated[
        int, Field(ge=0, lt=2**64, strict=True, description="seed of every decision")
    ] = 0
    batch_size: Annotated[
        int,
        Field(ge=1, le=65536, strict=True, description="samples of a batch, of all ranks together"),
    ] = 1
    shuffle: Annotated[bool, Field(description="whether each epoch has an order of its own")] = True
    drop_last: Annotated[
        bool, Field(description="whether a last batch that is short is left out")
    ] = False
    dtype: Annotated[
        Literal["uint8", "float16", "bfloat16", "float32"],
        Field(description="element type of the images; uint8 for a policy without normalize"),
    ] = "uint8"
    layout: Annotated[
        Literal["NCHW", "NHWC"], Field(description="whether channels lie last in memory")
    ] = "NCHW"
    labels: Annotated[
        Literal["compact", "dense"],
        Field(description="mixed labels as two classes and a share, or as rows of shares"),
    ] = "compact"

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Return the description of a JSON text; raise `InputError` naming what is wrong."""
        try:
            return cls.model_validate(from_json(text))
        except ValidationError as error:
            raise InputError(describe(error, cls)) from None
        except ValueError as error:
            raise InputError(f"this text is no description: {error}") from None

    def canonical(self) -> bytes:
        """Return the canonical JSON: every field, keys sorted, no spaces."""
        fields: dict[str, Any] = self.model_dump(mode="json")
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @property
    def id(self) -> str:
        """The name of the plan: SHA-256 of the canonical JSON, its first 32 hexadecimal digits."""
        return hashlib.sha256(self.canonical()).hexdigest()[:32]

    @property
    def output(self) -> Output:
        """How batches are made."""
        return Output(DTYPES[self.dtype], self.layout == "NHWC")


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of an element type; raise `InputError` for one that is not given out."""
    for name, known in DTYPES.items():
        if known == dtype:
            return name
    raise InputError(f"dtype={dtype!r} is not given out: use one of {[*DTYPES.values()]}")
