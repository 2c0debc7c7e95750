"""What holds for every engine, and that engines agree on the table of cases."""

from typing import Any

import numpy as np
import pytest
import torch

from augfeed.engines import Output, engine_for
from augfeed.errors import InputError, InputTypeError
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import (
    Border,
    ColorJitter,
    GaussianNoise,
    Mixup,
    Normalize,
    Perspective,
    Policy,
    Rotate,
)
from tests.cases import (
    CASES,
    ENGINES,
    FRAMES,
    GEOMETRY,
    JITTER,
    OPERATIONS,
    OUTPUTS,
    PER_BATCH,
    ROUNDED,
    SHAPES,
    SMALL,
    STATISTICS,
    STORED_CASES,
    USUAL,
    WINDOWS,
    Shape,
    allowed,
    assert_agree,
    fitted,
    make_images,
    offsets_of,
    other_shape,
    plan_of,
    policy_of,
    run,
    tried,
    tried_alone,
    tried_as,
    tried_in_parts,
    tried_output,
    tried_rounded,
    tried_window,
    usual,
    window_of,
)
from tests.sampling import each, sampled, together


def named(value: Any) -> str | None:
    if isinstance(value, Output):
        return f"{str(value.dtype)[6:]}, channels {'last' if value.channels_last else 'first'}"
    return "x".join(map(str, value)) if isinstance(value, Shape) else None


by_case = pytest.mark.parametrize("case", CASES)
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=named)
by_other = pytest.mark.parametrize("other", ENGINES[1:])


# Engines agree


@together(lambda other, case, shape: tried(case, shape, other),
          {"other": ENGINES[1:], "case": CASES, "shapes": SHAPES})  # fmt: skip
def test_engines_agree(other: str, case: str, shapes: list[Shape]) -> None:
    def check(shape: Shape) -> None:
        shape = fitted(shape, other)
        plan, images = plan_of(policy_of(CASES[case], shape.channels), shape), make_images(shape)
        first = run("cpu", plan, images)
        assert first.shape == (shape.batch, *shape[:3])
        assert_agree(first, run(other, plan, images), plan)

    each(shapes, check)


@by_other
@by_case
def test_engines_agree_on_float_images(case: str, other: str) -> None:
    shape = other_shape(case, other)
    plan, images = plan_of(policy_of(CASES[case], shape.channels), shape), make_images(shape) / 255
    assert_agree(run("cpu", plan, images), run(other, plan, images), plan)


@together(lambda other, window, operations, shape: tried_window(window, shape, operations, other),
          {"other": ENGINES[1:], "window": WINDOWS, "operations": OPERATIONS,
           "shapes": SHAPES})  # fmt: skip
def test_engines_agree_on_windows(
    other: str, window: str, operations: str, shapes: list[Shape]
) -> None:
    def check(shape: Shape) -> None:
        shape = fitted(shape, other)
        crop, images = window_of(window, shape)
        plan = plan_of(policy_of(OPERATIONS[operations], shape.channels, crop), shape)
        offsets = offsets_of(plan, images)
        first, second = (run(name, plan, images, offsets=offsets) for name in ("cpu", other))
        assert_agree(first, second, plan)

    each(shapes, check)


@sampled(tried_as, {"case": STORED_CASES, "output": OUTPUTS, "other": ENGINES[1:]}, ids=named)
def test_engines_agree_on_outputs(case: str, output: Output, other: str) -> None:
    policy = policy_of(CASES[case], 3)
    if output.dtype == torch.uint8:
        policy = Policy([item for item in policy.operations if not isinstance(item, Normalize)])
    shape = usual(other)
    plan, images = plan_of(policy, shape), make_images(shape)
    first, second = (run(name, plan, images, output=output) for name in ("cpu", other))
    assert_agree(first, second, plan)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@by_shape
def test_portable_engine_agrees_on_a_gpu(shape: Shape) -> None:
    on_gpu = engine_for("cuda", "portable")
    for operations in CASES.values():
        plan, images = plan_of(policy_of(operations, shape.channels), shape), make_images(shape)
        made = on_gpu.apply(plan, images)
        assert made.is_cuda
        assert_agree(run("cpu", plan, images), made.cpu(), plan)


# What holds for each


@sampled(tried_rounded, {"engine": ENGINES, "shape": ROUNDED, "output": OUTPUTS}, ids=named)
def test_output_is_the_float32_result_rounded_once(
    engine: str, shape: Shape, output: Output
) -> None:
    plan, images = plan_of(policy_of((*GEOMETRY, JITTER, Mixup()), shape.channels),
                           shape), make_images(shape)  # fmt: skip
    full, made = run(engine, plan, images), run(engine, plan, images, output=output)
    if output.dtype == torch.uint8:
        full = (full * 255 + 0.5).floor().clamp(0, 255)
    assert torch.equal(made, full.to(output.dtype))
    layout = torch.channels_last if output.channels_last else torch.contiguous_format
    assert made.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("case", ["nothing", "flips, some", "geometry", "whole chain"])
