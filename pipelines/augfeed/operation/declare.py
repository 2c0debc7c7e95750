"""An operation as one declaration: all that the rest of the library knows of it."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from typing import Any, ClassVar, TypeVar, cast, dataclass_transform

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError, model_serializer
from pydantic.dataclasses import dataclass, rebuild_dataclass

from augfeed.errors import PolicyError
from augfeed.operation.describe import describe
from augfeed.operation.draws import Drawn, Flags, Uniforms
from augfeed.operation.effects import Effect, Setting
from augfeed.operation.parameter_types import Sides
from augfeed.operation.words import SampleValues, Wording

CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
ARXIV = "https://arxiv.org/abs/"


@plain_dataclass(frozen=True, slots=True)
class Column:
    """One value a sample in the plan: its name, element type, and what changes nothing.

    `shape` is that of one value. A name is used once among all operations. Where engines read
    something else than the plan holds, `of` makes it of the plan's columns.
    """

    name: str
    dtype: type[np.generic]
    neutral: float | bool = 0
    shape: tuple[int, ...] = ()
    of: Callable[[Any], NDArray[Any]] | None = None


class Declaration:
    """What every operation declares; the classes of `augfeed.operation.kinds` say how it enters.

    `order` is its place in the one fixed order, a number of its own within `orders` of its kind.
    A random operation has `p`, a `stream` that is its own, and draws `uniforms` of it for each
    sample, the first of which decides whether it is applied. `cases` are policies, as lines, that
    every engine is held against in the tests. `source` is the paper, as a link.
    """

    family: ClassVar[str]
    heading: ClassVar[str]  # of its family, on the page of operations
    orders: ClassVar[range]
    needs: ClassVar[tuple[str, ...]] = ()  # what is declared beside `REQUIRED`
    follows: ClassVar[tuple[str, ...]] = ()  # what its kind makes of the rest
    as_given: ClassVar[bool] = False  # whether operations of the kind keep the order given
    exclusive: ClassVar[str] = ""  # name of a group of which a policy has one at most
    order: ClassVar[int]
    stream: ClassVar[int | None] = None
    uniforms: ClassVar[int] = 0
    columns: ClassVar[tuple[Column, ...]] = ()
    reads: ClassVar[tuple[Column, ...] | None] = None  # by engines, if not `columns`
    short: ClassVar[str] = ""  # another name in the notation
    source: ClassVar[str] = ""
    harmless: ClassVar[str] = ""  # why no rule has a word for it, if it yields no effects
    cases: ClassVar[Mapping[str, str]]
    later: ClassVar[tuple[str, ...]] = ()
    op: str

    @property
    def moves(self) -> bool:
        """Whether a pixel may come from elsewhere, so that masks and boxes no longer fit."""
        raise NotImplementedError

    @classmethod
    def json_name(cls) -> str:
        """Return its name in JSON and in the notation."""
        name: str = vars(cls)["__dataclass_fields__"]["op"].default
        return name

    @classmethod
    def read_columns(cls) -> tuple[Column, ...]:
        """Return what engines read of a sample."""
        return cls.columns if cls.reads is None else cls.reads

    @property
    def chance(self) -> float:
        """The probability that a sample gets it."""
        return float(getattr(self, "p", 1.0))

    @property
    def alternates(self) -> bool:
        """Whether a sample gets it in every other epoch: in epoch 0 if drawn for it there."""
        return False

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        """Return the JSON Schema of its parameters, in JSON that is read and in JSON written."""
        return handler(_unshortened(schema))

    @property
    def program(self) -> Any:
        """What a sample's own steps are drawn from, a `Node` of `augfeed.operation.program`.

        None for what is not a program.
        """
        return None

    @property
    def drawn(self) -> int:
        """How many uniforms it draws a sample: `uniforms`, or more by its parameters."""
        return self.uniforms

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what it may do to a label, each in the unit of a rule of `Invariances`."""
        raise NotImplementedError

    def explain(self, seen: SampleValues) -> Wording | None:
        """Return what it did to a sample, in words; None where there is nothing to say."""
        raise NotImplementedError

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return what it decides of every sample.

        `u` float64 `[uniforms, N]` in [0, 1); `applied` bool `[N]`; `size` is `(height, width)` of
        the output.
        """
        raise NotImplementedError

    def check_policy(self, policy: Any) -> None:
        """Raise `ValueError` if the rest of a policy does not go with it."""


T = TypeVar("T", bound=Declaration)
REQUIRED = ("op", "moves", "effects", "explain", "order", "cases")
_CURE = (
    "say whether it moves pixels, yield its effects on labels (nothing, if it has none), return "
    "its words, and give its place in the order and its cases for the tests"
)


def kind(name: str) -> Any:
    """Declare the field `op` that names an operation in JSON."""
    return field(default=name, kw_only=True, repr=False)


def missing(cls: type[Declaration]) -> list[str]:
    """Return what a class has not declared of what its kind needs."""
    needed = (name for name in (*REQUIRED, *cls.needs) if name not in cls.follows)
    return [name for name in needed if not _own(cls, name)]


def _own(cls: type[Any], name: str) -> bool:
    owner = next((base for base in cls.__mro__ if name in vars(base)), Declaration)
    return not owner.__module__.startswith("augfeed.operation.")


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def operation(cls: type[T]) -> type[T]:
    """Make a class an operation: a frozen dataclass whose errors are `PolicyError`.

    Raises `TypeError` for a class that leaves out what every operation declares.
    """
    if not issubclass(cls, Declaration):
        raise TypeError(f"{cls.__name__} is not of a kind: derive it from one in augfeed.operation")
    if absent := missing(cls):
        raise TypeError(f"operation {cls.__name__} does not declare {', '.join(absent)}: {_CURE}")
    if cls.order not in cls.orders:
        raise TypeError(
            f"operation {cls.__name__} has order={cls.order!r}, and its kind goes from "
            f"{cls.orders.start} to {cls.orders.stop - 1}: give a number of these"
        )
    if cls.later:
        cls._dumped = model_serializer(mode="wrap")(_dumped)  # type: ignore[attr-defined]
    made = dataclass(frozen=True, config=CONFIG)(cls)
    _say_in_words(made)
    return cast(type[T], made)


def complete(cls: type[Any], **names: Any) -> None:
    """Make the fields of an operation whose types were not known yet, by their names."""
    rebuild_dataclass(cls, force=True, _types_namespace=names)
    _say_in_words(cls)


def _say_in_words(made: type[Any]) -> None:
    inner = made.__init__

    @functools.wraps(inner)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            inner(self, *args, **kwargs)
        except ValidationError as error:
            raise PolicyError(describe(error, made)) from None

    made.__init__ = checked


def _unshortened(schema: Any) -> Any:
    # Without `_dumped`, of whose result pydantic knows nothing.
    kept = {key: value for key, value in schema.items() if key != "serialization"}
    return {**kept, "schema": _unshortened(kept["schema"])} if "schema" in kept else kept


def _dumped(self: Any, handler: Any) -> Any:
    data = handler(self)
    fields = type(self).__pydantic_fields__
    for name in type(self).later:
        if getattr(self, name) == fields[name].default:
            data.pop(name, None)
    return data
