"""Operators of interpreted tensors, applied at once where no operand has to be converted.

Triton looks at the types of both operands, makes constants blocks, and wraps each step: twenty
calls for one of NumPy's. Where both have one type and shape, or one is a number of that type, the
result is the same array without them. All else goes Triton's way, which compilations check as well.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

ARITHMETIC: dict[str, np.ufunc] = {
    "__add__": np.add,
    "__sub__": np.subtract,
    "__mul__": np.multiply,
}
BITS: dict[str, np.ufunc] = {
    "__and__": np.bitwise_and,
    "__or__": np.bitwise_or,
    "__xor__": np.bitwise_xor,
}
COMPARISONS: dict[str, np.ufunc] = {
    "__lt__": np.less, "__le__": np.less_equal, "__gt__": np.greater, "__ge__": np.greater_equal,
    "__eq__": np.equal, "__ne__": np.not_equal,
}  # fmt: skip
NUMBERS = ("fp32", "int32", "uint32")
LOWEST, HIGHEST = 2.0**-126, (2 - 2.0**-23) * 2.0**127  # of numbers that Triton takes for float32


class Operators:
    """What replaces operators of tensors while a kernel is interpreted: see `direct`."""

    def __init__(self, tl: Any, interpreter: Any) -> None:
        self.tensor, self.constexpr, self.block = tl.tensor, tl.constexpr, tl.block_type
        self.handle, self.builder = interpreter.TensorHandle, interpreter.interpreter_builder
        self.bool, self.int32 = tl.int1, tl.int32
        self.constants: dict[tuple[str, type, Any], Any] = {}
        self.bools: dict[int, tuple[Any, Any]] = {}
        self.direct = dict(self._pairs())
        self._check_quickly(interpreter.interpreter_semantic)

    def _pairs(self) -> Any:
        for name, function in ARITHMETIC.items():
            add = self._moved_or(function) if name == "__add__" else self._maker(function, NUMBERS)
            yield name, add
            yield f"__r{name[2:]}", self._maker(function, ("fp32",), turned=True)
        for name, function in BITS.items():
            yield name, self._maker(function, ("int1", "int32", "uint32"))
        for name, function in COMPARISONS.items():
            yield name, self._maker(function, NUMBERS, compares=True)
        yield "__truediv__", self._maker(np.divide, ("fp32",))
        yield "__rtruediv__", self._maker(np.divide, ("fp32",), turned=True)

    def _maker(
        self, function: np.ufunc, kinds: tuple[str, ...], *, turned: bool = False,
        compares: bool = False,
    ) -> Callable[[Any], Any]:  # fmt: skip
        checks = turned or function in ARITHMETIC.values()
        tensor, handle, operand, options = self.tensor, self.handle, self.operand, self.builder
        boolean = self._boolean

        def make(original: Any) -> Any:
            def operate(one: Any, other: Any, **kwargs: Any) -> Any:
                kind = one.dtype.name
                if kind not in kinds or (
                    checks and kind != "fp32" and options.options.sanitize_overflow
                ):
                    return original(one, other, **kwargs)
                value = operand(one, other, kind)
                if value is None:
                    return original(one, other, **kwargs)
                data, like = one.handle.data, one.type
                if type(other) is tensor and not like.is_block():
                    like = other.type
                made = function(value, data) if turned else function(data, value)
                return tensor(handle(made, one.handle.dtype), boolean(like) if compares else like)

            return operate

        return make

    def operand(self, one: Any, other: Any, kind: str) -> Any:
        """Return the other operand's numbers, or None where Triton would convert either."""
        if type(other) is self.tensor:
            same = other.dtype.name == kind and fit(one, other)
            return other.handle.data if same else None
        if type(other) is self.constexpr:
            other = other.value
        key = kind, type(other), other
        try:
            return self.constants[key]
        except KeyError:
            self.constants[key] = number_of(other, kind)
            return self.constants[key]
        except TypeError:
            return None

    def _moved_or(self, function: np.ufunc) -> Callable[[Any], Any]:
        # A pointer and a number, or numbers of which none is converted.
        usual, tensor, constexpr = self._maker(function, NUMBERS), self.tensor, self.constexpr

        def make(original: Any) -> Any:
            add = usual(original)

            def operate(one: Any, other: Any, **kwargs: Any) -> Any:
                if one.dtype.is_ptr():
                    value = other.value if type(other) is constexpr else other
                    if type(value) is int and 0 <= value < 2**31:
                        offset = self.handle(np.array([value], np.int32), self.int32)
                        return tensor(self.builder.create_addptr(one.handle, offset), one.type)
                return add(one, other, **kwargs)

            return operate

        return make

    def _check_quickly(self, semantic: Any) -> None:
        # What `where`, `minimum` and others do with their operands first.
        checking, tensor = semantic.binary_op_type_checking_impl, self.tensor

        def check(one: Any, other: Any, *flags: Any, **named: Any) -> tuple[Any, Any]:
            if type(one) is tensor and type(other) is tensor:
                kind = one.dtype.name
                if kind in (*NUMBERS, "int1") and kind == other.dtype.name:
                    if one.shape is other.shape:
                        return one, other
                    if not one.type.is_block():
                        return self._block(one, other), other
                    if not other.type.is_block():
                        return one, self._block(other, one)
            made: tuple[Any, Any] = checking(one, other, *flags, **named)
            return made

        semantic.binary_op_type_checking_impl = check

    def _block(self, one: Any, like: Any) -> Any:
        data = np.full(like.type.shape, one.handle.data, one.handle.data.dtype)
        return self.tensor(self.handle(data, one.handle.dtype), like.type)

    def _boolean(self, type_: Any) -> Any:
        if not type_.is_block():
            return self.bool
        shape = type_.shape
        if id(shape) not in self.bools:
            self.bools[id(shape)] = shape, type_.with_element_ty(self.bool)
        return self.bools[id(shape)][1]


def fit(one: Any, other: Any) -> bool:
    """Return whether both are of one shape, or one of them is a number."""
    same: bool = one.shape is other.shape
    return same or not one.type.is_block() or not other.type.is_block()


def number_of(value: Any, kind: str) -> Any:
    """Return a number as one of `NUMBERS`, or None where Triton would convert a tensor for it."""
    if type(value) is int and kind in ("int32", "uint32"):
        low, high = (-(2**31), 2**31 - 1) if kind == "int32" else (0, 2**31 - 1)
        return np.dtype(kind).type(value) if low <= value <= high else None
    if type(value) not in (int, float) or kind != "fp32":
        return None
    if type(value) is int and abs(value) >= 2**31:
        return None
    if value == 0:
        return np.float32(0)  # as Triton has it, whatever the sign
    size = abs(float(value))
    usual = LOWEST <= size <= HIGHEST or size == float("inf") or value != value
    return np.float32(value) if usual else None