def test_float_images_equal_bytes(engine: str, case: str) -> None:
    shape = usual(engine)
    plan, images = plan_of(policy_of(CASES[case], 3), shape), make_images(shape)
    assert_agree(run(engine, plan, images), run(engine, plan, images.float() / 255), plan)


def test_uint8_in_uint8_out_is_the_same(engine: str) -> None:
    plan, images = plan_of(Policy(), USUAL), make_images(USUAL)
    made = run(engine, plan, images, output=Output(torch.uint8))
    assert torch.equal(made, images.permute(0, 3, 1, 2))


@sampled(tried_in_parts, {"case": [case for case in CASES if case not in PER_BATCH],
                          "engine": ENGINES})  # fmt: skip
def test_bits_are_the_same_in_any_batch(case: str, engine: str) -> None:
    slow = usual(engine) == SMALL
    shape = SMALL if slow else Shape(3, 19, 23, 21)
    policy, images = policy_of(CASES[case], 3), make_images(shape)
    order = np.random.default_rng(4).permutation(shape.batch)

    def batch(first: int, last: int) -> torch.Tensor:
        rows = BatchRows.at(np.arange(first, last), order, mixing=True)
        plan = draw_plan(policy, rows, seed=2**64 - 3, epoch=2**32 - 1, size=shape[1:3])
        return run(engine, plan, images, places=plan.ids)

    whole = batch(0, shape.batch)
    assert slow or torch.equal(whole, batch(0, shape.batch))
    for first, last in ((0, 1), (1, 4)) if slow else ((0, 8), (8, 9), (9, 21)):
        assert torch.equal(whole[first:last], batch(first, last))


@sampled(tried_alone, {"engine": ENGINES, "shape": SHAPES}, ids=named)
def test_bits_are_the_same_alone(engine: str, shape: Shape) -> None:
    shape = fitted(shape, engine)
    operations = (Rotate(30, p=0.5), ColorJitter(0.4, 0.4, 0.4, 0.3), *CASES["all noise"])
    policy, images = policy_of(operations, shape.channels), make_images(shape)
    size = shape[1:3]

    def batch(ids: Any) -> torch.Tensor:
        plan = draw_plan(policy, BatchRows.of(ids), seed=1, epoch=0, size=size)
        return run(engine, plan, images, places=plan.ids)

    whole = batch(np.arange(shape.batch))
    for k in range(shape.batch):
        assert torch.equal(whole[k : k + 1], batch([k]))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda images: images.copy_(images.clone() + 1), "changed the images"),
        (lambda images: images.double(), "_to_copy"),
    ],
    ids=["images are changed", "float64"],
)
def test_no_engine_is_run_without_a_look_at_what_it_must_not_do(
    broken: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def apply(self, plan: Plan, images: torch.Tensor, **_: Any) -> torch.Tensor:
            made: torch.Tensor = broken(images)
            return made

    monkeypatch.setattr("tests.cases.engine_for", lambda *_: Broken())
    with pytest.raises(AssertionError, match=message):
        run("portable", plan_of(Policy(), USUAL), make_images(USUAL))


@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_bits_do_not_depend_on_threads(engine: str) -> None:
    plan, images = plan_of(policy_of(CASES["whole chain"], 3), USUAL), make_images(USUAL)
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            made.append(run(engine, plan, images))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*made)


def test_ids_need_all_of_their_48_bits(engine: str) -> None:
    policy, images = Policy([GaussianNoise(0.3)]), make_images(USUAL)[:1]
    made = []
    for name in (5, 5 + 2**32, 5 + 2**47):
        plan = draw_plan(policy, BatchRows.of([name]), seed=0, epoch=0, size=(32, 32))
        made.append(run(engine, plan, images))
    assert not torch.equal(made[0], made[1]) and not torch.equal(made[1], made[2])


