"""Carry out an augmentation of Kornia: a class by its name, and what it is built with."""

import inspect
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import ArgsKwargs

from augfeed.errors import MissingExtraError, PolicyError
from augfeed.operation import Effect, SampleValues, Setting, Stage, Wording, kind, operation
from augfeed.operation.describe import shown, suggest
from augfeed.operation.kornia_effects import effects_of, moves

BIG = 2**63
DEEPEST = 4  # lists within lists
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_TEXT = re.compile(r"[A-Za-z0-9_.\-]{0,64}")
# Classes that make images of another size or range than the one they are given.
_OWN = {
    "CenterCrop": "center_crop",
    "Denormalize": "no normalize at all",
    "LongestMaxSize": "resize",
    "Normalize": "normalize",
    "PadTo": "random_crop(padding=...)",
    "RandomCrop": "random_crop",
    "RandomResizedCrop": "random_resized_crop",
    "Resize": "resize",
    "SmallestMaxSize": "resize",
}
_OF_BATCHES = {
    "same_on_batch": "a sample would depend on its batch: remove it",
    "p_batch": "a sample would depend on its batch: use p",
    "keepdim": "shapes are kept anyway: remove it",
}
_LISTS = {("RandomPlanckianJitter", "select_from")}  # which index, as a tuple would not
_TENSORS = {
    ("RandomGrayscale", "rgb_weights"),
    *(("RandomFisheye", name) for name in ("center_x", "center_y", "gamma")),
}


def _pairs(given: Any) -> Any:
    if isinstance(given, Mapping):
        given = tuple(given.items())
    if not isinstance(given, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in given
    ):
        raise ValueError(f"parameters={shown(given)} are not named: give an object of them")
    for name, _ in given:
        if not isinstance(name, str) or not _PARAMETER.fullmatch(name):
            raise ValueError(f"parameter {shown(name)} is not a name: use letters, digits and _")
    # Sorted, so that equal stages are written the same; `p` last, where readers look for it.
    ordered = sorted(given, key=lambda pair: (pair[0] == "p", pair[0]))
    return tuple((name, _value(name, value)) for name, value in ordered)


def _value(name: str, value: Any, depth: int = 0) -> Any:
    match value:
        case list() | tuple() if depth < DEEPEST:
            return tuple(_value(name, item, depth + 1) for item in value)
        case bool():
            return value
        case int() | float() if math.isfinite(value) and abs(value) < BIG:
            return value
        case str() if _TEXT.fullmatch(value):
            return value
    raise ValueError(
        f"{name}={shown(value)} is not allowed: give a finite number, True, False, a word of at "
        f"most 64 letters, digits, '_', '-' and '.', or a list of them"
    )


Parameters = Annotated[
    tuple[tuple[str, Any], ...],
    BeforeValidator(_pairs),
    PlainSerializer(dict, return_type=dict[str, Any]),
    WithJsonSchema({"type": "object", "description": "what the class is built with"}),
]


@operation
class Kornia(Stage):
    """Carry out a 2-d augmentation of Kornia, as `Kornia("RandomJPEG", jpeg_quality=[30, 90])`.

    `name` is a class of `kornia.augmentation`; the other arguments are those of the class, as
    numbers, words, booleans and lists of them, with Kornia's own defaults (`p` too). An instance
    of the class is taken for its name and its arguments. Several stages keep the order given; they
    see float images from 0 to 1 after the window and before everything else, and what they
    return is clamped to that range. Classes that change the size of an image, normalize it or mix
    several are refused.
    """

    name: Annotated[str, Field(description="class of kornia.augmentation")]
    parameters: Parameters = ()
    op: Literal["kornia"] = kind("kornia")
    order = 200
    cases = {}

    if TYPE_CHECKING:

        def __init__(self: "Kornia", name: Any, /, **parameters: Any) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, given: Any) -> Any:
        if not isinstance(given, ArgsKwargs):
            return given
        named = dict(given.kwargs or {})
        positional = [*given.args, *([named.pop("name")] if "name" in named else [])]
        if len(positional) != 1:
            raise ValueError(
                "give the name of one class, then its parameters by name, as in "
                "Kornia('RandomGamma', gamma=[0.8, 1.2])"
            )
        name = positional[0]
        if hasattr(name, "forward_parameters") and not isinstance(name, type):
            if named:
                raise ValueError(f"{shown(name)} is built already: give it alone")
            name, named = recovered(name)
        elif list(named) == ["parameters"]:
            named = named["parameters"]
        return {"name": name, "parameters": named}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check_name(self.name)
        for name, value in self.parameters:
            if name in _OF_BATCHES:
                raise ValueError(f"{self.name} cannot have {name}: {_OF_BATCHES[name]}")
            if name == "p" and (
                not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1
            ):
                raise ValueError(f"p={value!r} is not a probability: give a number from 0 to 1")
        if find_spec("kornia") is not None:
            build(self)
        return self

    @property
    def moves(self) -> bool:
        """Whether pixels may change their places; of a class that is not known they may."""
        return moves(self.name)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what the class may do to a label; all there is for one that is not known."""
        yield from effects_of(self.name, self.arguments, setting)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the class and what it drew."""
        drawn = ", ".join(f"{key} {_number(value)}" for key, value in seen.values.items())
        return Wording(f"{self.name}: {drawn}" if drawn else self.name, otherwise=self.name)

    @property
    def chance(self) -> float:
        """The probability that a sample gets it; 1 where it is left to Kornia."""
        return float(self.arguments.get("p", 1))

    @property
    def arguments(self) -> dict[str, Any]:
        """The parameters by name."""
        return dict(self.parameters)


