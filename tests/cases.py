"""The table that every engine is held against: operations alone and together, awkward shapes,
tolerances with their reasons."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from augfeed.constants import NEAREST
from augfeed.engines import Engine, Output, engine_for, why_not_cuda
from augfeed.notation import parse_policy
from augfeed.operation import Displacement, Frame, Neighbourhood, Pointwise
from augfeed.philox import normal_quantiles
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.policy import OPERATIONS as KNOWN
from augfeed.policy import (
    Border,
    ColorJitter,
    CutMix,
    Cutout,
    Equalize,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Invert,
    Mixup,
    Normalize,
    OneOf,
    Perspective,
    Policy,
    Posterize,
    RandomCrop,
    RandomErasing,
    Rotate,
    SaltAndPepper,
    Scale,
    Shear,
    Solarize,
    Translate,
    VerticalFlip,
)
from tests.sampling import chosen, covering

HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ENGINES = ("cpu", "portable", *([] if why_not_cuda(HERE) else ["cuda"]))  # needs Triton
ON_GPU = torch.cuda.is_available()
INTERPRETED = {"cuda"} - {HERE.type}  # engines so slow that a usual run does not try all with them

STATISTICS = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
JITTER = ColorJitter(0.4, 0.4, 0.4, 0.1)
GEOMETRY = (HorizontalFlip(), Rotate(30), Translate(0.2, 0.1), Scale((0.7, 1.4)), Shear(15, 5))

# `Normalize` of three channels is cut to the first for images of one. What each operation's file
# lists alone comes first.
CASES: dict[str, tuple[Any, ...]] = {
    "nothing": (),
    **{
        name: parse_policy(line).operations
        for cls in KNOWN.values()
        for name, line in cls.cases.items()
    },
    "flips, some": (HorizontalFlip(), VerticalFlip()),
    "geometry": GEOMETRY,
    "geometry, some": (HorizontalFlip(), VerticalFlip(), Rotate(20, p=0.3), Shear(10, 10, p=0.3)),
    "geometry, fill": (*GEOMETRY, Border("constant", 0.6)),
    "geometry, edge": (*GEOMETRY, Border("edge")),
    "geometry, reflect": (*GEOMETRY, Border("reflect")),
    "geometry in another order": (Shear(20), Perspective(0.4), HorizontalFlip(), Rotate(90)),
    "posterize and solarize": (JITTER, Posterize(4), Solarize(0.3), STATISTICS),
    "jitter of turned images": (Rotate(20), JITTER),
    "mixed after all else": (HorizontalFlip(), Rotate(20), JITTER, CutMix(), STATISTICS),
    "cutout and erasing": (CutMix(), Cutout(5), RandomErasing(p=1.0, fill="noise"), STATISTICS),
    "all noise": (GaussianNoise(0.2), SaltAndPepper(0.2), Cutout(6), STATISTICS),
    "equalize and blur": (Equalize(0.6), GaussianBlur(3, 0.8, p=0.6)),
    "frames, moved and mixed": (
        Equalize(0.5), GaussianBlur((3, 5), p=0.5), *GEOMETRY, Border("reflect"), Mixup(0.4),
    ),
    "frames, recoloured": (
        Equalize(0.5), GaussianBlur(3, p=0.5), HorizontalFlip(), JITTER, CutMix(), STATISTICS,
    ),
    "program of frames": parse_policy(
        "hflip | random_order([jpeg(50, p=0.7), elastic(8.0, 3.0, p=0.7), rotate(20), "
        "autocontrast(1.0), gamma(0.5, p=0.5)])"
    ).operations,
    "whole chain": (
        HorizontalFlip(), Rotate(15), Perspective(0.3), Border("reflect"), JITTER, Grayscale(0.2),
        Invert(0.2), OneOf((Mixup(0.4), CutMix(1.0))), Cutout(6, p=0.5),
        RandomErasing(fill="noise"), STATISTICS, GaussianNoise(0.05), SaltAndPepper(0.02, p=0.5),
    ),
}  # fmt: skip


def line_of(name: str) -> str:
    """Return an operation as a line: its name, or its first case if it needs arguments."""
    needs = any(field.is_required() for field in KNOWN[name].__pydantic_fields__.values())
    return next(iter(KNOWN[name].cases.values())) if needs else name


# Each operation on frames, for half of the samples.
FRAMES: tuple[Any, ...] = tuple(
    parse_policy(line_of(name)).operations[0]
    for name, cls in KNOWN.items()
    if issubclass(cls, Frame)
)
FRAMES = tuple(replace(item, p=0.5) for item in FRAMES)


class Shape(NamedTuple):
    """Channels, height and width of the output, and the number of samples."""

    channels: int
    height: int
    width: int
    batch: int


SHAPES = (
    Shape(3, 1, 1, 3),
    Shape(1, 1, 1, 1),
    Shape(3, 1, 19, 2),
    Shape(3, 23, 1, 5),
    Shape(1, 2, 3, 9),
    Shape(3, 17, 13, 1),
    Shape(3, 13, 19, 4),
    Shape(1, 28, 28, 16),
    Shape(3, 32, 32, 11),
    Shape(3, 37, 61, 7),
)
USUAL = SHAPES[-2]
TELLING = SHAPES[6]  # shows most of what can be wrong: in color, odd, prime, not square, mixed
FEW_PIXELS = [shape for shape in SHAPES if shape != TELLING and shape.height * shape.width < 300]
SMALL_SHAPES = [TELLING, *FEW_PIXELS]
SMALL = Shape(3, 12, 16, 4)  # for kernels that are interpreted: a second for some twenty rows

# How much larger than the output the source is (or smaller, if padding makes up for it), and what
# cuts the output out of it.
WINDOWS: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "cut from a larger image": ((9, 4), {}),
    "constant padding": ((0, 0), {"padding": 4, "fill": 0.3}),
    "padding of a color": ((0, 0), {"padding": 4, "fill": (0.3, 0.9, 0.6)}),
    "edge padding": ((0, 0), {"padding": 5, "mode": "edge"}),
    "reflect padding": ((0, 0), {"padding": 3, "mode": "reflect"}),
    "reflect padding far outside": ((2, 3), {"padding": 50, "mode": "reflect"}),
    "cut from a larger image with padding": ((5, 6), {"padding": 7, "fill": 1.0, "p": 0.7}),
}
OPERATIONS: dict[str, tuple[Any, ...]] = {  # after a window
    "alone": (),
    "color": (JITTER, STATISTICS),
    "geometry": (*GEOMETRY, JITTER),
    "bicubic": (Rotate(30, interpolation="bicubic"), Border(fill=(0.2, 0.5, 0.8)), JITTER),
}
OUTPUTS = [Output(dtype, last) for last in (False, True)
           for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.uint8)]  # fmt: skip

# What a usual run tries with an engine that is interpreted; with the others it tries all.

CHAINS = ("whole chain", "mixed after all else", "all noise")
PER_BATCH = {"mixup per batch", "cutmix per batch"}  # other numbers in another batch
KEYED = ("cutmix", "one of", "erasing, noise", "gaussian noise", "salt and pepper, some")
ROUNDED = (SMALL, Shape(1, 5, 7, 3))
STORED_CASES = ("whole chain", "geometry", "flips, some", "cutmix", "all noise")
TRIED_WINDOWS = covering({"window": WINDOWS, "shape": SHAPES, "operations": OPERATIONS})


FEW = 16  # values that may be one level off, of however small an image
REACH = 9  # pixels of a side that the blur of 3-Augment needs


def tried(case: str, shape: Shape, engine: str) -> bool:
    """Every case at the shape that shows most; chains at every shape; kernels where they fit."""
    if case == "three augment" and min(shape.height, shape.width) < REACH:
        return False
    return engine not in INTERPRETED or case in CHAINS or shape == TELLING


def other_shape(case: str, engine: str) -> Shape:
    """Return the shape that a case is tried at with images of floats."""
    if case == "three augment":
        return TELLING
    return fitted(chosen(case, FEW_PIXELS), engine) if engine in INTERPRETED else USUAL


def tried_window(window: str, shape: Shape, operations: str, engine: str) -> bool:
    """Every two of a window, a shape and what comes after."""
    return engine not in INTERPRETED or (window, shape, operations) in TRIED_WINDOWS


def tried_in_parts(case: str, engine: str) -> bool:
    """What mixes, and what draws numbers for pixels."""
    return engine not in INTERPRETED or case in (*CHAINS, *KEYED)


def tried_as(case: str, output: Output, engine: str) -> bool:
    """Every case and every output, by turns."""
    turn = OUTPUTS.index(output) % len(STORED_CASES) == STORED_CASES.index(case)
    return engine not in INTERPRETED or turn


def tried_output(shape: Shape, output: Output, engine: str) -> bool:
    """Every output, for shapes of few pixels by turns."""
    turn = SMALL_SHAPES[OUTPUTS.index(output) % len(SMALL_SHAPES)]
    return engine not in INTERPRETED or shape == turn


def tried_rounded(engine: str, shape: Shape, output: Output) -> bool:
    """Every output, for one shape and for the other by turns."""
    turn = ROUNDED[OUTPUTS.index(output) % len(ROUNDED)]
    return engine not in INTERPRETED or shape == turn


def tried_alone(engine: str, shape: Shape) -> bool:
    """Every third shape: what a sample gets is the same code at all."""
    return engine not in INTERPRETED or shape in SHAPES[::3]


@dataclass(frozen=True)
class Tolerance:
    """What two engines may differ by, and why: in pixel space from 0 to 1; a share of pixels."""

    value: float
    reason: str


ROUNDING = Tolerance(1e-5, "float32 rounds some thirty times at most, factors multiply it")
WARP = Tolerance(1e-6, "a source coordinate is rounded in proportion to the image's sides; "
                 "neighboring pixels differ by 1 at most, so a value by as much")  # fmt: skip
FAR = Tolerance(3e-5, "coordinates twenty times as far out are rounded twenty times as much")
THRESHOLD = Tolerance(2e-3, "share of the values that may lie on the other side of a threshold "
                      "(posterize, solarize), which rounding can move them across")  # fmt: skip
LEVEL = Tolerance(3 * 1.6**2 / 255, "a blurred or moved byte may be rounded to the next level, "
                  "which an inverse map stretches no further, and a jitter does by its "
                  "factors")  # fmt: skip
PROGRAM = Tolerance(0.02, "share of the values that may differ, by any number of levels: where a "
                    "step of a program is rounded to the next level, later ones multiply it, and "
                    "a table from a histogram may shift all values of a level")  # fmt: skip
STORED = {
    torch.float32: Tolerance(0.0, "what is computed is stored"),
    torch.float16: Tolerance(2.0**-10, "rounded to 11 bits, relative; the neighbor at worst"),
    torch.bfloat16: Tolerance(2.0**-7, "rounded to 8 bits, relative; the neighbor at worst"),
    torch.uint8: Tolerance(1.0, "rounded to whole levels; the neighbor at worst"),
}


def policy_of(operations: tuple[Any, ...], channels: int, *more: Any) -> Policy:
    """Return a policy of operations of the table, fit for images of a number of channels."""
    fitted = []
    for operation in (*operations, *more):
        if isinstance(operation, Normalize) and isinstance(operation.mean, tuple):
            assert isinstance(operation.std, tuple)
            operation = replace(
                operation, mean=operation.mean[:channels], std=operation.std[:channels]
            )
        if isinstance(operation, Border | RandomCrop):
            operation = replace(operation, fill=_cut(operation.fill, channels))
        fitted.append(operation)
    return Policy(fitted)


def _cut(fill: Any, channels: int) -> Any:
    return fill[:channels] if isinstance(fill, tuple) else fill


def plan_of(policy: Policy, shape: Shape, *, seed: int = 5, epoch: int = 3) -> Plan:
    """Return the plan of samples 100, 101, ..., for a shape."""
    policy = _fitting(policy, shape)
    rows = BatchRows.of(np.arange(100, 100 + shape.batch))
    return draw_plan(policy, rows, seed=seed, epoch=epoch, size=(shape.height, shape.width))


def _fitting(policy: Policy, shape: Shape) -> Policy:
    # A kernel may reach as far as an image is wide, and no farther.
    def fitted(item: Any) -> Any:
        if isinstance(item, Neighbourhood):
            return item.fitted((shape.height, shape.width))
        if item.program is None or not hasattr(item, "operations"):
            return item
        return replace(item, operations=tuple(map(fitted, item.operations)))

    made = [fitted(item) for item in policy.operations]
    return policy if made == [*policy.operations] else Policy(made)


def make_images(shape: Shape, *, larger: tuple[int, int] = (0, 0)) -> torch.Tensor:
    """Return uint8 `[N, H, W, C]`, the same every time: noise and smooth images by turns."""
    height, width = shape.height + larger[0], shape.width + larger[1]
    size = (shape.batch, height, width, shape.channels)
    values: NDArray[Any] = np.random.default_rng(sum(size)).integers(0, 256, size, dtype=np.uint8)
    y, x = np.mgrid[:height, :width][..., None]
    channel = np.arange(shape.channels)
    for k in range(1, shape.batch, 2):
        wave = np.sin(x * (0.1 + 0.05 * channel) + k) * np.cos(y * 0.07 * (k % 5) - channel)
        values[k] = np.round(127.5 + 127.4 * wave)
    return torch.from_numpy(values)


def window_of(name: str, shape: Shape) -> tuple[RandomCrop, torch.Tensor]:
    """Return a crop of the table for a shape, and the images that it cuts."""
    larger, options = WINDOWS[name]
    crop = RandomCrop((shape.height, shape.width), **options)
    return replace(crop, fill=_cut(crop.fill, shape.channels)), make_images(shape, larger=larger)


def usual(engine: str) -> Shape:
    """Return the shape that an engine is tried at where any would do."""
    return SMALL if engine == "cuda" and not ON_GPU else USUAL


def fitted(shape: Shape, engine: str) -> Shape:
    """Return a shape with no more rows than an engine that is interpreted can be asked for.

    Of many pixels two: they show what is wrong in a later block of an image.
    """
    if usual(engine) != SMALL:
        return shape
    most = SMALL.batch if shape in SMALL_SHAPES else 2
    return shape._replace(batch=min(shape.batch, most))


class NoDoubles(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails when an operation gives float64, which Apple's GPUs do not have."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here: else torch wraps what each operation calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        assert not (isinstance(made, torch.Tensor) and made.dtype == torch.float64), func
        return made


def run(name: str, plan: Plan, images: torch.Tensor, **options: Any) -> torch.Tensor:
    """Return the batch that an engine makes, on the CPU; without a GPU `cuda` is interpreted.

    Fails where the engine changes the images, or where `portable` needs float64.
    """
    device = "cuda" if name == "cuda" and ON_GPU else "cpu"
    engine: Engine = engine_for(device, name)
    before = images.clone()
    normal_quantiles()  # made on the host, once, in float64
    with NoDoubles() if name == "portable" else nullcontext():  # type: ignore[no-untyped-call]
        made = engine.apply(plan, images, **options)
    same = torch.equal(images.view(torch.uint8), before.view(torch.uint8))  # NaN is itself, too
    assert same, f"engine {name!r} changed the images that it was given"
    return made.cpu()


def offsets_of(plan: Plan, images: torch.Tensor) -> NDArray[np.int32]:
    """Return the offsets of a plan's windows in images that are not resized."""
    return plan.window.at(images.shape[1], images.shape[2]).offset


