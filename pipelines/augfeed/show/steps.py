"""What each operation did to one sample, in words and numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from augfeed.plan import Plan
from augfeed.policy import (
    Affine,
    Border,
    Color,
    ColorJitter,
    Cutout,
    Equalize,
    FrameOperation,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Invert,
    Normalize,
    Perspective,
    Posterize,
    RandomErasing,
    Rotate,
    SaltAndPepper,
    Scale,
    Shear,
    Solarize,
    Translate,
    VerticalFlip,
)
from augfeed.policy.base import interval
from augfeed.stages import drawn_by_stages

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a policy on one sample.

    `done` says what came of it, `law` how its values are drawn, `p` how often it is applied (None:
    always). `values` are the drawn numbers, also those of an operation that was not applied.
    """

    stage: str
    operation: str
    done: str
    law: str = ""
    p: float | None = None
    applied: bool = True
    values: Values = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What was done, and by which law."""
        chance = f"p = {self.p:g}" if self.p is not None and self.p < 1 else ""
        if not self.applied:
            refused = f"not applied ({chance})" if chance else "not applied"
            return f"{refused}: {self.done}" if self.done else refused
        known = "; ".join(part for part in (self.law, chance) if part)
        return f"{self.done} ({known})" if known else self.done

    def as_dict(self) -> Values:
        """Return the step as values that JSON knows."""
        return {
            "stage": self.stage,
            "operation": self.operation,
            "applied": self.applied,
            "p": self.p,
            "values": self.values,
            "text": self.text,
        }


def kornia_steps(plan: Plan, row: int, channels: int) -> Iterator[Step]:
    """Yield what the stages of Kornia drew for a row, in the order of the policy."""
    for item in drawn_by_stages(plan, row, channels):
        name = item.stage.name
        told = ", ".join(f"{key} {_number(value)}" for key, value in item.values.items())
        done = f"{name}: {told}" if told else name
        yield Step(
            "Kornia", item.stage.op, done if item.applied else name, "", item.p, item.applied,
            item.values,
        )  # fmt: skip


def _number(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_number, value)) + "]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def frame_steps(plan: Plan, row: int) -> Iterator[Step]:
    """Yield what was done to the frame of a row, before any of its pixels moved."""
    for operation in plan.policy.operations:
        if isinstance(operation, FrameOperation):
            values = drawn(plan, operation.op, row)
            applied = bool(values.pop("applied"))
            done, law = _framed(operation, values)
            done = done if applied else ""
            yield Step("frame", operation.op, done, law, operation.p, applied, values)


def _framed(operation: FrameOperation, values: Values) -> tuple[str, str]:
    # An operation without words here is an error of the type checker.
    match operation:
        case Equalize():
            return "levels of each channel made equally frequent", ""
        case GaussianBlur(sigma=sigma, sides=(height, width)):
            law = f"uniform in {_bounds(sigma)}" if isinstance(sigma, tuple) else ""
            return f"blurred: sigma {values['sigma']:.3g}, kernel {height} x {width}", law


def geometry_steps(plan: Plan, row: int) -> Iterator[Step]:
    """Yield what moved the pixels of a row, in the order of the policy."""
    for operation in plan.policy.operations:
        if isinstance(operation, Affine):
            values = drawn(plan, operation.op, row)
            applied = bool(values.pop("applied"))
            done, law = _moved(operation, values, plan.size)
            done = done if applied else ""
            yield Step("geometry", operation.op, done, law, operation.p, applied, values)
    border = plan.policy.find(Border)
    if border and plan.warped[row]:
        filled = f"constant {border.fill:g}" if border.mode == "constant" else border.mode
        yield Step("geometry", border.op, f"outside the image: {filled}")


def color_steps(plan: Plan, row: int, channels: int) -> Iterator[Step]:
    """Yield what changed the colors of a row."""
    for operation in plan.policy.operations:
        if not isinstance(operation, Color):
            continue
        if isinstance(operation, ColorJitter):
            yield _jittered(plan, operation, row, channels)
            continue
        done = _recoloured(operation, channels)
        applied = bool(drawn(plan, operation.op, row)["applied"])
        yield Step("colour", operation.op, done if applied else "", "", operation.p, applied)


def _recoloured(operation: Grayscale | Invert | Posterize | Solarize, channels: int) -> str:
    # An operation without words here is an error of the type checker.
    match operation:
        case Grayscale():
            return "turned to gray" if channels == 3 else "gray already"
        case Invert():
            return "every value x became 1 - x"
        case Posterize(bits=bits):
            return f"the {bits} highest of 8 bits kept"
        case Solarize(threshold=threshold):
            return f"values from {threshold:g} on inverted"


def later_steps(plan: Plan, row: int) -> Iterator[Step]:
    """Yield what came after the mixing: occlusion, normalization, noise."""
    policy = plan.policy
    for hiding in (policy.find(Cutout), policy.find(RandomErasing)):
        if hiding is not None:
            yield _hidden(plan, hiding, row)
    if normalize := policy.find(Normalize):
        mean, std = _channels(normalize.mean), _channels(normalize.std)
        values = {"mean": _listed(normalize.mean), "std": _listed(normalize.std)}
        done = f"minus {mean}, divided by {std}"
        yield Step("normalisation", normalize.op, done, values=values)
    for noise in (policy.find(GaussianNoise), policy.find(SaltAndPepper)):
        if noise is not None:
            yield _noisy(plan, noise, row)


def drawn(plan: Plan, name: str, row: int) -> Values:
    """Return the decisions about one row under one operation, as plain Python values."""
    return {key: values[row].tolist() for key, values in plan.decisions[name].items()}


def box_text(box: tuple[int, ...]) -> str:
    """Return a box `(top, left, bottom, right)` as its size and its place."""
    top, left, bottom, right = box
    return f"{bottom - top} x {right - left} at ({top}, {left})"


def _moved(operation: Affine, values: Values, size: tuple[int, int]) -> tuple[str, str]:
    match operation:
        case HorizontalFlip():
            return "mirrored left and right", ""
        case VerticalFlip():
            return "mirrored top and bottom", ""
        case Rotate(degrees=degrees):
            return _turned(values["degrees"]), f"uniform in {_bounds(interval(degrees))} degrees"
        case Translate(x=most_x, y=most_y):
            x, y = values["x"] * size[1], values["y"] * size[0]
            across = f"{abs(x):.1f} pixels {'right' if x >= 0 else 'left'}"
            along = f"{abs(y):.1f} {'down' if y >= 0 else 'up'}"
            law = f"uniform, up to {most_x:g} of the width and {most_y:g} of the height"
            return f"moved {across} and {along}", law
        case Scale(factor=factor):
            how = "enlarged" if values["factor"] >= 1 else "shrunk"
            return f"{how}: factor {values['factor']:.3f}", f"uniform in {_bounds(factor)}"
        case Shear(x=most_x, y=most_y):
            done = f"{values['x_degrees']:.1f} degrees along x, {values['y_degrees']:.1f} along y"
            return f"slanted by {done}", f"uniform, up to {most_x:g} and {most_y:g} degrees"
        case Perspective(distortion=most):
            names = ("top left", "top right", "bottom right", "bottom left")
            half = (size[1] - 1) / 2, (size[0] - 1) / 2
            shifts = [round(u * half[k % 2], 1) for k, u in enumerate(values["corners"])]
            pairs = zip(names, shifts[0::2], shifts[1::2], strict=True)
            done = ", ".join(f"{name} by ({y:g}, {x:g})" for name, x, y in pairs)
            return f"corners moved inwards: {done}", f"each uniform, up to {most:g} of half a side"


def _turned(degrees: float) -> str:
    return f"turned {abs(degrees):.1f} degrees {'counter-' if degrees >= 0 else ''}clockwise"


def _jittered(plan: Plan, jitter: ColorJitter, row: int, channels: int) -> Step:
    values = drawn(plan, jitter.op, row)
    applied = bool(values.pop("applied"))
    done, law = [], []
    for name in ("brightness", "contrast", "saturation", "hue"):
        hue = name == "hue"
        bounds = interval(getattr(jitter, name), about=0 if hue else 1, low=None if hue else 0)
        if bounds == ((0, 0) if hue else (1, 1)):
            del values[name]
        elif channels == 1 and name in ("saturation", "hue"):
            done.append(f"{name} has no effect on gray")
        elif hue:
            done.append(f"hue {360 * values[name]:+.1f} degrees")
            law.append(_bounds((360 * bounds[0], 360 * bounds[1])))
        else:
            done.append(f"{name} x {values[name]:.2f}")
            law.append(_bounds(bounds))
    text = f"uniform in {', '.join(law)}" if law else ""
    shown = (", ".join(done) or "no change") if applied else ""
    return Step("colour", jitter.op, shown, text, jitter.p, applied, values)


def _hidden(plan: Plan, operation: Cutout | RandomErasing, row: int) -> Step:
    boxes = plan.cutout if isinstance(operation, Cutout) else plan.erased
    box = (top, left, bottom, right) = tuple(map(int, boxes[row]))
    share = (bottom - top) * (right - left) / (plan.size[0] * plan.size[1])
    fill = operation.fill if isinstance(operation.fill, str) else f"{operation.fill:g}"
    done = f"hid {box_text(box)}, {share:.1%} of the pixels, with {fill}"
    if isinstance(operation, RandomErasing):
        low, high = operation.scale
        law = f"area share uniform in [{low:g}, {high:g}]"
    else:
        law = "all inside" if operation.inside else "center anywhere, clipped at the border"
    values = {"box": list(box), "share": share}
    applied = share > 0
    if not applied:
        done = "no rectangle fitted" if operation.p >= 1 else ""
    return Step("occlusion", operation.op, done, law, operation.p, applied, values)


def _noisy(plan: Plan, noise: GaussianNoise | SaltAndPepper, row: int) -> Step:
    values = drawn(plan, noise.op, row)
    applied = bool(values.pop("applied"))
    if isinstance(noise, GaussianNoise):
        bounds, what = noise.sigma, "sigma"
        done = f"sigma {values['sigma']:.3g}, {noise.space} space"
    else:
        bounds, what = noise.amount, "both together"
        white = values["amount"] * noise.salt
        done = f"{white:.2%} of the pixels white, {values['amount'] - white:.2%} black"
    law = f"{what} uniform in {_bounds(bounds)}" if isinstance(bounds, tuple) else ""
    return Step("noise", noise.op, done if applied else "", law, noise.p, applied, values)


def _channels(value: float | tuple[float, ...]) -> str:
    return ", ".join(f"{item:g}" for item in _listed(value))


def _listed(value: float | tuple[float, ...]) -> list[float]:
    return list(value) if isinstance(value, tuple) else [value]


def _bounds(bounds: Any) -> str:
    return f"[{bounds[0]:g}, {bounds[1]:g}]"
