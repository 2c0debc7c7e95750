"""The part of an image that a sample was cut from, in words and as a region of the image."""

from collections.abc import Iterator

from augfeed.philox import Stream, uniforms, words
from augfeed.plan import Plan, Windows
from augfeed.policy import CenterCrop, RandomCrop, RandomResizedCrop, Resize
from augfeed.show.steps import Step

Region = tuple[float, float, float, float]
Sides = tuple[int, int]


def window_of(plan: Plan, row: int, source: Sides) -> Windows:
    """Return the window of one row, whose image has `source` (height, width)."""
    return plan.window.take([row]).at(*source)


def region(windows: Windows, size: Sides) -> Region:
    """Return where the output comes from in the image: top, left, bottom, right, in its pixels.

    It may reach outside, where there is padding.
    """
    top, left, height, width = map(int, windows.box[0])
    y, x = height / int(windows.resized[0, 0]), width / int(windows.resized[0, 1])
    first, start = int(windows.offset[0, 0]), int(windows.offset[0, 1])
    return (
        top + first * y,
        left + start * x,
        top + (first + size[0]) * y,
        left + (start + size[1]) * x,
    )


def window_steps(plan: Plan, row: int, source: Sides) -> Iterator[Step]:
    """Yield how the output frame of a row was cut from its image."""
    windows = window_of(plan, row, source)
    found = False
    for operation in plan.policy.operations:
        match operation:
            case Resize():
                done = f"the whole image, {_sides(source)}, resized to {_after(windows)}"
                values = {"source": list(source), "resized": windows.resized[0].tolist()}
                yield Step("window", operation.op, done, values=values)
            case RandomResizedCrop():
                yield _resized_crop(plan, operation, row, source, windows)
            case RandomCrop() | CenterCrop():
                yield _crop(plan, operation, row, windows)
            case _:
                continue
        found = True
    if not found:
        done = f"the whole image, {_sides(source)}"
        yield Step("window", "whole", done, values={"source": list(source)})


def _resized_crop(
    plan: Plan, crop: RandomResizedCrop, row: int, source: Sides, windows: Windows
) -> Step:
    top, left, height, width = map(int, windows.box[0])
    share = height * width / (source[0] * source[1])
    applied = _chosen(plan, row, crop.p)
    cut = f"cut {height} x {width} at ({top}, {left}) of {_sides(source)}, {share:.1%} of the area"
    done = f"{cut if applied else f'the whole {_sides(source)}'}, resized to {_after(windows)}"
    area, ratio = ("[{:g}, {:.4g}]".format(*bounds) for bounds in (crop.scale, crop.ratio))
    law = f"area share uniform in {area}, width / height log-uniform in {ratio}"
    values = {
        "source": list(source),
        "box": [top, left, top + height, left + width],
        "share": share,
        "resized": windows.resized[0].tolist(),
    }
    return Step("window", crop.op, done, law, crop.p, applied, values)


def _crop(plan: Plan, crop: RandomCrop | CenterCrop, row: int, windows: Windows) -> Step:
    top, left = map(int, windows.offset[0])
    values = {"frame": [top, left, top + plan.size[0], left + plan.size[1]]}
    done = f"cut {_sides(plan.size)} at ({top}, {left}) of {_after(windows)}"
    if isinstance(crop, CenterCrop):
        return Step("window", crop.op, f"{done}, the middle", values=values)
    if crop.padding:
        filled = f"constant {crop.fill:g}" if crop.mode == "constant" else crop.mode
        done += f" padded by {crop.padding} with {filled}"
    applied = _chosen(plan, row, crop.p)
    return Step("window", crop.op, done, "any place alike", crop.p, applied, values)


def _chosen(plan: Plan, row: int, p: float) -> bool:
    drawn = words(plan.seed, plan.epoch, plan.ids[row : row + 1], [(Stream.CROP, 0)])
    return bool(uniforms(drawn)[0, 0, 0] < p)


def _sides(sides: Sides) -> str:
    return f"{sides[0]} x {sides[1]}"


def _after(windows: Windows) -> str:
    return f"{windows.resized[0, 0]} x {windows.resized[0, 1]}"
