"""Operations as declarations: what follows from them is written, and nothing is left out."""

import math
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch

from augfeed.constants import LUMA
from augfeed.notation import format_policy, parse_policy
from augfeed.operation import (
    Column,
    Drawn,
    Linear,
    Neighbourhood,
    Pointwise,
    Statistics,
    Wording,
    kind,
    operation,
)
from augfeed.operation.pixel import PI, fma, maximum, minimum, where
from augfeed.operation.reference import SampleColumns, correlated
from augfeed.ops import _emit, generate
from augfeed.ops._bodies import NUMBA, NUMBA_DOUBLE, TRITON, Written
from augfeed.philox import Stream
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import OPERATIONS, Declaration, Policy, Solarize
from tests.cases import CASES

OUTPUTS = generate.outputs()
PAGE = generate.ROOT / "docs" / "reference" / "operations.md"


@pytest.mark.parametrize("path", OUTPUTS, ids=lambda path: path.name)
def test_writing_what_follows_from_the_declarations_changes_nothing(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == OUTPUTS[path], "python -m augfeed.ops.generate"


def test_only_files_that_differ_are_written(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    assert generate.write({one: "1", two: "2"}) == [two]
    assert generate.write({one: "1", two: "3"}) == [two]
    assert two.read_text() == "3"


def test_every_file_of_an_operation_is_listed_by_its_name() -> None:
    files = {path.stem for path in Path(generate.PACKAGE / "ops").glob("[a-z]*.py")} - {"generate"}
    assert files == {*OPERATIONS}
    assert [cls.order for cls in OPERATIONS.values()] == sorted(
        cls.order for cls in OPERATIONS.values()
    )


def test_streams_of_operations_are_their_own() -> None:
    own = [cls.stream for cls in OPERATIONS.values() if cls.stream and not cls.exclusive]
    assert len({*own, *Stream}) == len(own) + len(Stream)
    assert all(0 < stream < 2**16 for stream in own)


@pytest.mark.parametrize("what", ["order", "columns", "short", "cases"])
def test_an_operation_that_takes_what_is_anothers_is_refused(what: str) -> None:
    own = {"order": 599, "stream": 63, "columns": (), "short": "own", "cases": {}}
    taken = {"short": "hflip", **{name: getattr(Solarize, name) for name in own if name != "short"}}
    twin = type("Twin", (Solarize,), {**own, what: taken[what]})
    twin.__dataclass_fields__ = {"op": type("F", (), {"default": "twin"})}  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"is (Solarize|HorizontalFlip)'s already"):
        generate._check([*OPERATIONS.values(), twin])


@pytest.mark.parametrize(
    ("stream", "whose"),
    [(Solarize.stream, "is Solarize's"), (Stream.ELASTIC_PIXELS, "is Stream.ELASTIC_PIXELS's"),
     (int(Stream.MIX), "is Stream.MIX's"), (0, "is not in"), (64, "is Stream.PROGRAMS's"),
     (70, "is not in"), (int(Stream.CHAINS) + 1, "is not in")],
)  # fmt: skip
def test_a_stream_that_is_taken_is_refused_and_a_free_one_is_named(stream: int, whose: str) -> None:
    body = {"order": 599, "stream": stream, "columns": (), "reads": (), "short": "own", "cases": {}}
    twin = type("Twin", (Solarize,), body)
    twin.__dataclass_fields__ = {"op": type("F", (), {"default": "twin"})}  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=f"{whose}.*give ") as caught:
        generate._check([*OPERATIONS.values(), twin])
    body["stream"] = int(str(caught.value).rsplit("give ", 1)[1].partition(",")[0])
    free = type("Twin", (Solarize,), body)
    free.__dataclass_fields__ = twin.__dataclass_fields__  # type: ignore[attr-defined]
    generate._check([*OPERATIONS.values(), free])


def test_every_operation_that_engines_carry_out_has_a_case() -> None:
    apart = {"resize", "random_resized_crop", "random_crop", "center_crop",  # cases of windows
             "letterbox", "random_iou_crop", "bbox_safe_crop", "kornia", "label_smoothing",
             "mosaic", "copy_paste", "schedule"}  # not of engines  # fmt: skip
    assert {name for name, cls in OPERATIONS.items() if not cls.cases} == apart
    for cls in OPERATIONS.values():
        for name in cls.cases:
            assert any(isinstance(item, cls) for item in CASES[name])


