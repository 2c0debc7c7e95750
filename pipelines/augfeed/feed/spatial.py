"""Parts of a sample that should move with its image: masks, boxes, points, further images."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from itertools import islice, pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image

from augfeed.errors import InputError, InputTypeError
from augfeed.feed.point_rows import are_places
from augfeed.fields.sample_parts import Path, describe, is_sequence, tv_kind
from augfeed.policy import Policy

# Words of a name that tell of places in the image, in the singular: of lists of places, of boxes,
# which have at least four numbers, and of maps, which have at least two dimensions.
_PLACES = frozenset((
    "centroid", "contour", "coord", "coordinate", "corner", "gaze", "joint", "keypoint", "kp",
    "kpt", "landmark", "point", "poly", "polygon", "polyline", "pose", "rle", "segm",
    "segmentation", "skeleton", "vertex",
))  # fmt: skip
_BOXES = frozenset((
    "anchor", "bbox", "bndbox", "box", "cuboid", "cxcywh", "obb", "quad", "rect", "rectangle",
    "roi", "xywh", "xyxy",
))  # fmt: skip
_MAPS = frozenset((
    "alpha", "bitmap", "depth", "depthmap", "disparity", "edge", "flow", "heatmap", "mask",
    "matte", "normal", "panoptic", "parsing", "saliency", "seg", "segmap", "semantic", "semseg",
    "superpixel", "trimap",
))  # fmt: skip
# What a name ends with whose spatial word only says what is counted, named or measured.
_ABOUT = frozenset((
    "area", "category", "class", "confidence", "count", "embedding", "feature", "file", "filename",
    "flag", "id", "index", "label", "length", "logit", "name", "num", "number", "path", "prob",
    "probability", "score", "size", "type", "url", "valid", "visibility", "weight",
))  # fmt: skip
_KNOWN = _PLACES | _BOXES | _MAPS | _ABOUT
# Of whose masks only the words of a text know.
_TEXTS = frozenset((
    "attention", "caption", "causal", "decoder", "encoder", "pad", "padding", "prompt", "text",
    "token", "word",
))  # fmt: skip
# Names of four numbers that are a box.
_CORNERS = tuple(map(frozenset, (
    ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom"),
)))  # fmt: skip
_PLAIN = (int, float, str, bytes, type(None), np.number)
LEAST_SIDE = 8  # of a map that is a whole number of times smaller or larger than its image
_FEW = 64  # items of a list that are looked at one by one
_DEEPEST = 6  # containers in each other; objects may hold many others
_SIDES = 4  # the fewest numbers of a box
_LIKE_POINTS = "like points or boxes"

Passive = tuple[Any, ...]


def passive_of(given: Any) -> Passive:
    """Return the fields of `passive=` as names, positions and paths (tuples of them).

    One name or position may stand alone, several come as a list; raises `InputTypeError`.
    """
    if given is None:
        return ()
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes)
    fields = tuple(given) if several else (given,)
    for field in fields:
        keys = field if isinstance(field, tuple) else (field,)
        for key in keys:
            if isinstance(key, bool) or not isinstance(key, str | int | np.integer):
                raise InputTypeError(
                    f"passive={given!r} names no fields: give names or positions, as in "
                    "passive=['mask'] or passive=[1]"
                )
    return fields


@dataclass(frozen=True, slots=True)
class SpatialCheck:
    """Looks for parts that a policy would leave behind.

    `moving` are the operations that move pixels; without any, nothing is looked for. `passive`
    names the parts that may stay as they are.
    """

    moving: tuple[str, ...] = ()
    passive: Passive = ()

    @classmethod
    def under(cls, policy: Policy, passive: Any) -> "SpatialCheck":
        """Return the watch for a policy, and `passive=` as it was given."""
        return cls(policy.moving, passive_of(passive))

    def check(
        self, sample: Any, image: Path, size: tuple[int, int], name: Callable[[str], str],
        *, softened: Path | None = None, followed: Collection[Path] = (),
    ) -> None:  # fmt: skip
        """Raise `InputError` for a part that belongs to places in the image.

        `size` is the `(height, width)` of the image, which is at `image`; `name` puts the sample
        to a part, for messages; `softened` is where labels are that become shares, and are held
        against what those may be; `followed` are parts that are moved with the image.
        """
        if not self.moving or _is_plain(sample, image):
            return
        for path, part, why in _found(sample, (), {image, *followed}, size):
            if not self.may_stay(sample, path) and (path != softened or why != _LIKE_POINTS):
                raise InputError(self._message(path, part, why, name))

    def may_stay(self, sample: Any, path: Path) -> bool:
        """Return whether a part is said to stay as it is."""
        return any(
            (isinstance(field, str) and field in path)
            or _leads(sample, field if isinstance(field, tuple) else (field,), path)
            for field in self.passive
        )

    def _message(self, path: Path, part: Any, why: str, name: Callable[[str], str]) -> str:
        names = [key for key in path if isinstance(key, str)]
        field = names[-1] if names else path[0] if len(path) == 1 else path
        shown = path[0] if len(path) == 1 else path
        kinds = _kinds(names)
        return (
            f"{name(f'part {shown!r}')} is {describe(part)}, {why}, and "
            f"{' and '.join(map(repr, self.moving))} would move the image alone: say how it "
            f"follows, with fields={{{shown!r}: {kinds[0]!r}}} (or "
            f"{', '.join(map(repr, kinds[1:]))}), or "
            f"that it may stay as it is, with passive=[{field!r}], or leave out what moves pixels"
        )


def _kinds(names: Sequence[str]) -> list[str]:
    # The likeliest first.
    tells = _tells(names[-1]) if names else ""
    first = {"boxes": "boxes", "places": "keypoints"}.get(tells, "mask")
    return sorted(("mask", "boxes", "keypoints", "dense"), key=lambda kind: kind != first)


def _is_plain(sample: Any, image: Path) -> bool:
    # Most samples are an image and numbers or texts, which a glance says.
    if len(image) != 1 or type(sample) not in (tuple, list, dict):
        return False
    parts = sample.items() if isinstance(sample, dict) else enumerate(sample)
    if isinstance(sample, dict) and _corner(sample) is not None:
        return False
    return all(key == image[0] or isinstance(part, _PLAIN) for key, part in parts)


def are_alike(columns: Mapping[Any, Sequence[Any]], image: Path) -> bool:
    """Return whether what is found in one sample holds of all, given what they hold by key.

    So it is where there are, beside the image, but numbers and texts, or arrays of up to one
    dimension that are of one size.
    """
    return len(image) == 1 and all(
        key == image[0] or _are_flat(parts) for key, parts in columns.items()
    )


def _are_flat(parts: Sequence[Any]) -> bool:
    kinds = set(map(type, parts))
    if all(issubclass(kind, _PLAIN) for kind in kinds):
        return True
    if kinds not in ({torch.Tensor}, {np.ndarray}):
        return False
    shape = parts[0].shape
    return len(shape) < 2 and {part.shape for part in parts} == {shape}


def _leads(sample: Any, keys: tuple[Any, ...], path: Path) -> bool:
    # Positions may count from the end, and the fields of a named tuple have one each.
    if len(keys) > len(path):
        return False
    for key, part in zip(keys, path, strict=False):
        names = getattr(sample, "_fields", range(len(sample)) if is_sequence(sample) else None)
        if names is not None and not isinstance(key, str):
            key = names[key] if -len(names) <= key < len(names) else None
        if key != part:
            return False
        sample = next((inner for name, inner in _parts(sample) if name == part), None)
    return True


def _parts(part: Any) -> Iterable[tuple[Any, Any]]:
    # What a container holds, each with its key; of long ones the first.
    if isinstance(part, Mapping):
        return part.items()
    if is_sequence(part):
        names = getattr(part, "_fields", range(len(part)))
        return zip(names, islice(part, _FEW), strict=False)
    if isinstance(part, type | torch.Tensor | np.ndarray | Image.Image):
        return ()
    if is_dataclass(part):
        return [(field.name, getattr(part, field.name, None)) for field in fields(part)]
    return getattr(part, "__dict__", {}).items()


def parts_within(sample: Any) -> tuple[list[Path], int]:
    """Return the paths of all parts of a sample, and how many may hold others in other samples."""
    found, open_ends = list[Path](), 0
    left: list[tuple[Any, Path]] = [(sample, ())]
    while left:
        part, path = left.pop()
        held = list(_parts(part)) if len(path) < _DEEPEST else []
        found += [(*path, key) for key, _ in held]
        left += [(inner, (*path, key)) for key, inner in held]
        cut = len(path) == _DEEPEST or len(held) == _FEW
        open_ends += cut or part is None or (not held and isinstance(part, Mapping | list | tuple))
    return found, open_ends


def _found(
    part: Any,
    path: Path,
    done: Collection[Path],
    size: tuple[int, int],
    above: tuple[int, ...] = (),
) -> Iterator[tuple[Path, Any, str]]:
    # Yields the path, the part and the reason of all that could be about places.
    if path in done or isinstance(part, _PLAIN):
        return
    if why := _why(part, path, size):
        yield path, part, why
        return
    if isinstance(part, Mapping) and (corner := _corner(part)) is not None:
        yield (*path, corner), part[corner], "one side of a box in the image"
    if id(part) not in above and len(path) < _DEEPEST:
        for key, inner in _parts(part):
            yield from _found(inner, (*path, key), done, size, (*above, id(part)))


def _corner(part: Mapping[Any, Any]) -> Any:
    for names in _CORNERS:
        if names <= part.keys():
            return next(key for key in part if key in names)
    return None


def _why(part: Any, path: Path, size: tuple[int, int]) -> str:
    # Why a part is held to be about places, "" for what is not.
    kind: type = type(part)
    if tv_kind(kind):
        return "which torchvision moves with its image"
    if isinstance(part, Image.Image):
        return "a further image"
    if isinstance(part, Mapping):
        return "a mask as run lengths" if {"size", "counts"} <= part.keys() else ""
    shape = _shape(part)
    if not shape:
        return ""
    name = next((key for key in reversed(path) if isinstance(key, str)), "")
    tells = _tells(name)
    flat = len(shape) == 1
    if (
        tells == "places"
        or (tells == "boxes" and not (flat and 0 < shape[0] < _SIDES))
        or (tells == "map" and (not flat or shape[0] == size[0] * size[1]))
    ):
        return f"whose name {name!r} reports places in the image"
    pairs = list(pairwise(shape))
    if size in pairs:
        return "of the size of the image"
    if tells == "about":
        return ""
    if not isinstance(part, list | tuple) and any(_in_proportion(pair, size) for pair in pairs):
        return "a whole number of times smaller or larger than the image"
    if (
        len(shape) == 2
        and _like_classes(part)
        and (_nearly(shape, size) or (not name and min(shape) >= 2 * LEAST_SIDE))
    ):
        return f"like a mask, and not of the size of the image, {size[0]} x {size[1]}"
    return _LIKE_POINTS if len(shape) == 2 and are_places(part, size) else ""


def _shape(part: Any) -> tuple[int, ...]:
    # Of nested lists of numbers, as far as the first item of each says; else ().
    if isinstance(part, torch.Tensor | np.ndarray):
        return tuple(part.shape)
    shape: list[int] = []
    while isinstance(part, list | tuple) and not hasattr(part, "_fields") and len(shape) < 4:
        shape.append(len(part))
        if not part:
            return tuple(shape)
        part = part[0]
    return tuple(shape) if isinstance(part, int | float | np.number) else ()


def _like_classes(part: Any) -> bool:
    dtype = str(getattr(part, "dtype", "float")).removeprefix("torch.")
    return not dtype.startswith(("float", "bfloat", "complex"))


def _nearly(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    # Whether a size is another one of the same proportions, but for a pixel of each.
    if min(*shape, *size) < LEAST_SIDE:
        return False
    (high, wide), (height, width) = shape, size
    least, most = max((high - 1) / height, (wide - 1) / width), min(
        (high + 1) / height, (wide + 1) / width)  # fmt: skip
    return least <= most


def _in_proportion(shape: tuple[int, int], size: tuple[int, int]) -> bool:
    if min(*shape, *size) < LEAST_SIDE:
        return False
    small, large = sorted((shape, size))
    times, rest = divmod(large[0], small[0])
    return rest == 0 and large[1] == times * small[1]


def is_of_places(path: Path) -> bool:
    """Return whether the name of a part says that it has points or boxes, whatever its shape."""
    return bool(path) and isinstance(path[-1], str) and _tells(path[-1]) in ("places", "boxes")


@cache
def _tells(name: str) -> str:
    words = _words(name)
    if words and words[-1] in _ABOUT:
        return "about"
    if words and words[-1] == "mask" and _TEXTS & {*words}:
        return "text"
    for tells, known in (("places", _PLACES), ("boxes", _BOXES), ("map", _MAPS)):
        if known & {*words}:
            return tells
    return ""


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return [_singular(word) for word in re.findall(r"[a-z]+", apart)]


def _singular(word: str) -> str:
    for end, instead in (("", ""), ("ices", "ex"), ("ies", "y"), ("es", ""), ("s", "")):
        single = word.removesuffix(end) + instead
        if word.endswith(end) and single in _KNOWN:
            return single
    return word


__all__ = ["Passive", "SpatialCheck", "are_alike", "is_of_places", "parts_within", "passive_of"]