def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all bits of fresh memory be set: NaN in every float dtype."""
    empty, numpy_empty = torch.empty, np.empty

    def tensor(*args: Any, **kwargs: Any) -> torch.Tensor:
        made = empty(*args, **kwargs)
        return made.fill_(torch.nan if made.is_floating_point() else -1)

    def array(*args: Any, **kwargs: Any) -> Any:
        made = numpy_empty(*args, **kwargs)
        made.ravel().view(np.uint8).fill(0xFF)
        return made

    monkeypatch.setattr(torch, "empty", tensor)
    monkeypatch.setattr(np, "empty", array)


@together(lambda engine, output, shape: tried_output(shape, output, engine),
          {"engine": ENGINES, "output": OUTPUTS, "shapes": SHAPES}, ids=named)  # fmt: skip
def test_every_value_is_written(engine: str, output: Output, shapes: list[Shape]) -> None:
    def check(shape: Shape) -> None:
        policy = policy_of((*FRAMES, *GEOMETRY, JITTER, Mixup(p=0.5)), shape.channels)
        shape = fitted(shape, engine)
        plan, images = plan_of(policy, shape), make_images(shape)
        wanted = run(engine, plan, images, output=output)
        with pytest.MonkeyPatch.context() as patch:
            poisoned(patch)
            made = run(engine, plan, images, output=output)
        assert made.isfinite().all()
        assert torch.equal(made, wanted)

    each(shapes, check)


def test_places_name_images(engine: str) -> None:
    shape = usual(engine)
    plan, images = plan_of(policy_of(CASES["whole chain"], 3), shape), make_images(shape)
    places = np.array([3, 3, 0, 2, 1, 1, 1, 0, 2, 3, 2])[: shape.batch]
    assert torch.equal(
        run(engine, plan, images, places=places), run(engine, plan, images[torch.tensor(places)])
    )


def test_images_need_not_be_contiguous(engine: str) -> None:
    plan, images = plan_of(policy_of(CASES["geometry"], 3), USUAL), make_images(USUAL)
    strided = images.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)
    assert not strided.is_contiguous()
    assert torch.equal(run(engine, plan, images), run(engine, plan, strided))


def test_partners_beyond_the_batch_do_not_come_out(engine: str) -> None:
    rows = BatchRows.at(np.arange(3, 6), np.arange(16), mixing=True)
    plan = draw_plan(policy_of(CASES["cutmix"], 3), rows, seed=1, epoch=0, size=(32, 32))
    images = make_images(Shape(3, 32, 32, 16))
    assert len(plan.ids) == 8
    assert run(engine, plan, images, places=plan.ids).shape == (3, 3, 32, 32)


def test_values_stay_in_range(engine: str) -> None:
    """Even where a perspective reaches its horizon, and by rules that repeat the image."""
    for case in ("perspective to the horizon", "jitter that clips", "scale far out, reflect"):
        for border in ((), CASES["perspective, reflect"][1:], CASES["perspective, edge"][1:]):
            operations = {type(item): item for item in (*CASES[case], *border)}
            if case == "jitter that clips" and border:
                continue
            shape = usual(engine)
            plan = plan_of(policy_of(tuple(operations.values()), 3), shape)
            made = run(engine, plan, make_images(shape))
            assert made.min() >= 0 and made.max() <= 1 + allowed(plan, 3)


# What is refused


@pytest.mark.parametrize("places", [None, np.array([0, 1, 2]), np.array([0, -1, 1])],
                         ids=["too few", "beyond", "negative"])  # fmt: skip
def test_places_without_an_image_are_refused(engine: str, places: Any) -> None:
    with pytest.raises(InputError, match="images for all"):
        run(engine, plan_of(Policy(), Shape(3, 4, 4, 3)), make_images(Shape(3, 4, 4, 2)),
            places=places)  # fmt: skip


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 4, 4, 3, dtype=torch.float64),
        torch.zeros(2, 4, 4, 3, dtype=torch.int64),
        torch.zeros(4, 4, 3, dtype=torch.uint8),
        torch.zeros(2, 4, 4, 3, dtype=torch.uint16),
        torch.zeros(2, 4, 4, 0, dtype=torch.uint8),
    ],
    ids=["float64", "int64", "one image", "uint16", "no channel"],
)
def test_wrong_images_are_refused(engine: str, images: torch.Tensor) -> None:
    with pytest.raises(InputTypeError):
        run(engine, plan_of(Policy(), Shape(3, 4, 4, 2)), images)


def test_normalize_for_other_channels_is_refused(engine: str) -> None:
    plan = plan_of(Policy([STATISTICS]), Shape(1, 4, 4, 2))
    with pytest.raises(InputError, match="for 3 channels and the images have 1"):
        run(engine, plan, make_images(Shape(1, 4, 4, 2)))


def test_normalized_bytes_are_refused(engine: str) -> None:
    plan: Plan = plan_of(Policy([STATISTICS]), USUAL)
    with pytest.raises(InputError, match="cannot hold normalized"):
        run(engine, plan, make_images(USUAL), output=Output(torch.uint8))


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(InputError, match="engine='gpu' is unknown: use 'auto', 'cpu', 'cuda' or"):
        engine_for("cpu", "gpu")


@pytest.mark.parametrize("output", OUTPUTS, ids=named)
def test_copying_past_the_caches_changes_nothing(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations = (*GEOMETRY, JITTER, Mixup(), GaussianNoise(0.05))
    for shape in (Shape(3, 13, 11, 5), Shape(1, 1, 1, 3), Shape(3, 16, 16, 4), Shape(3, 40, 33, 2)):
        plan = plan_of(policy_of(operations, shape.channels), shape)
        expected = run("cpu", plan, make_images(shape), output=output)
        with monkeypatch.context() as patch:
            patch.setattr("augfeed.engines.cpu.STREAMED", 0)
            made = run("cpu", plan, make_images(shape), output=output)
        assert torch.equal(made, expected), shape


@pytest.mark.parametrize("border", ["constant", "edge", "reflect"])
def test_the_horizon_of_a_perspective_is_finite(engine: str, border: Any) -> None:
    shape = Shape(3, 8, 8, 2)
    plan = plan_of(Policy([Perspective(0.5, p=1.0), Border(border)]), shape)
    plan.inverse[:] = np.array([[1, 0, 0], [0, 1, 0], [-0.25, 0, 1]])  # z is 0 at x = 4
    out = run(engine, plan, make_images(shape))
    assert bool(((out >= 0) & (out <= 1)).all())