def test_numbers_of_steps_on_frames_are_columns_of_the_plan_alone() -> None:
    class Sharpen(Neighbourhood):
        op: Literal["sharpen"] = kind("sharpen")
        order = 280
        stream = 9998
        uniforms = 1
        columns = (Column("sharpness", np.float32, neutral=1),)
        reads = columns
        reach = 1
        taps = staticmethod(lambda *reads: np.ones((len(reads[0]), 2, 1)))
        reference = staticmethod(lambda values, given: values)
        moves = False
        cases: ClassVar[dict[str, str]] = {}

        def fitted(self, size: Any) -> Any:
            return self

        def effects(self, setting: Any) -> Any:
            yield from ()

        def explain(self, seen: Any) -> Wording:
            return Wording("sharpened")

        def draw(self, u: Any, applied: Any, size: Any) -> Drawn:
            return Drawn({}, {"sharpness": np.where(applied, 2.0, 1.0)})

    classes = [*OPERATIONS.values(), operation(Sharpen)]
    assert "sharpness: NDArray[np.float32]  # [M] sharpen" in generate.columns(classes)
    assert "sharpness" not in _emit.record(classes) + _emit.linear(classes) + _emit.table(classes)
    assert "## Whole frames\n\n### Sharpen (`sharpen`)" in generate._pages([*classes[-1:]])[PAGE]


# Bodies of color operations

LINEAR = [cls for cls in OPERATIONS.values() if issubclass(cls, Linear)]
POINTWISE = [cls for cls in OPERATIONS.values() if issubclass(cls, Pointwise)]


def given(plan: Plan, cls: type[Declaration], mean: float) -> SampleColumns:
    columns = {column.name: getattr(plan.columns, column.name)[:1] for column in cls.columns}
    return SampleColumns(columns, torch.full((1, 1, 1, 1), mean))


def plans(cls: type[Declaration]) -> Iterator[Plan]:
    for name in cls.cases:
        policy = Policy([item for item in CASES[name] if isinstance(item, cls)])
        for k in range(8):
            yield draw_plan(policy, BatchRows.of([k]), seed=1, epoch=0, size=(3, 3))


@pytest.mark.parametrize("cls", POINTWISE, ids=lambda cls: cls.json_name())
def test_the_body_of_a_pointwise_operation_is_its_definition(cls: type[Pointwise]) -> None:
    values = torch.linspace(0, 1, 1001)
    for plan in plans(cls):
        item: Any = plan.policy.operations[0]
        (first, *_), reads = cls.read_columns(), dict(plan.read())
        numbers = [reads[column.name] for column in cls.read_columns()]
        made = cls.pixel(values.numpy(), *numbers)
        if reads[first.name][0] == first.neutral:
            assert np.array_equal(made, values.numpy())
        else:
            wanted = item.reference(values.view(1, 1, 1, -1), given(plan, cls, 0.0)).flatten()
            assert np.mean(np.abs(made - wanted.numpy()) > 1e-6) < 0.003


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("cls", LINEAR, ids=lambda cls: cls.json_name())
def test_the_steps_of_a_linear_operation_are_its_definition(
    cls: type[Linear], channels: int
) -> None:
    images, mean = torch.linspace(0, 1, 60).view(1, channels, -1, 1), 0.3
    for plan in plans(cls):
        item: Any = plan.policy.operations[0]
        total = images[0, :, :, 0].double().numpy()
        for step in cls.steps:
            reads = [getattr(plan.columns, name)[0] for name in step.reads]
            neutral = next(column for column in cls.columns if column.name == step.reads[0]).neutral
            if reads[0] == neutral or (step.rgb and channels == 1):
                continue
            made = step.body(*map(float, reads), *[mean] * bool(step.mean_unless))
            total = np.array(made) @ total if step.rgb else total * made[0] + made[1]
        changed = any(
            getattr(plan.columns, column.name)[0] != column.neutral for column in cls.columns
        )
        wanted = item.reference(images, given(plan, cls, mean)) if changed else images
        assert np.allclose(total, wanted[0, :, :, 0].numpy(), atol=2e-6 * max(1, abs(total).max()))


# Operations on frames

STATISTICS = [cls for cls in OPERATIONS.values() if issubclass(cls, Statistics)]
KERNELS = [cls for cls in OPERATIONS.values() if issubclass(cls, Neighbourhood)]
LEVEL = np.arange(256)


def frames_of(item: Any, seed: int) -> tuple[torch.Tensor, SampleColumns]:
    """Return planes `[4, 1, 40, 50]` of different histograms, and what an operation reads."""
    rng = np.random.default_rng(seed)
    planes = [rng.integers(low, low + width, (40, 50)) for low, width in
              ((0, 256), (100, 20), (77, 1), (rng.integers(0, 200), 50))]  # fmt: skip
    values = torch.from_numpy(np.stack(planes)[:, None] / np.float32(255)).float()
    plan = draw_plan(Policy([item]), BatchRows.of([seed] * 4), seed=1, epoch=0, size=(40, 50))
    columns = {name: column[:1].repeat(4) for name, column in plan.read(type(item))}
    return values, SampleColumns(columns, torch.zeros((4, 1, 1, 1)))


