"""Views: which tensors a loader makes of each sample, and by which policy each of their images."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from augfeed.errors import PolicyError
from augfeed.json_text import parsed_json
from augfeed.notation import format_policy
from augfeed.operation.describe import shown, suggest
from augfeed.plan.sharing import MOST_VIEWS, Sharing
from augfeed.policy import Policy, RandomResizedCrop, Window
from augfeed.presets import resolve_policy
from augfeed.targets import softens
from augfeed.whole_number import whole_number

SHARED = ("crop", "geometry", "color")


@dataclass(frozen=True, slots=True)
class View:
    """`count` images of each sample by one policy, each by draws of its own."""

    policy: Policy
    count: int = 1

    def __post_init__(self) -> None:
        whole_number("count", self.count, 1)


@dataclass(frozen=True, slots=True)
class ViewPart:
    """Views of one tensor that have one policy: `count` from number `first` on."""

    name: str
    policy: Policy
    first: int
    count: int
    sharing: Sharing | None


@dataclass(frozen=True)
class Views:
    """The images that are made of each sample: for each name of a tensor, its views.

    The tensor of a name is `[V * B, C, H, W]`: all samples of its first view, then of the next. A
    view's number, its place among all, is part of the key of its draws; the first view draws what
    a loader without views would. `tensors` is a dict of name and views, each a policy in any form,
    a pair (policy, count) or a `View`. Without names (`views=2`) there is one tensor.

    `share` are kinds of operations that all views draw together: "crop" (the same window),
    "geometry" (the same flips and warps), "color" (the same colors). `inside` is a dict: the
    windows of the views of a name lie in those of another's, shared out evenly, and their shares of
    the area are those of that window.

    Example:
        >>> views = Views({"global": "simclr(64)", "local": ("simclr(32)", 2)})
        >>> views.count, views.names
        (3, ('global', 'local'))
    """

    tensors: tuple[tuple[str, tuple[View, ...]], ...]
    share: tuple[str, ...] = ()
    inside: tuple[tuple[str, str], ...] = ()
    name: str | None = None

    def __init__(
        self,
        tensors: Any,
        *,
        share: str | Sequence[str] = (),
        inside: Mapping[str, str] | None = None,
        name: str | None = None,
        files: bool = True,
    ) -> None:
        """Check everything; raise `PolicyError` naming what cannot be.

        With `files=False` no text is taken for the path of a policy.
        """
        given: Any = {"": tensors} if isinstance(tensors, View) else tensors
        if not isinstance(given, Mapping) or not given:
            raise PolicyError(
                f"views={shown(tensors)} are not a dict of name and views: give "
                '{"global": ("simclr", 2), "local": ("simclr(96)", 6)}'
            )
        if not isinstance(inside or {}, Mapping):
            raise PolicyError(f'inside={shown(inside)} is not a dict: give {{"local": "global"}}')
        found = tuple((_name(key, alone=len(given) == 1), _views(key, value, files=files))
                      for key, value in given.items())  # fmt: skip
        lying = tuple((inside or {}).items())
        for field, value in (("tensors", found), ("share", _shared(share)), ("inside", lying),
                             ("name", name)):  # fmt: skip
            object.__setattr__(self, field, value)
        self._check()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tensors."""
        return tuple(name for name, _ in self.tensors)

    @property
    def named(self) -> bool:
        """Whether tensors come by name; a loader gives a single one otherwise."""
        return self.names != ("",)

    @property
    def count(self) -> int:
        """The number of images of each sample."""
        return sum(part.count for part in self.parts)

    @cached_property
    def parts(self) -> tuple[ViewPart, ...]:
        """Views side by side of one tensor and one policy, which are made together."""
        found: list[ViewPart] = []
        first = 0
        for name, views in self.tensors:
            for view in views:
                last = found[-1] if found else None
                if last and (last.name, last.policy) == (name, view.policy):
                    found[-1] = ViewPart(name, view.policy, last.first, last.count + view.count,
                                         None)  # fmt: skip
                else:
                    found.append(ViewPart(name, view.policy, first, view.count, None))
                first += view.count
        return tuple(
            ViewPart(part.name, part.policy, part.first, part.count, self._sharing(part, found))
            for part in found
        )

    def part_of(self, number: int) -> ViewPart:
        """Return the part that a view belongs to; raise `PolicyError` for none."""
        for part in self.parts:
            if part.first <= number < part.first + part.count:
                return part
        raise PolicyError(f"view={number!r} is not in [0, {self.count}): give one of its views")

    def _sharing(self, part: ViewPart, parts: list[ViewPart]) -> Sharing | None:
        outer = dict(self.inside).get(part.name)
        if not self.share and outer is None:
            return None
        mine = [one for one in parts if one.name == part.name]
        numbers = tuple((one.policy, number) for one in parts if one.name == outer
                        for number in range(one.first, one.first + one.count))  # fmt: skip
        kinds = {kind: kind in self.share for kind in SHARED}
        return Sharing(**kinds, inside=numbers, first=mine[0].first,
                       count=sum(one.count for one in mine))  # fmt: skip

    def _check(self) -> None:
        if self.count > MOST_VIEWS:
            raise PolicyError(f"views={self.count} are above {MOST_VIEWS}: make fewer of a sample")
        for name, views in self.tensors:
            _check_sizes(name, [view.policy for view in views])
        for part in self.parts:
            if part.policy.needs_fields:
                raise PolicyError(
                    f"{part.policy.needs_fields!r} needs the boxes or masks of samples, which "
                    "views do not move: leave it out"
                )
            if softens(part.policy):
                raise PolicyError(
                    f"{format_policy(part.policy)!r} mixes samples or smooths labels, and the "
                    "labels of views come once: leave that out of a view, or use repeats"
                )
        self._check_inside()
        if "crop" in self.share:
            self._check_crops()

    def _check_inside(self) -> None:
        for inner, outer in self.inside:
            for name in (inner, outer):
                if name not in self.names:
                    raise PolicyError(f"inside names {name!r}: {suggest(name, self.names)}")
            if inner == outer or outer in dict(self.inside) or "crop" in self.share:
                raise PolicyError(
                    f"windows of {inner!r} cannot lie inside those of {outer!r}: name other views, "
                    "whose windows are their own and not shared"
                )
            for part in self.parts:
                if part.name in (inner, outer) and part.policy.find(RandomResizedCrop) is None:
                    raise PolicyError(
                        f"views of {part.name!r} have no random_resized_crop, whose windows alone "
                        "may lie inside each other: add one, or leave inside out"
                    )

    def _check_crops(self) -> None:
        first, *rest = (_law_of_window(part.policy) for part in self.parts)
        for part, law in zip(self.parts[1:], rest, strict=True):
            if law != first:
                raise PolicyError(
                    f"share='crop' is for views whose crops differ in nothing but their size, and "
                    f"that of view {part.first} is {law}, of view 0 {first}: give them one law"
                )

    def to_json(self) -> str:
        """Return canonical JSON: every parameter, keys sorted, no spaces."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    def as_dict(self) -> dict[str, Any]:
        """Return what `of_dict` makes the same views of, for JSON."""
        tensors = [
            {"name": name, "views": [{"count": view.count,
                                      "policy": view.policy.model_dump(mode="json")}
                                     for view in views]}
            for name, views in self.tensors
        ]  # fmt: skip
        return {"tensors": tensors, "share": list(self.share), "inside": dict(self.inside),
                "name": self.name}  # fmt: skip

    @classmethod
    def from_json(cls, text: str | bytes, *, files: bool = True) -> "Views":
        """Return the views of a JSON text; raise `PolicyError` naming what is wrong in it.

        Beside what `to_json` gives, "tensors" may be a dict, as in Python.
        """
        try:
            data = parsed_json(text)
        except ValueError as error:
            raise PolicyError(f"this text is not JSON: {error}") from None
        return cls.of_dict(data, files=files)

    @classmethod
    def of_dict(cls, data: Any, *, files: bool = True) -> "Views":
        """Return the views that a dict describes; raise `PolicyError` naming what is wrong."""
        if not isinstance(data, dict) or "tensors" not in data:
            raise PolicyError(f'{shown(data)} are not views: give {{"tensors": {{...}}}}')
        if unknown := sorted(data.keys() - {"tensors", "share", "inside", "name"}):
            known = ("tensors", "share", "inside", "name")
            raise PolicyError(f"views have no {unknown[0]!r}: {suggest(unknown[0], known)}")
        tensors = data["tensors"]
        if isinstance(tensors, list):
            tensors = {_field(item, "name"): _field(item, "views") for item in tensors}
        return cls(tensors, share=data.get("share") or (), inside=data.get("inside"),
                   name=data.get("name"), files=files)  # fmt: skip

    @property
    def digest(self) -> str:
        """SHA-256 of what is done, without the names of presets, as 64 hexadecimal digits."""
        done = {"tensors": [[name, [[view.policy.digest, view.count] for view in views]]
                            for name, views in self.tensors],
                "share": self.share, "inside": self.inside}  # fmt: skip
        return hashlib.sha256(json.dumps(done, sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        from augfeed.view_notation import format_views

        return format_views(self)


def resolve_views(spec: Any, policy: Policy | str | None = None, *, files: bool = True) -> Views:
    """Return the views that are meant: a number of views by `policy`, or what says it all.

    That is a `Views`, a dict of name and views, a preset (`"dino"`, `"simclr(96)"`), JSON, or a
    line of text as `"global: simclr x 2; local: simclr(96) x 6"`. `files=False` reads no file.
    """
    if isinstance(spec, bool) or not isinstance(spec, int | str | Mapping | Views):
        raise PolicyError(
            f"views={shown(spec)} is not a set of views: give a number, a dict of name and "
            "policies, the name of a preset or an augfeed.Views"
        )
    if isinstance(spec, int):
        if policy is None:
            raise PolicyError(f"views={spec} are made by a policy: give policy=, or views='simclr'")
        whole_number("views", spec, 1)
        return Views(View(resolve_policy(policy, files=files), spec))
    if policy is not None:
        raise PolicyError(
            "views name their own policies, and policy= is given beside them: leave one of them out"
        )
    if isinstance(spec, Views):
        return spec
    if isinstance(spec, Mapping):
        if _is_described(spec):
            return Views.of_dict(dict(spec), files=files)
        return Views(spec, files=files)
    from augfeed.view_notation import parse_views

    return parse_views(spec, files=files)


def _is_described(spec: Mapping[Any, Any]) -> bool:
    # JSON read, not tensors by name, one of which might be called so.
    return "tensors" in spec and isinstance(spec["tensors"], Mapping | list)


def _name(key: Any, *, alone: bool) -> str:
    if key == "" and alone:
        return ""
    if not isinstance(key, str) or not key.isidentifier() or len(key) > 64:
        raise PolicyError(
            f"{shown(key)} is not the name of a tensor: give a word of letters, as 'global'"
        )
    return key


def _views(name: Any, value: Any, *, files: bool) -> tuple[View, ...]:
    try:
        found = tuple(_each(value, files=files))
    except RecursionError:
        raise PolicyError(f"{shown(name)} nests lists too deeply: give one of policies") from None
    if not found:
        raise PolicyError(f"{shown(name)} has no views: give a policy, or (policy, count)")
    return found


def _each(value: Any, *, files: bool) -> Iterator[View]:
    if isinstance(value, View):
        yield value
    elif isinstance(value, Policy | str | Path) or (
        isinstance(value, Mapping) and "policy" not in value
    ):
        yield View(_policy(value, files=files))
    elif isinstance(value, Mapping):
        if unknown := sorted(map(str, value.keys() - {"policy", "count"})):
            raise PolicyError(
                f"a view has no {unknown[0]!r}: {suggest(unknown[0], ('policy', 'count'))}"
            )
        count = value.get("count", 1)
        yield View(_policy(value["policy"], files=files), whole_number("count", count, 1))
    elif isinstance(value, list | tuple) and len(value) == 2 and _is_number(value[1]):
        yield View(_policy(value[0], files=files), whole_number("count", value[1], 1))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _each(item, files=files)
    else:
        raise PolicyError(
            f"{shown(value)}, of {type(value).__name__}, is not a view: give a policy, or "
            "(policy, count)"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or hasattr(value, "__index__")


def _policy(value: Any, *, files: bool) -> Policy:
    if isinstance(value, Mapping):
        return Policy(**value)
    return Policy() if value == "" else resolve_policy(value, files=files)


def _size(policy: Policy) -> tuple[int, int]:
    try:
        return policy.size()
    except PolicyError:  # of the images themselves
        return (0, 0)


def _check_sizes(name: str, policies: list[Policy]) -> None:
    for epoch in sorted({epoch for policy in policies for epoch, _ in policy.scheduled}):
        sizes = {_size(policy.at(epoch)) for policy in policies}
        if len(sizes) > 1:
            when = f" in epoch {epoch}" if epoch else ""
            raise PolicyError(
                f"views of {name!r} have sizes {sorted(sizes)}{when}, and make one tensor: give "
                "each size a name of its own"
            )


def _field(item: Any, name: str) -> Any:
    if not isinstance(item, dict) or name not in item:
        raise PolicyError(f"{shown(item)} lacks {name!r}: give name and views of each tensor")
    return item[name]


def _shared(share: Any) -> tuple[str, ...]:
    given = (share,) if isinstance(share, str) else share
    if not isinstance(given, list | tuple):
        raise PolicyError(f"share={shown(share)} is not a list: give some of {list(SHARED)}")
    for kind in given:
        if kind not in SHARED:
            raise PolicyError(f"share has {shown(kind)}: {suggest(str(kind), SHARED)}")
    return tuple(kind for kind in SHARED if kind in given)


def _law_of_window(policy: Policy) -> str:
    window = next((item for item in policy.operations if isinstance(item, Window)), None)
    return "no crop" if window is None else format_policy(
        Policy([replace(window, size=1)])
    )  # fmt: skip
