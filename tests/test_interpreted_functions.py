"""Functions that interpreted kernels have at once are Triton's own: numbers, types, shapes."""

import warnings
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

pytest.importorskip("triton")
import triton.language as tl
from triton.runtime import interpreter

from tests.conftest import INTERPRETED
from tests.interpreted_functions import Functions
from tests.interpreted_operators import Operators
from tests.test_interpreted_operators import KINDS, NUMBERS, outcome, tensors_of

pytestmark = pytest.mark.skipif(not INTERPRETED, reason="kernels are compiled here")
FUNCTIONS = Functions(tl, interpreter, Operators(tl, interpreter))
MEMORY = np.arange(64, dtype=np.uint8) * 3  # that pointers point to
ELEMENTS = (tl.uint8, tl.float32, tl.int32, tl.uint32, tl.int64, tl.float16, tl.bfloat16, tl.int1)
TYPES = (tl.float32, tl.int32, tl.uint32, tl.uint8, tl.int64, tl.float16, tl.bfloat16, tl.int1)


def pointers_to(element: Any) -> list[Any]:
    """Return a block of pointers, and one."""
    kind = tl.pointer_type(element)
    places = MEMORY.ctypes.data + 8 * np.arange(4, dtype=np.uint64)
    return [
        tl.tensor(interpreter.TensorHandle(places, kind), tl.block_type(kind, [4])),
        tl.tensor(interpreter.TensorHandle(places[:1], kind), kind),
    ]


def assert_same(where: Any, name: str, *given: Any, **named: Any) -> bool:
    """Fail unless a function gives what Triton's own does; say whether it was done at once."""
    asked = []

    def own(*args: Any, **kwargs: Any) -> Any:
        return getattr(where, name)(*args, **kwargs, _semantic=interpreter.interpreter_semantic)

    def original(*args: Any, **kwargs: Any) -> Any:
        asked.append(name)
        return own(*args, **kwargs)

    def result(function: Any) -> tuple[str, ...]:
        return outcome(lambda *_, **__: function(*given, **named), None, None)

    results = result(FUNCTIONS.direct[where, name](original)), result(own)
    assert results[0] == results[1], (name, *given)
    return not asked


@pytest.fixture(autouse=True)
def launched() -> Iterator[None]:
    """Let types be those of NumPy, as in a launch; let Triton warn of conditions of integers."""
    scope = interpreter._LangPatchScope()
    interpreter._patch_lang_core(tl, scope)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    scope.restore()


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
def test_loads(element: Any) -> None:
    at_once = 0
    masks = [None, *tensors_of("int1"), *tensors_of("int32")]
    for pointer, mask, other in product(pointers_to(element), masks, (None, 200, 300, *NUMBERS)):
        at_once += assert_same(tl, "load", pointer, mask, other)
    assert bool(at_once) is (element not in (tl.float16, tl.bfloat16, tl.int1))
    (first, *_) = pointers_to(element)
    assert not assert_same(tl, "load", first, eviction_policy="evict_last")


def test_pointers_that_move() -> None:
    for element, kind in product(ELEMENTS, KINDS):
        at_once = 0
        for pointer, offset in product(pointers_to(element), (*tensors_of(kind), 3, -3)):
            at_once += assert_same(tl.tensor, "__add__", pointer, offset)
        assert bool(at_once) is (kind in ("int32", "uint32", "int64"))


@pytest.mark.parametrize("kind", KINDS)
def test_selections(kind: str) -> None:
    at_once = 0
    conditions = [True, False, *tensors_of("int1"), *tensors_of("int32")]
    others = [each for name in KINDS for each in tensors_of(name)] + NUMBERS
    for condition, one, other in product(conditions, tensors_of(kind), others):
        at_once += assert_same(tl, "where", condition, one, other)
    assert bool(at_once) is (kind in ("fp32", "int32", "uint32"))


def test_products_with_a_summand() -> None:
    at_once = 0
    every = [each for name in ("fp32", "int32") for each in tensors_of(name)] + [2.5, -0.0, 3]
    for one, by, more in product(every, every, every):
        at_once += assert_same(tl, "fma", one, by, more)
    assert at_once


@pytest.mark.parametrize("kind", KINDS)
def test_conversions(kind: str) -> None:
    at_once = 0
    for one, dtype in product(tensors_of(kind), TYPES):
        at_once += assert_same(tl.tensor, "to", one, dtype)
        assert not assert_same(tl.tensor, "to", one, dtype, bitcast=True)
    assert bool(at_once) is (kind not in ("fp16", "int1"))
