"""The gate: an engine is timed only if another one makes the same pixels."""

from collections.abc import Mapping

import numpy as np
import torch

from augfeed.bench.result import Shape
from augfeed.bench.work import SEED, BenchImages, offsets_of
from augfeed.engines import Engine, Output, engine_for
from augfeed.errors import CheckError, MissingExtraError
from augfeed.operation import Pointwise
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.policy import Policy

ROWS = 8  # images that are compared: a whole mixing group
ROUNDING = 5e-5  # of a value in pixel space
WARP = 5e-6  # the same for each pixel of the sides, where a source coordinate is computed
CROSSINGS = 2e-3  # share of the values that rounding may move across a threshold
STORED = {torch.float32: 0.0, torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}


def witness_for(engine: Engine) -> Engine | None:
    """Return the engine that another is held against; None where it is not installed."""
    if engine.name != "cpu":
        return engine_for("cpu", "cpu")
    try:
        return engine_for("cpu", "portable")
    except MissingExtraError:
        return None


def check(
    engine: Engine,
    witness: Engine,
    wanted: Mapping[Shape, Mapping[str, Policy]],
    device: torch.device,
    output: Output,
) -> None:
    """Raise `CheckError` unless two engines agree on a few images of every chain and shape."""
    problems = []
    for shape, policies in wanted.items():
        few = Shape(min(ROWS, shape.batch), *shape[1:])
        pictures = BenchImages(few, device, 1).batches[0]
        for name, policy in policies.items():
            rows = BatchRows.of(np.arange(few.batch))
            plan = draw_plan(policy, rows, seed=SEED, epoch=1, size=few.size)
            offsets = offsets_of(plan)
            one = engine.apply(plan, pictures, offsets=offsets, output=output)
            other = witness.apply(plan, pictures.cpu(), offsets=offsets, output=output)
            if problem := difference(one, other, plan):
                problems.append(f"{name} at {shape.name}: {problem}")
    if problems:
        raise CheckError(
            f"engine {engine.name!r} does not make the pixels of {witness.name!r}, so nothing is "
            "timed:\n" + "\n".join(problems)
        )


def difference(one: torch.Tensor, other: torch.Tensor, plan: Plan) -> str | None:
    """Return what is different in the batches that two engines made of one plan, or None."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{one.dtype} {tuple(one.shape)}, not {other.dtype} {tuple(other.shape)}"
    mine, theirs = one.double().cpu(), other.double()
    if not bool(mine.isfinite().all()):
        return "values that are not finite"
    pixel = ROUNDING + (WARP * sum(plan.size) if plan.warped.any() else 0.0)
    bound = pixel / float(PolicyConstants.of(plan.policy, one.shape[1]).std.min())
    gap = (mine - theirs).abs()
    far = int((gap > bound + STORED[one.dtype] * theirs.abs()).sum())
    items = plan.policy.operations
    threshold = any(isinstance(item, Pointwise) and item.jump for item in items)
    # Frames hold whole levels: of two engines one may round up what the other rounds down.
    rounded = plan.program is not None or bool(plan.frames.codes.any())
    if far > (CROSSINGS * gap.numel() if threshold or rounded else 0):
        return f"{far} of {gap.numel()} values differ, by up to {float(gap.max()):.2e}"
    return None