def _number(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_number, value)) + "]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise PolicyError(
            f"{shown(name)} is not a class of kornia.augmentation: give letters and digits"
        )
    if name in _OWN:
        raise PolicyError(
            f"Kornia's {name} changes the size or the range of images: use {_OWN[name]}"
        )
    if name == "RandomDissolving":
        raise PolicyError(f"Kornia's {name} runs a diffusion model: use an intensity augmentation")


def build(stage: Kornia) -> Any:
    """Return a new module of Kornia's for a stage.

    Raises `PolicyError` for a class or a parameter that Kornia does not have, and
    `MissingExtraError` without Kornia.
    """
    cls = _class_of(stage.name)
    known = [name for name in inspect.signature(cls).parameters if name not in _OF_BATCHES]
    for name, _ in stage.parameters:
        if name not in known:
            raise PolicyError(f"Kornia's {stage.name} has no parameter {name!r}: "
                              f"{suggest(name, known)}")  # fmt: skip
    given = {name: _given(stage.name, name, value) for name, value in stage.parameters}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = cls(**given)
    except Exception as error:
        needs = ", ".join(known)
        raise PolicyError(
            f"Kornia cannot build {stage.name} of {shown(given)} ({str(error)[:300]}): "
            f"it takes {needs}"
        ) from None
    import torch

    module.set_rng_device_and_dtype(torch.device("cpu"), torch.float32)
    return module


def _given(owner: str, name: str, value: Any) -> Any:
    if (owner, name) in _LISTS and isinstance(value, tuple):
        return list(value)
    if (owner, name) in _TENSORS:
        import torch

        return torch.tensor(value, dtype=torch.float32)
    return value


def _class_of(name: str) -> Any:
    try:
        import kornia.augmentation as catalogue
        from kornia.augmentation import AugmentationBase2D, MixAugmentationBaseV2
    except ImportError:
        raise MissingExtraError("Kornia", "kornia") from None
    found = getattr(catalogue, name, None)
    if isinstance(found, type) and issubclass(found, MixAugmentationBaseV2):
        raise PolicyError(f"Kornia's {name} mixes images and not labels: use mixup or cutmix")
    if _usable(found, AugmentationBase2D):
        return found
    known = [key for key, cls in vars(catalogue).items() if _usable(cls, AugmentationBase2D)]
    raise PolicyError(
        f"{name!r} is not a 2-d augmentation of Kornia's: "
        f"{suggest(name, sorted({*known} - {*_OWN}))}"
    )


def _usable(cls: Any, base: type[Any]) -> bool:
    return isinstance(cls, type) and issubclass(cls, base) and "Base" not in cls.__name__


def recovered(module: Any) -> tuple[str, dict[str, Any]]:
    """Return name and parameters that a module of Kornia's can be built from again.

    Raises `PolicyError` where they cannot be determined from the module.
    """
    name = type(module).__name__
    _check_name(name)
    cure = f"give name and parameters, as in Kornia({name!r}, ...)"
    if _class_of(name) is not type(module):
        raise PolicyError(f"{name} is a class of your own, and a policy holds no code: {cure}")
    if module.same_on_batch or module.p_batch != 1:
        raise PolicyError(f"{name} has same_on_batch or p_batch, which {_OF_BATCHES['p_batch']}")
    places = (module.flags, _attributes(module._param_generator), _attributes(module))
    arguments: dict[str, Any] = {}
    for parameter in inspect.signature(type(module)).parameters:
        held = [place[parameter] for place in places if parameter in place]
        if parameter not in _OF_BATCHES and held and (value := _plain(held[0])) is not None:
            arguments[parameter] = value
    try:
        made = build(Kornia(name, **arguments))
    except PolicyError as error:
        raise PolicyError(
            f"what {name} was built with cannot be determined ({error}): {cure}"
        ) from None
    if _seen(made) != _seen(module):
        raise PolicyError(f"what {name} was built with cannot be determined from it: {cure}")
    return name, arguments


def _attributes(thing: Any) -> dict[str, Any]:
    return {**getattr(thing, "_buffers", {}), **getattr(thing, "__dict__", {})}


def _seen(module: Any) -> dict[str, Any]:
    # All that says two modules of a class apart, but for what a call leaves behind.
    seen: dict[str, Any] = {}
    for owner in (module, module._param_generator):
        seen |= {
            f"{type(owner).__name__}.{name}": _plain(value)
            for name, value in _attributes(owner).items()
            if not name.startswith("_") and name not in ("training", "flags", "keepdim", "device")
        }
    return seen | {f"flags.{name}": _plain(value) for name, value in module.flags.items()}


def _plain(value: Any) -> Any:
    # A value as JSON can hold it; None for what it cannot.
    match value:
        case Enum():
            return value.name.lower()
        case bool() | int() | float() | str():
            return value
        case list() | tuple():
            return tuple(map(_plain, value))
    return _plain(value.tolist()) if hasattr(value, "tolist") else None
