"""Operators that interpreted tensors have at once are Triton's own: numbers, types, shapes."""

from itertools import product
from typing import Any

import numpy as np
import pytest

pytest.importorskip("triton")
import triton.language as tl
from triton.runtime import interpreter

from tests.conftest import INTERPRETED
from tests.interpreted_operators import Operators

pytestmark = pytest.mark.skipif(not INTERPRETED, reason="kernels are compiled here")
KINDS = {
    "fp32": (tl.float32, [1.5, -2.25, 0.0, 3e38]),
    "int32": (tl.int32, [7, -3, 2**31 - 1, 0]),
    "uint32": (tl.uint32, [7, 2**32 - 1, 0, 3]),
    "int1": (tl.int1, [True, False, True, True]),
    "fp16": (tl.float16, [1.5, -2.25, 0.0, 3]),
    "int64": (tl.int64, [7, -3, 2**40, 0]),
}
NUMBERS = [0, 3, -3, 2**31, 2**31 - 1, 1.5, 0.0, -0.0, 1e-44, float("inf"), True, tl.constexpr(2)]
OPERATORS = Operators(tl, interpreter)


def tensors_of(kind: str) -> list[Any]:
    """Return a block, another one and a number of a kind."""
    element, values = KINDS[kind]
    numbers = np.array(values, interpreter._get_np_dtype(element))
    made = []
    for data in (numbers, numbers[::-1].copy(), numbers[:1]):
        type_ = tl.block_type(element, [len(data)]) if len(data) > 1 else element
        made.append(tl.tensor(interpreter.TensorHandle(data, element), type_))
    return made


def outcome(operator: Any, one: Any, other: Any) -> tuple[str, ...]:
    """Return what an operator gives, as texts: bits and types, or an error's type."""
    with np.errstate(all="ignore"):
        try:
            made = operator(one, other, _semantic=interpreter.interpreter_semantic)
        except Exception as error:
            return (type(error).__name__,)
    data = np.broadcast_to(made.handle.data, [each.value for each in made.shape] or [1])
    return str(made.type), str(made.handle.dtype), str(data.dtype), data.tobytes().hex()


@pytest.mark.parametrize("name", OPERATORS.direct)
def test_an_operator_gives_what_tritons_own_gives(name: str) -> None:
    """For all pairs of kinds, blocks and numbers; errors are errors of the same type."""
    own = getattr(tl.tensor, name)
    direct = OPERATORS.direct[name](own)
    for kind, other_kind in product(KINDS, KINDS):
        for one, other in product(tensors_of(kind), tensors_of(other_kind)):
            assert outcome(direct, one, other) == outcome(own, one, other), (kind, other_kind)
    for kind, number in product(KINDS, NUMBERS):
        for one in tensors_of(kind):
            assert outcome(direct, one, number) == outcome(own, one, number), (kind, number)


@pytest.mark.parametrize("kind", KINDS)
def test_the_check_of_operands_gives_what_tritons_own_gives(kind: str) -> None:
    """Both operands have the type, shape and numbers that `where` and others go on with."""
    semantic = interpreter.interpreter_semantic
    for one, other in product(tensors_of(kind), tensors_of(kind)):
        quick = semantic.binary_op_type_checking_impl(one, other)
        own = type(semantic).binary_op_type_checking_impl(semantic, one, other)
        for made, expected in zip(quick, own, strict=True):
            assert str(made.type) == str(expected.type)
            assert made.handle.data.dtype == expected.handle.data.dtype
            np.testing.assert_array_equal(made.handle.data, expected.handle.data, strict=True)
