"""What a plan of a service is about: a dataset by name, a policy, and how batches are cut."""

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import rfc8785
import torch
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from augfeed.engines import DTYPES, Output
from augfeed.errors import InputError
from augfeed.json_text import parsed_json
from augfeed.operation.describe import describe
from augfeed.plan.repeats import Repeats
from augfeed.policy import Policy
from augfeed.presets import resolve_policy
from augfeed.targets import softens
from augfeed.views import Views, resolve_views

SAFE = 2**53 - 1  # the largest whole number that every JSON reader has exactly (RFC 7493)
_DIGITS = re.compile(r"[1-9][0-9]{15,19}")
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def _exact(seed: Any) -> Any:
    # Readers that have doubles alone, as JavaScript's, would change a large number.
    if isinstance(seed, str) and _DIGITS.fullmatch(seed) and int(seed) > SAFE:
        return int(seed)
    return seed


Seed = Annotated[
    int,
    Field(ge=0, lt=2**64, strict=True, description="seed of every decision"),
    BeforeValidator(_exact),
    PlainSerializer(lambda seed: str(seed) if seed > SAFE else seed, when_used="json"),
    WithJsonSchema({
        "anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
                  {"type": "string", "pattern": "^[1-9][0-9]{15,19}$"}],
        "default": 0, "description": f"seed of every decision; above {SAFE} as a text of digits",
    }),
]  # fmt: skip


def _policy(given: Any) -> Any:
    # No file is read: a text may be somebody else's.
    return resolve_policy(given, files=False) if isinstance(given, str) else given


def _written(repeats: Repeats) -> Any:
    return repeats.count if repeats.over == "batch" else [repeats.count, repeats.over]


def _repeats(given: Any) -> Any:
    made = given if isinstance(given, Repeats) else Repeats.of(
        tuple(given) if isinstance(given, list) else given)  # fmt: skip
    return Repeats() if made.count == 1 else made


GivenViews = Annotated[
    InstanceOf[Views] | None,
    Field(description="the images that are made of each sample, in the place of a policy"),
    PlainSerializer(lambda views: None if views is None else views.as_dict()),
    WithJsonSchema({
        "description": "the images that are made of each sample: names of tensors and their views, "
        "each with a policy and a count; a preset, as 'dino'; or a number of views by `policy`",
        "anyOf": [{"type": "object"}, {"type": "string"}, {"type": "integer", "minimum": 1},
                  {"type": "null"}],
    }),
]  # fmt: skip
GivenRepeats = Annotated[
    InstanceOf[Repeats],
    BeforeValidator(_repeats),
    PlainSerializer(_written),
    WithJsonSchema({
        "description": "how often a sample comes: so often in a batch of a rank, or a pair of that "
        "and 'ranks', spread over the ranks of a step",
        "anyOf": [{"type": "integer", "minimum": 1}, {"type": "array", "minItems": 2,
                                                      "maxItems": 2}],
    }),
]  # fmt: skip


class Description(BaseModel):
    """All that the bytes of a plan's batches depend on, but for the machine and its versions.

    `id`, the hash of the canonical JSON, is the plan's name: any replica can check it, and none
    needs to know what another one was sent. In JSON, a `seed` above 2**53 - 1 is a text of digits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Annotated[Name, Field(description="name of a dataset that the service has mounted")]
    policy: Annotated[
        Policy | None,
        Field(
            description="what is done to images and labels: operations; or, as a text, a preset "
            "or a line; None beside views"
        ),
        BeforeValidator(_policy, json_schema_input_type=Policy | str | None),
    ] = None
    seed: Seed = 0
    batch_size: Annotated[
        int,
        Field(ge=1, le=65536, strict=True, description="samples of a batch, of all ranks together"),
    ] = 1
    shuffle: Annotated[
        bool, Field(strict=True, description="whether each epoch has an order of its own")
    ] = True
    drop_last: Annotated[
        bool, Field(strict=True, description="whether a last batch that is short is left out")
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
    views: GivenViews = None
    repeats: GivenRepeats = Repeats()

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Return the description of a JSON text; raise `InputError` naming what is wrong."""
        try:
            return cls.model_validate(parsed_json(text))
        except ValidationError as error:
            raise InputError(describe(error, cls)) from None
        except ValueError as error:
            raise InputError(f"this text is not a description: {error}") from None

    @model_validator(mode="before")
    @classmethod
    def _whose_policy(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not ("policy" in data or "views" in data):
            return data
        views, policy = data.get("views"), data.get("policy")
        if views is None:
            return data
        if isinstance(policy, dict):
            policy = Policy(**policy)
        return {**data, "policy": None, "views": resolve_views(views, policy, files=False)}

    @model_serializer(mode="wrap")
    def _without_defaults(self, written: Any) -> Any:
        # What a plan does without is left out, so that older plans keep their names.
        made = written(self)
        left = {"policy": self.policy is None, "views": self.views is None,
                "repeats": self.repeats.count == 1}  # fmt: skip
        return {name: value for name, value in made.items() if not left.get(name)}

    @model_validator(mode="after")
    def _has_name(self) -> Self:
        if self.policy is None and self.views is None:
            raise ValueError("has no policy: give policy, or views, which have their own")
        try:
            _ = self.id
        except rfc8785.CanonicalizationError as error:
            raise ValueError(f"has no canonical JSON, so no name: {error}") from None
        return self

    def to_json(self) -> bytes:
        """Return JSON that `parse` reads back as it was: 1.0 stays a float."""
        return self.model_dump_json().encode()

    def canonical(self) -> bytes:
        """Return the canonical JSON of RFC 8785 (https://www.rfc-editor.org/rfc/rfc8785).

        Every field with its default; keys sorted, no spaces, UTF-8, numbers as ECMAScript writes
        them, so that 1.0 and 1 are the same.
        """
        return rfc8785.dumps(_doubles(self.model_dump(mode="json")))

    @cached_property
    def id(self) -> str:
        """The name of the plan: SHA-256 of the canonical JSON, its first 32 hexadecimal digits."""
        return hashlib.sha256(self.canonical()).hexdigest()[:32]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values, which are not checked; its `id` is its own."""
        made = super().model_copy(update=update, deep=deep)
        made.__dict__.pop("id", None)  # pydantic copies what is cached
        return made

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policy, or those of all views."""
        if self.views is not None:
            return tuple(part.policy for part in self.views.parts)
        assert self.policy is not None
        return (self.policy,)

    @property
    def softens(self) -> bool:
        """Whether labels become mixed or smoothed."""
        return any(map(softens, self.policies))

    @property
    def output(self) -> Output:
        """How batches are made."""
        return Output(DTYPES[self.dtype], self.layout == "NHWC")


def _doubles(value: Any) -> Any:
    # What no double holds is left as it is, and refused.
    match value:
        case dict():
            return {name: _doubles(one) for name, one in value.items()}
        case list() | tuple():
            return [_doubles(one) for one in value]
        case int() if abs(value) > SAFE and int(float(value)) == value:
            return float(value)
    return value


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of an element type; raise `InputError` for one that is not given out."""
    for name, known in DTYPES.items():
        if known == dtype:
            return name
    raise InputError(f"dtype={dtype!r} is not given out: use one of {[*DTYPES.values()]}")
