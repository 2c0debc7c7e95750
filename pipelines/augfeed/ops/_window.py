"""What windows share."""

import math
from collections.abc import Iterator
from typing import Any

from augfeed.operation import Effect, Setting, Sides, pair


def share_kept(size: Any, padding: int, setting: Setting) -> float | None:
    """Return the least share of the image that a window shows, None if that is not known."""
    # A window at the edge shows least of the image: padding takes the place of the rest.
    source = setting.before_windows
    if source is None:
        return None
    sides = zip(pair(size), source, strict=True)
    return math.prod(min(max(side - padding, 0), whole) / whole for side, whole in sides)


def one_pixel(value: Any, size: Sides | None, setting: Setting) -> Iterator[Effect]:
    """Yield that a window of one pixel shows nothing."""
    if size == (1, 1) and setting.source != (1, 1):
        yield Effect("min_content", "size", value, 0.0, mildest=0.0)


def refuse_resize(name: str, policy: object) -> None:
    """Raise `ValueError` for a resize before a window that resizes."""
    if any(item.op == "resize" for item in getattr(policy, "operations", ())):
        raise ValueError(f"'resize' before {name!r} would resize twice: remove 'resize'")
