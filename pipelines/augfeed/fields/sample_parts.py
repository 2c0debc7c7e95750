"""Parts of a sample: what they are, how they are taken out and put back."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from copy import copy
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from augfeed.errors import InputError

Path = tuple[Any, ...]  # keys from the outside in, () for all of a sample
LONG = 16  # a longer list holds numbers, not the parts of a sample
_KINDS = ("Mask", "BoundingBoxes", "KeyPoints")  # of torchvision.tv_tensors


def is_sequence(value: Any) -> bool:
    """Return whether a value is a sequence of parts, not a text."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def take(sample: Any, path: Path) -> Any:
    """Return the part of a sample at a path."""
    for key in path:
        named = isinstance(key, str) and hasattr(sample, "_fields")
        if isinstance(key, str) and isinstance(sample, torch.Tensor):
            raise KeyError(key)  # torch would take it for a list of indices
        sample = getattr(sample, key) if named else sample[key]
    return sample


def take_as_first(sample: Any, path: Path, name: Callable[[], str]) -> Any:
    """Return the part at a path that the first sample of a batch has; raise `InputError` if this
    one has none there. `name` says which part it is."""
    try:
        return take(sample, path)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise InputError(
            f"{name()} is not where that of the first one of its batch is: the sample is "
            f"{describe(sample)}; give samples of one form"
        ) from None


def put(sample: Any, path: Path, part: Any) -> Any:
    """Return a sample with another part at a path; the given one is left as it is."""
    if not path:
        return part
    key, inner = path[0], take(sample, path[:1])
    new = put(inner, path[1:], part)
    if hasattr(sample, "_fields"):
        name = key if isinstance(key, str) else sample._fields[key]
        return sample._replace(**{name: new})
    if isinstance(sample, tuple):
        parts = list(sample)
        parts[key] = new
        return tuple(parts)
    if isinstance(sample, Mapping):
        return with_parts(sample, {key: new})
    other = copy(sample)
    other[key] = new
    return other


def with_parts(sample: Mapping[Any, Any], parts: dict[Any, Any]) -> Mapping[Any, Any]:
    """Return a dict with other parts at some keys; the given one is left as it is."""
    if not isinstance(sample, MutableMapping):
        made: Any = type(sample)
        changed: Mapping[Any, Any] = made({**sample, **parts})
        return changed
    before, other = {key: sample[key] for key in parts}, copy(sample)
    other.update(parts)
    if all(sample[key] is not part or part is before[key] for key, part in parts.items()):
        return other
    sample.update(before)  # the copy shares its memory with the caller's own
    return {**sample, **parts}


def describe(value: Any) -> str:
    """Return what a value is, in a few words."""
    kind = type(value).__name__
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"a {kind} {list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, Image.Image):
        return f"a PIL image {value.mode} {value.width}x{value.height}"
    if isinstance(value, Mapping):
        return f"a {kind} {{{', '.join(f'{k!r}: {describe(v)}' for k, v in value.items())}}}"
    if is_sequence(value):
        inner = ", ".join(map(describe, value[:LONG]))
        return f"a {kind} ({inner}{', ...' if len(value) > LONG else ''})"
    return f"a {kind}"


@cache
def tv_kind(kind: type) -> str:
    """Return which of torchvision's tensors a class is, as "Mask"; "" for any other class."""
    for cls in kind.__mro__:
        if cls.__name__ in _KINDS and "tv_tensor" in cls.__module__:
            return cls.__name__
    return "TVTensor" if any(cls.__name__ == "TVTensor" for cls in kind.__mro__) else ""
