"""Stages of Kornia, carried out on frames with random numbers of their own for every row."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from augfeed.errors import PolicyError
from augfeed.ops.kornia import build
from augfeed.philox import Stream, words
from augfeed.plan import Plan
from augfeed.policy import Kornia

MOST_MODULES = 64  # that a thread keeps
SHOWN = 8  # numbers of a drawn parameter that an explanation shows
Drawn = dict[str, Any]
# Classes whose drawn parameters have one row a sample, so that many samples go through at once;
# the others (an order of steps for all, row numbers, kernels of several sizes) go one by one.
TOGETHER = frozenset((
    "RandomAffine", "RandomAutoContrast", "RandomBoxBlur", "RandomBrightness",
    "RandomChannelShuffle", "RandomClahe", "RandomContrast", "RandomEqualize", "RandomErasing",
    "RandomGamma", "RandomGaussianBlur", "RandomGaussianIllumination", "RandomGaussianNoise",
    "RandomGrayscale", "RandomHorizontalFlip", "RandomHue", "RandomInvert", "RandomJPEG",
    "RandomLinearCornerIllumination", "RandomLinearIllumination", "RandomMedianBlur",
    "RandomPerspective", "RandomPlanckianJitter", "RandomPlasmaBrightness",
    "RandomPlasmaContrast", "RandomPlasmaShadow", "RandomPosterize", "RandomRGBShift",
    "RandomRotation", "RandomRotation90", "RandomSaltAndPepperNoise", "RandomSaturation",
    "RandomSharpness", "RandomShear", "RandomSnow", "RandomSolarize", "RandomTranslate",
    "RandomVerticalFlip",
))  # fmt: skip


class StageDraws(NamedTuple):
    """What a stage drew for one row: whether it is applied, and its short parameters by name."""

    stage: Kornia
    p: float
    applied: bool
    values: dict[str, Any]


def run_stages(
    plan: Plan, frames: torch.Tensor, rows: NDArray[np.int64] | None = None
) -> torch.Tensor:
    """Return frames after the stages of a plan's policy: float32 `[M, H, W, C]` in [0, 1].

    `frames` `[M, H, W, C]`, uint8 or float32 in [0, 1], on any device, are those of `rows` of the
    plan (without them: of all its rows); they come back as they are if there are no stages. On the
    CPU every row is made by itself, so that it has the same bits in any batch. Raises `PolicyError`
    naming a stage that cannot be carried out on such frames.
    """
    stages = plan.policy.stages
    if not stages or not len(frames):
        return frames
    seeds = _seeds(plan, rows, len(stages))
    count, height, width, channels = frames.shape
    planes = torch.empty(
        (count, channels, height, width), dtype=torch.float32, device=frames.device
    )
    planes.copy_(frames.permute(0, 3, 1, 2))
    if frames.dtype == torch.uint8:
        planes.div_(255.0)
    # Not inference mode: what Kornia keeps for later calls must be of use in training, too.
    with torch.no_grad(), torch.autocast(frames.device.type, enabled=False):
        for stage, own in zip(stages, seeds, strict=True):
            _run(stage, planes, own)
    return planes.permute(0, 2, 3, 1).contiguous()


def drawn_by_stages(plan: Plan, row: int, channels: int) -> list[StageDraws]:
    """Return what every stage of a policy drew for one row of a plan, in order."""
    stages = plan.policy.stages
    if not stages:
        return []
    shape = torch.Size((1, channels, *plan.size))
    seeds = _seeds(plan, np.array([row], np.int64), len(stages))
    found = []
    for stage, (seed,) in zip(stages, seeds, strict=True):
        module = _module(stage)
        params, _ = _draw(stage, module, shape, seed)
        values = {
            name: value.flatten().tolist()
            for name, value in params.items()
            if name not in _ABOUT and value.numel() <= SHOWN
        }
        short = {name: item[0] if len(item) == 1 else item for name, item in values.items()}
        found.append(StageDraws(stage, float(module.p), _applied(params), short))
    return found


def _seeds(plan: Plan, rows: NDArray[np.int64] | None, count: int) -> list[list[int]]:
    # torch's generator on the CPU takes 32 bits of its seed.
    ids = plan.ids if rows is None else plan.ids[rows]
    requests = [(int(Stream.KORNIA), number) for number in range(count)]
    seeds: list[list[int]] = words(plan.seed, plan.epoch, ids, requests)[:, 0].tolist()
    return seeds


def _run(stage: Kornia, planes: torch.Tensor, seeds: Sequence[int]) -> None:
    shape, drawing = torch.Size((1, *planes.shape[1:])), _module(stage)
    drawn = [_draw(stage, drawing, shape, seed) for seed in seeds]
    chosen = [row for row, (params, _) in enumerate(drawn) if _applied(params)]
    if planes.device.type != "cpu" and stage.name in TOGETHER and chosen:
        apply_together(stage, planes, chosen, [drawn[row][0] for row in chosen])
        return
    module = _module(stage, planes.device)
    for row in chosen:
        params, generator = drawn[row]
        given = planes[row : row + 1].clone()
        planes[row] = _apply(stage, module, given, _moved(params, planes.device), generator)[0]


def apply_together(
    stage: Kornia, planes: torch.Tensor, rows: Sequence[int], drawn: Sequence[Mapping[str, Any]]
) -> None:
    """Apply a stage of a class in `TOGETHER` to rows of float32 `[M, C, H, W]`, in place.

    `drawn` holds the parameters of each row, drawn for a batch of that row alone.
    """
    device = planes.device
    there = torch.tensor(rows, device=device)
    shape = (len(rows), *planes.shape[1:])
    params = {
        name: torch.tensor(shape) if name == _SHAPE else torch.cat([own[name] for own in drawn])
        for name in drawn[0]
    }
    module = _module(stage, device)
    made = _apply(stage, module, planes[there], _moved(params, device), None)
    planes.index_copy_(0, there, made)


_SHAPE = "forward_input_shape"
_ABOUT = ("batch_prob", _SHAPE)
_ON_HOST = (_SHAPE, "order")  # numbers that Python reads


def _draw(
    stage: Kornia, module: Any, shape: torch.Size, seed: int
) -> tuple[Drawn, torch.Generator]:
    generator = torch.Generator()
    generator.manual_seed(seed)
    try:
        with torch.no_grad(), _Keyed(generator):
            return module.forward_parameters(shape), generator
    except Exception as error:
        raise _impossible(stage, shape, error) from error


def _apply(
    stage: Kornia, module: Any, given: torch.Tensor, params: Drawn,
    generator: torch.Generator | None,
) -> torch.Tensor:  # fmt: skip
    try:
        with _Keyed(generator):
            made: torch.Tensor = module(given, params=params)
    except Exception as error:
        raise _impossible(stage, given.shape, error) from error
    if made.shape != given.shape:
        raise PolicyError(
            f"Kornia's {stage.name} made {tuple(made.shape)} of {tuple(given.shape)}: a stage "
            "keeps the size, which resize and the crops of augfeed change"
        )
    return made.to(torch.float32).clamp_(0.0, 1.0)


def _impossible(stage: Kornia, shape: Any, error: Exception) -> PolicyError:
    channels, height, width = shape[1:]
    return PolicyError(
        f"Kornia's {stage.name} with {stage.arguments} cannot be carried out on images of "
        f"{channels} channels, {height} x {width} ({error}): change its parameters, or remove it"
    )


def _applied(params: Mapping[str, Any]) -> bool:
    return bool(params["batch_prob"].item() > 0.5)


def _moved(params: Drawn, device: torch.device) -> Drawn:
    if device.type == "cpu":
        return params
    return {name: value if name in _ON_HOST else value.to(device) for name, value in params.items()}


# A module keeps what it drew last, so that no two threads may share one.
_OWN = threading.local()


def _module(stage: Kornia, device: torch.device = torch.device("cpu")) -> Any:  # noqa: B008
    kept: dict[tuple[str, torch.device], Any] = _OWN.__dict__.setdefault("modules", {})
    key = (repr(stage), device)  # by its text: 1, 1.0 and True are not one to Kornia
    if key not in kept:
        if len(kept) >= MOST_MODULES:
            kept.clear()
        kept[key] = build(stage).to(device)
    return kept[key]


class _Keyed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    # Within it, in this thread, every random number of torch comes from one generator on the CPU.

    def __init__(self, generator: torch.Generator | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generator = generator

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        keyed = _with_generator(func)
        if keyed is None or self.generator is None:
            raise PolicyError(f"{func} draws numbers that cannot be keyed")
        return _on_cpu(keyed, args, {**kwargs, "generator": self.generator})


def _with_generator(func: Any) -> Any:
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    name = func._overloadname
    return getattr(
        func.overloadpacket, "generator" if name == "default" else f"{name}_generator", None
    )


def _on_cpu(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    # The same numbers for every device: they are drawn on the CPU and then moved.
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
    device = torch.device(kwargs.get("device") or (tensors[0].device if tensors else "cpu"))
    if device.type == "cpu":
        return func(*args, **kwargs)
    here = [value.cpu() if isinstance(value, torch.Tensor) else value for value in args]
    named = {key: value.cpu() if isinstance(value, torch.Tensor) else value
             for key, value in kwargs.items()}  # fmt: skip
    if "device" in named:
        named["device"] = torch.device("cpu")
    made = func(*here, **named)
    return args[0].copy_(made) if func._schema.is_mutable else made.to(device)
