"""The operations, and the policy that lists them: frozen, validated, JSON."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import groupby, islice, pairwise
from typing import Annotated, Any, Never, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from augfeed.errors import PolicyError
from augfeed.invariances import Invariances, invariances_of
from augfeed.json_text import parsed_json
from augfeed.operation import Declaration, Geometry, Linear, Pointwise, Program, Scene, Stage, pair
from augfeed.operation.describe import describe as in_words
from augfeed.operation.describe import shown
from augfeed.operation.kinds import warps
from augfeed.operation.program import parts_of
from augfeed.ops import _registry
from augfeed.ops._registry import *  # noqa: F403  (whatever operations there are)
from augfeed.ops._registry import ALL, Operation
from augfeed.ops.bbox_safe_crop import BboxSafeCrop
from augfeed.ops.center_crop import CenterCrop
from augfeed.ops.color_jitter import ColorJitter
from augfeed.ops.cutmix import CutMix
from augfeed.ops.kornia import Kornia
from augfeed.ops.letterbox import Letterbox
from augfeed.ops.mixup import Mixup
from augfeed.ops.one_of import OneOf
from augfeed.ops.random_crop import RandomCrop
from augfeed.ops.random_iou_crop import RandomIouCrop
from augfeed.ops.random_resized_crop import RandomResizedCrop
from augfeed.ops.resize import Resize
from augfeed.ops.schedule import Schedule

Window = RandomResizedCrop | RandomCrop | CenterCrop | Letterbox | RandomIouCrop | BboxSafeCrop
Mixer = Mixup | CutMix | OneOf
Affine = Geometry
Color = Linear | Pointwise
MOST_OPERATIONS = 64  # of a policy
LONGEST_NAME = 200  # characters of the name of a policy
OPERATIONS: dict[str, type[Any]] = {cls.json_name(): cls for cls in ALL}


def _place(cls: type[Declaration]) -> int:
    # Where it is carried out; operations of one place keep the order given.
    if cls.exclusive:
        return min(other.order for other in ALL if other.exclusive == cls.exclusive)
    return cls.orders.start if cls.as_given else cls.order


_RANK: dict[type[Any], int] = {cls: _place(cls) for cls in ALL}
# The order of execution.
STAGES: tuple[tuple[type[Any], ...], ...] = tuple(
    tuple(stage) for _, stage in groupby(ALL, key=_RANK.__getitem__)
)

T = TypeVar("T")


class Policy(BaseModel):
    """What is done to the images and labels of a dataset: a list of operations.

    Operations are carried out in one fixed order, whatever order they are given in: window
    (resize, crop), stages of Kornia, frame (equalize, blur), programs, geometry, color, mixing,
    occlusion, normalization, noise; `operations` shows them in that order. Each operation occurs at
    most once, but for `Kornia` and programs, which keep the order given, and there are at most 64.
    Within programs (`one_of`, `sequence` and others) operations stand in any order, as often as
    wanted. A module of Kornia's may stand for its stage.
    `invariances` are the rules that the policy promises to keep; a loader refuses a policy that
    breaks them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    operations: Annotated[
        tuple[Operation, ...], Field(description="what is done, in the order of execution")
    ] = ()
    invariances: Annotated[
        Invariances | None, Field(description="rules that keep the labels true")
    ] = None
    name: Annotated[
        str | None,
        Field(max_length=LONGEST_NAME, description="name of the preset, if it is one"),
    ] = None

    def __init__(
        self,
        operations: Iterable[Any] = (),
        *,
        invariances: Invariances | str | None = None,
        name: str | None = None,
        **unknown: Never,
    ) -> None:
        """Check the operations; raise `PolicyError` naming all that cannot be carried out."""
        listed = isinstance(operations, Iterable) and not isinstance(operations, str | bytes | dict)
        data: dict[str, Any] = {
            # One more than may be: none of those behind it is looked at, or made.
            "operations": tuple(map(_given, islice(operations, MOST_OPERATIONS + 1)))
            if listed
            else operations,
            "invariances": invariances_of(invariances)
            if isinstance(invariances, str)
            else invariances,
            "name": name,
            **unknown,
        }
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise PolicyError(in_words(error, Policy)) from None

    @model_validator(mode="before")
    @classmethod
    def _in_order(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("operations"), list | tuple):
            if (count := len(data["operations"])) > MOST_OPERATIONS:
                # Counted before any is built, which of Kornia's takes time.
                raise ValueError(
                    f"operations={shown(data['operations'])} has {count} entries or more, above "
                    f"{MOST_OPERATIONS}: leave some out"
                )
            data = {**data, "operations": sorted(data["operations"], key=place_of)}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _once(self.operations)
        for item in self.operations:
            item.check_policy(self)
        _one_interpolation(self.resampling)
        return self

    def find(self, cls: type[T]) -> T | None:
        """Return the operation of a class, or None."""
        found: T | None = self._by_class.get(cls)
        return found

    @cached_property
    def moving(self) -> tuple[str, ...]:
        """The names of the operations under which a pixel may come from elsewhere."""
        return tuple(item.op for item in self.operations if item.moves and item.chance)

    @cached_property
    def warps(self) -> bool:
        """Whether an operation, or a step of a program, moves pixels by more than flips."""
        return any(warps(item) for item in self.operations)

    @cached_property
    def parts(self) -> tuple[Any, ...]:
        """The operations, those that a program may draw too, without the programs themselves."""
        found: list[Any] = []
        for item in self.operations:
            found += [item] if item.program is None else (
                part for part, p in parts_of(item.program) if p and not isinstance(part, tuple)
            )  # fmt: skip
        return tuple(found)

    @cached_property
    def resampling(self) -> tuple[Any, ...]:
        """What says by which `interpolation` pixels move, by more than flips: one in a policy."""
        geometry = (item for item in self.parts if isinstance(item, Geometry) and item.warps)
        laws = (item for item in nested(self.operations) if isinstance(item, Program))
        return (*geometry, *(law for law in laws if law.interpolation != "policy"))

    @cached_property
    def programs(self) -> tuple[Any, ...]:
        """The operations that give samples steps of their own, in the order of execution."""
        return tuple(item for item in self.operations if item.program is not None)

    @cached_property
    def mixer(self) -> Mixer | None:
        """The operation that mixes samples, None without one."""
        mixers = (item for item in self.operations if isinstance(item, Mixer))
        return next((item for item in mixers if item.program is None), None)

    @cached_property
    def per_batch(self) -> bool:
        """Whether a whole batch shares draws, so that no other can be made along with it."""
        mixer = self.mixer
        mixers = mixer.mixers if isinstance(mixer, OneOf) else (mixer,)
        return any(item is not None and item.per == "batch" for item in mixers)

    @cached_property
    def needs_fields(self) -> str:
        """The name of an operation that needs boxes or masks of samples, "" without one."""
        window = (item for item in self.operations if getattr(item, "by_boxes", False))
        return next((item.op for item in (*window, *self.scenes)), "")

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """The operations that show several samples in one, in the order of execution."""
        return tuple(item for item in self.operations if isinstance(item, Scene))

    def mixes_in(self, epoch: int) -> bool:
        """Return whether samples need others of their groups in an epoch."""
        policy = self.at(epoch)
        mixer = policy.mixer
        items = mixer.mixers if isinstance(mixer, OneOf) else () if mixer is None else (mixer,)
        ends = (getattr(item, "until", None) for item in (*items, *policy.scenes))
        return any(until is None or epoch < until for until in ends)

    @cached_property
    def stages(self) -> tuple[Kornia, ...]:
        """The stages of Kornia, in the order of execution."""
        return tuple(item for item in self.operations if isinstance(item, Kornia))

    @property
    def scheduled(self) -> tuple[tuple[int, "Policy"], ...]:
        """The epochs at which the policy begins to change, with the policies that hold then."""
        schedule = self.find(Schedule)
        epochs = (0,) if schedule is None else schedule.changes
        return tuple((epoch, self.at(epoch)) for epoch in epochs)

    def at(self, epoch: int) -> "Policy":
        """Return the policy of an epoch: itself, unless it has a `schedule`."""
        schedule = self.find(Schedule)
        if schedule is None:
            return self
        key = schedule.key(epoch)
        if key not in self._stages:
            done = schedule.applied(self.operations, epoch)
            self._stages[key] = Policy(done, invariances=self.invariances, name=self.name)
        return self._stages[key]

    @cached_property
    def _stages(self) -> dict[Any, "Policy"]:
        return {}

    @cached_property
    def _by_class(self) -> dict[type[Any], Any]:
        # A program is another thing than an operation of the same name that is none.
        return {type(item): item for item in self.operations
                if isinstance(item, Program) or item.program is None}  # fmt: skip

    def size(self, source: tuple[int, int] | None = None) -> tuple[int, int]:
        """Return `(height, width)` of the images that come out, given that of the source.

        Raises `PolicyError` if it depends on the source and `source` is None.
        """
        window = next((item for item in self.operations if isinstance(item, Window)), None)
        if window:
            return pair(window.size)
        resize = self.find(Resize)
        if resize and isinstance(resize.size, tuple):
            return resize.size
        if source is None:
            raise PolicyError(
                "images of different, or unknown, sizes need one size to make a batch: add "
                "random_resized_crop(size), or resize(size) | center_crop(size)"
            )
        return resized(resize, source)

    def resized(self, source: tuple[int, int]) -> tuple[int, int]:
        """Return `(height, width)` of an image after the policy's `resize`, if it has one."""
        return resized(self.find(Resize), source)

    def with_(self, *operations: Any) -> "Policy":
        """Return a policy with more operations; one of the same kind replaces the old one.

        A stage of Kornia, or a program, joins those that are there.
        """
        operations = tuple(map(_given, operations))
        single = [item for item in operations if getattr(item, "program", None) is None]
        kinds = {type(item) for item in single} - {Kornia}
        kept = [item for item in self.operations
                if type(item) not in kinds or item.program is not None]  # fmt: skip
        return Policy([*kept, *operations], invariances=self.invariances)

    def without(self, *kinds: str) -> "Policy":
        """Return a policy without the operations of these names, as `without("mixup")`."""
        known = {item.op for item in self.operations}
        for name in kinds:
            if name not in known:
                raise PolicyError(f"{name!r} is not in this policy: it has {sorted(known)}")
        kept = [item for item in self.operations if item.op not in kinds]
        return Policy(kept, invariances=self.invariances)

    def to_json(self) -> str:
        """Return canonical JSON: every parameter, keys sorted, no spaces."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Policy":
        """Return the policy of a JSON text; raise `PolicyError` naming what is wrong in it."""
        try:
            data = parsed_json(text)
        except ValueError as error:
            raise PolicyError(f"this text is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise PolicyError(f'{shown(data)} is not a policy: give {{"operations": [...]}}')
        return cls(**data)

    @property
    def digest(self) -> str:
        """SHA-256 of what is done, without the names given to it, as 64 hexadecimal digits."""
        done = self.model_dump(mode="json", include={"operations"})
        return hashlib.sha256(json.dumps(done, sort_keys=True).encode()).hexdigest()


def _given(item: Any) -> Any:
    # A module of Kornia's stands for its stage.
    module = hasattr(item, "forward_parameters") and not isinstance(item, type)
    return Kornia(item) if module else item


def nested(operations: Iterable[Any]) -> Iterator[Any]:
    """Yield operations, each before those that stand in it."""
    for item in operations:
        yield item
        yield from nested(getattr(item, "operations", ()))


def _one_interpolation(resampling: tuple[Any, ...]) -> None:
    # Matrices of operations become one, and pixels move once, by one filter.
    for item in resampling:
        if not warps(item):
            raise ValueError(
                f"{item.op}(interpolation={item.interpolation!r}) has no step that moves pixels: "
                "leave the interpolation out"
            )
    for one, other in pairwise(resampling):
        if one.interpolation != other.interpolation:
            raise ValueError(
                f"{one.op}(interpolation={one.interpolation!r}) and {other.op}"
                f"(interpolation={other.interpolation!r}) move pixels together, once: give all "
                "geometry of a policy the same interpolation"
            )


def _once(operations: tuple[Any, ...]) -> None:
    groups: dict[Any, list[str]] = {}
    for item in operations:
        if not isinstance(item, Stage) and item.program is None:
            groups.setdefault(item.exclusive or type(item), []).append(item.op)
    for group, found in groups.items():
        names = list(dict.fromkeys(map(repr, found)))
        if len(names) > 1:
            cure = "choose between them with one_of" if group == "mixing" else "keep one of them"
            raise ValueError(f"{' and '.join(names)} cannot stand in one policy: {cure}")
        if len(found) > 1:
            raise ValueError(f"{names[0]} occurs {len(found)} times: keep one of them")


def resized(resize: Resize | None, source: tuple[int, int]) -> tuple[int, int]:
    """Return `(height, width)` of an image after `resize`."""
    if resize is None:
        return source
    if isinstance(resize.size, tuple):
        return resize.size
    height, width = source
    if height <= width:
        return resize.size, max(1, resize.size * width // height)
    return max(1, resize.size * height // width), resize.size


def place_of(item: Any) -> int:
    """Return where an operation is carried out, whatever is given for one."""
    if isinstance(item, dict):
        kinds = (cls for name, cls in OPERATIONS.items() if name == item.get("op"))
        place, parts = _RANK.get(next(kinds, type(item)), -1), item.get("operations")
        first = parts[0] if isinstance(parts, list | tuple) and parts else None
        mixes = not isinstance(first, dict) or first.get("op") in _MIXERS
    else:
        place, mixes = _RANK.get(type(item), -1), getattr(item, "program", None) is None
    if place == _RANK[ColorJitter]:
        clamp = item.get("clamp") if isinstance(item, dict) else getattr(item, "clamp", "end")
        return Program.orders.start if clamp == "each" else place
    return Program.orders.start if place == _RANK[OneOf] and not mixes else place


_MIXERS = (Mixup.json_name(), CutMix.json_name())


__all__ = [
    "OPERATIONS",
    "STAGES",
    "Affine",
    "Color",
    "Declaration",
    "Invariances",
    "Mixer",
    "Operation",
    "Policy",
    "PolicyError",
    "Window",
    "nested",
    "place_of",
    "resized",
]
__all__ += _registry.__all__