def allowed(plan: Plan, channels: int) -> float:
    """Return by how much float32 values of a plan may differ between engines."""
    pixel = ROUNDING.value
    if plan.warped.any():
        pixel += WARP.value * sum(plan.size)
        scale = plan.policy.find(Scale)
        pixel += FAR.value if scale and scale.factor[0] < 0.5 else 0.0
    return pixel / float(PolicyConstants.of(plan.policy, channels).std.min())


def threshold_step(plan: Plan) -> float:
    """Return what a value that crosses a threshold of the policy jumps by, in pixel space."""
    if (plan.filters == NEAREST).any():
        return 1.0  # to the next pixel, by what a coordinate is rounded
    steps = [item.jump for item in plan.policy.operations if isinstance(item, Pointwise)]
    if plan.program is not None:
        return 1.0
    rounded = Neighbourhood | Displacement
    blurred = any(isinstance(item, rounded) for item in plan.policy.operations)
    return max(steps, default=0.0) or (LEVEL.value if blurred else 0.0)


def assert_agree(one: torch.Tensor, other: torch.Tensor, plan: Plan) -> None:
    """Fail unless two engines' batches agree within the tolerances."""
    assert one.shape == other.shape and one.dtype == other.dtype
    if not one.numel():
        return
    unit = 255.0 if one.dtype == torch.uint8 else 1.0
    stored = STORED[one.dtype].value * (one.double().abs() if unit == 1 else torch.ones(one.shape))
    gap = (one.double() - other.double()).abs()
    excess = gap - stored - allowed(plan, one.shape[1]) * unit
    share = THRESHOLD.value if threshold_step(plan) else 0.0
    far, share = int((excess > 0).sum()), PROGRAM.value if plan.program is not None else share
    assert not torch.isnan(gap).any()
    # A line of bytes that is rounded the other way is many values of a small image.
    rounded = plan.program is not None and float(gap.max()) <= unit / 255
    most = max(np.ceil(share * one.numel()), FEW if rounded else 0)
    assert far <= most, f"{far} values differ, by up to {gap.max()}"
    step = (
        threshold_step(plan) * unit / float(PolicyConstants.of(plan.policy, one.shape[1]).std.min())
    )
    assert float(excess.max()) <= step