def always(cls: type[Any]) -> Iterator[Any]:
    """Yield the operation as its cases have it, so that every sample gets it."""
    for name in cls.cases:
        for item in CASES[name]:
            if isinstance(item, cls):
                yield replace(item, p=1.0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cls", STATISTICS, ids=lambda cls: cls.json_name())
def test_the_table_of_an_operation_is_its_definition(cls: type[Statistics], seed: int) -> None:
    for item in always(cls):
        values, given = frames_of(item, seed)
        wanted = cls.reference(values, given)
        for k, plane in enumerate((values * 255).round().to(torch.int64)):
            counts = np.bincount(plane.numpy().ravel(), minlength=256)
            table = cls.table(counts, LEVEL, *(given.columns[column.name][k]
                                               for column in cls.read_columns()))  # fmt: skip
            assert np.shape(table) == (256,) and table.min() >= -1 and table.max() <= 255
            made = np.where(table < 0, LEVEL, table)[plane.numpy()] / 255
            assert np.abs(made - wanted[k].numpy()).max() < 1e-6


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cls", KERNELS, ids=lambda cls: cls.json_name())
def test_the_kernel_of_an_operation_is_its_definition(cls: type[Neighbourhood], seed: int) -> None:
    for item in always(cls):
        values, given = frames_of(item, seed)
        reads = [given.columns[column.name].astype(np.float64) for column in cls.read_columns()]
        taps = cls.taps(*reads)
        assert taps.shape[:2] == (4, 2) and taps.min() >= 0
        assert np.allclose(2 * taps.sum(axis=2) - taps[..., 0], 1)
        for axis in (0, 1):
            assert not taps[:, axis, item.reach + 1 :].any()
        kernels = np.concatenate([taps[..., :0:-1], taps], axis=2).astype(np.float32)
        made = correlated(correlated(values, kernels[:, 1], 3), kernels[:, 0], 2)
        assert (made - cls.reference(values, given)).abs().max() < 1e-6


@pytest.mark.parametrize("cls", KERNELS, ids=lambda cls: cls.json_name())
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 2), (300, 300)])
def test_a_kernel_that_is_fitted_fits(cls: type[Neighbourhood], size: tuple[int, int]) -> None:
    for item in always(cls):
        fitted = item.fitted(size)
        assert fitted.fitted(size) == fitted
        plan = draw_plan(Policy([fitted]), BatchRows.of([0]), seed=1, epoch=0, size=size)
        taps = plan.frames.taps()[0, 0]
        assert all(not taps[axis, side:].any() for axis, side in enumerate(size))


def _power(value: Any) -> Any:
    return value**2


def _called(value: Any) -> Any:
    return math.sqrt(value)


def _loop(value: Any) -> Any:
    for _ in range(2):
        value = value + 1.0
    return value


@pytest.mark.parametrize("body", [_power, _called, _loop])
def test_a_body_that_not_every_compiler_knows_is_refused(body: Any) -> None:
    for compiler in (NUMBA, NUMBA_DOUBLE, TRITON):
        with pytest.raises(TypeError, match="cannot be written for every compiler"):
            Written(compiler).add(body, "test")


def _mixed(value: Any, low: Any) -> Any:
    """Return something of each kind."""
    inner = minimum(maximum(value, low), 2.0 * PI)
    return where(inner > LUMA[1], _negative(inner), fma(inner, 1.0 / 4.0, -0.5))


def _negative(value: Any) -> Any:
    return -value


def test_bodies_are_written_for_each_compiler() -> None:
    texts = []
    for compiler in (NUMBA, NUMBA_DOUBLE, TRITON):
        written = Written(compiler)
        assert written.add(_mixed, "op") == "_op_mixed"
        assert [*written.functions] == ["_op_negative", "_op_mixed"]
        texts.append(written.functions["_op_mixed"])
    single, double, triton = texts
    assert "min(max(value, low), np.float32(6.283185307179586))" in single
    assert "inner * np.float32(0.25) + np.float32(-0.5)" in single
    assert "_op_negative(inner) if inner > 0.587 else inner * 0.25 + -0.5" in double
    assert "tl.where(inner > 0.587, _op_negative(inner), tl.fma(inner, 0.25, -0.5))" in triton


@pytest.mark.parametrize("name", sorted(CASES))
def test_operations_survive_pickling_json_and_notation(name: str) -> None:
    policy = Policy(CASES[name])
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert Policy.from_json(policy.to_json()) == policy
    assert parse_policy(" | ".join(_line(item) for item in policy.operations)) == policy


def _line(item: Declaration) -> str:
    return format_policy(Policy.model_construct(operations=(item,)))
