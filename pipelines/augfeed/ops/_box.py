"""What operations that hide a rectangle share."""

from typing import Any

from augfeed.operation import SampleValues, Wording
from augfeed.operation.words import box_text


def hidden(operation: Any, seen: SampleValues, law: str) -> Wording:
    """Return the box that an operation hid, its share of the pixels and what it holds."""
    box = (top, left, bottom, right) = tuple(seen.values["box"])
    share = (bottom - top) * (right - left) / (seen.size[0] * seen.size[1])
    fill = operation.fill if isinstance(operation.fill, str) else f"{operation.fill:g}"
    done = f"hid {box_text(box)}, {share:.1%} of the pixels, with {fill}"
    otherwise = "no rectangle fitted" if operation.p >= 1 else ""
    return Wording(done, law, otherwise, {"box": list(box), "share": share}, applied=share > 0)


def several_hidden(operation: Any, seen: SampleValues, law: str) -> Wording:
    """Return the boxes that an operation hid, their share of the pixels and what they hold."""
    boxes = [tuple(box) for box in seen.values["box"] if box[2] > box[0]]
    hidden_pixels = {(y, x) for top, left, bottom, right in boxes
                     for y in range(top, bottom) for x in range(left, right)}  # fmt: skip
    share = len(hidden_pixels) / (seen.size[0] * seen.size[1])
    fill = operation.fill if isinstance(operation.fill, str) else f"{operation.fill:g}"
    text = ", ".join(map(box_text, boxes))
    done = f"hid {text}, {share:.1%} of the pixels, with {fill}"
    otherwise = "no rectangle fitted" if operation.p >= 1 else ""
    values = {"box": [list(box) for box in boxes], "share": share}
    return Wording(done, law, otherwise, values, applied=share > 0)
