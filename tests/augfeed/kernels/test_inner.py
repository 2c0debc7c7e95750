"""What only compiled functions call, and what is compiled for a policy at all."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.codegen import JitEngine

import augfeed
from augfeed.kernels import inner
from augfeed.kernels.inner import for_python, njit
from augfeed.notation import parse_policy
from augfeed.operation.kinds import Blocks, Displacement, Neighbourhood
from augfeed.ops import _chains, _enhance
from augfeed.ops._steps import LINEAR, MATRIX
from augfeed.plan.program import STEPS, codes_of, rarer

PACKAGE = Path(augfeed.__file__).parent


def test_an_inner_function_works_for_compiled_ones_and_refuses_python() -> None:
    @njit(nogil=True)
    def added(value: float) -> float:
        return value + 1

    @numba.njit(nogil=True)
    def doubled(value: float) -> Any:
        return 2 * added(value)

    for _ in range(2):  # before it is compiled, and after
        with pytest.raises(TypeError, match="only compiled functions call this one"):
            added(1.0)
        assert doubled(1.0) == 4.0


def test_an_inner_function_becomes_machine_code_in_its_callers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @njit(nogil=True)
    def add(sums: Any, values: Any) -> None:
        for k in range(sums.size):
            sums[k] += values[k]

    @njit(nogil=True)
    def twice(sums: Any, values: Any) -> None:
        add(sums, values)
        add(sums, values)

    @numba.njit(nogil=True)
    def four_times(sums: Any, values: Any) -> None:
        twice(sums, values)
        twice(sums, values)

    emitted: list[str] = []
    emit: Any = JitEngine.add_module

    def seen(self: Any, module: Any) -> Any:
        emitted.append(module.name.rpartition(".")[2])
        return emit(self, module)

    monkeypatch.setattr(JitEngine, "add_module", seen)
    sums = np.zeros(9, np.float32)
    four_times(sums, np.arange(9, dtype=np.float32))
    assert sums.tolist() == [4.0 * k for k in range(9)]
    assert "four_times" in emitted and not {"add", "twice"} & {*emitted}
    # What calls no other is optimized before: its loop is wide.
    (least,) = add.overloads.values()
    assert " x float>" in str(least.library._final_module)


def test_an_integer_that_a_caller_writes_down_is_compiled_as_any_other() -> None:
    @njit(nogil=True)
    def added(value: Any, pair: tuple[Any, Any]) -> Any:
        return value + pair[0] + pair[1]

    @numba.njit(nogil=True)
    def three_times(value: int) -> Any:
        return added(1, (value, 2)) + added(value, pair=(value, value)) + added(value, (3, 4))

    assert three_times(10) == 13 + 30 + 17
    assert len(added.overloads) == 1


def test_python_calls_an_inner_function_by_another_one() -> None:
    @njit(nogil=True)
    def added(value: float, other: float) -> float:
        return value + other

    assert for_python(added)(1.0, 2.0) == 3.0


def test_nothing_outside_the_kernels_imports_an_inner_function() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        if path.is_relative_to(PACKAGE / "kernels") or "augfeed.kernels" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "augfeed.kernels"
            ):
                module = import_module(node.module or "")
                for name in node.names:
                    found = getattr(module, name.name, None)
                    called = getattr(found, "_compile_for_args", None)
                    assert called is not inner._refused, f"{path}: {node.module}.{name.name}"


def test_what_is_left_out_for_common_steps_is_not_among_them() -> None:
    rare = {
        code
        for code, cls in STEPS.items()
        if issubclass(cls, Blocks | Displacement | Neighbourhood)
        or cls in (*_chains.STEPS, _enhance.Hue)
    }
    assert {code for code in (*STEPS, LINEAR, MATRIX) if rarer(((code,),))} == rare | {LINEAR}
    assert rarer(()) is None and rarer(((MATRIX,), (LINEAR, MATRIX))) is True


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("trivial_augment_wide", None),
        ("rand_augment", None),
        ("auto_augment", None),
        ('timm("rand-m9-inc1")', None),
        ("aug_mix", True),
        ("three_augment", True),
        ("sequence([jpeg, equalize])", True),
        ("one_of([posterize, color_jitter(0.4)])", True),
    ],
)
def test_automatic_policies_are_compiled_without_the_other_steps(
    line: str, whole: bool | None
) -> None:
    assert rarer(codes_of(parse_policy(line))) is whole
