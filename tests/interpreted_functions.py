"""Functions of interpreted kernels, applied at once where nothing has to be converted before.

As `tests.interpreted_operators` does for operators: loads, selections, conversions and sums with
pointers. All else goes Triton's way, which compilations check as well.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.interpreted_operators import NUMBERS, Operators, fit, number_of

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
CONVERTED = ("fp32", *INTEGERS)  # of which NumPy converts one to another as Triton's interpreter
OFFSETS = ("int32", "uint32", "int64", "uint64")
ALL = np.ones(1, np.bool_)  # the mask of a load that has none


class Functions:
    """What replaces functions of `triton.language` while a kernel is interpreted: see `direct`."""

    def __init__(self, tl: Any, interpreter: Any, operators: Operators) -> None:
        self.language, self.tensor, self.pointer = tl, tl.tensor, tl.pointer_type
        self.dtype, self.operators = tl.dtype, operators
        self.handle, self.builder = interpreter.TensorHandle, interpreter.interpreter_builder
        self.read, self.numpys = interpreter._interpreter.load, interpreter._get_np_dtype
        self.types: dict[tuple[int, str], tuple[Any, Any]] = {}
        self.blocks: dict[tuple[int, str, Any], tuple[Any, Any]] = {}
        self.zeros: dict[str, Any] = {}
        self.direct: dict[tuple[Any, str], Callable[[Any], Any]] = {
            (tl, "load"): self._load, (tl, "where"): self._where, (tl, "fma"): self._fma,
            (tl.tensor, "to"): self._to, (tl.tensor, "__add__"): self._moved,
        }  # fmt: skip

    def _load(self, original: Any) -> Any:
        def load(pointer: Any, mask: Any = None, other: Any = None, **named: Any) -> Any:
            kind = pointer.dtype
            element: Any = kind.element_ty if type(kind) is self.pointer else None
            if named.keys() - {"_semantic"} or type(element) is not self.dtype:
                return original(pointer, mask, other, **named)
            name = element.name
            if name not in CONVERTED or (mask is None) is not (other is None):
                return original(pointer, mask, other, **named)
            if mask is None and not pointer.type.is_block():
                if name not in self.zeros:
                    self.zeros[name] = np.zeros(1, self.numpys(element))
                zero = self.zeros[name]
                made = self.read(pointer.handle.data, ALL, zero, zero.dtype)
                return self.tensor(self.handle(made, element), element)
            if mask is None or type(mask) is not self.tensor or not pointer.type.is_block():
                return original(pointer, mask, other, **named)
            if mask.dtype.name != "int1" or mask.shape is not pointer.shape:
                return original(pointer, mask, other, **named)
            elsewhere = self._full(pointer.type, element, other)
            if elsewhere is None:
                return original(pointer, mask, other, **named)
            made = self.read(pointer.handle.data, mask.handle.data, elsewhere, elsewhere.dtype)
            return self.tensor(self.handle(made, element), self._typed(pointer.type, element))

        return load

    def _where(self, original: Any) -> Any:
        def where(condition: Any, one: Any, other: Any, **named: Any) -> Any:
            if type(one) is self.tensor and one.dtype.name in NUMBERS:
                value = self.operators.operand(one, other, one.dtype.name)
                like = (
                    one.type
                    if one.type.is_block() or type(other) is not self.tensor
                    else other.type
                )
                chosen = self._condition(condition, like)
                if value is not None and chosen is not None:
                    made = np.where(chosen, one.handle.data, value)
                    return self.tensor(self.handle(made, one.dtype), like)
            return original(condition, one, other, **named)

        return where

    def _condition(self, condition: Any, like: Any) -> Any:
        # What selects one of two operands of a type, or None where Triton would make it a block.
        if type(condition) is bool:
            return condition
        if type(condition) is not self.tensor or condition.dtype.name != "int1":
            return None
        if condition.type.is_block() and not (
            like.is_block() and like.shape is condition.type.shape
        ):
            return None
        return condition.handle.data

    def _fma(self, original: Any) -> Any:
        def fma(one: Any, by: Any, more: Any, **named: Any) -> Any:
            if type(one) is self.tensor and one.dtype.name == "fp32":
                factor = self.operators.operand(one, by, "fp32")
                summand = self.operators.operand(one, more, "fp32")
                tensors = [each for each in (one, by, more) if type(each) is self.tensor]
                blocks = [each.type for each in tensors if each.type.is_block()]
                alike = all(each.shape is blocks[0].shape for each in blocks)
                if factor is not None and summand is not None and alike:
                    made = one.handle.data * factor + summand
                    like = blocks[0] if blocks else one.type
                    return self.tensor(self.handle(made, one.dtype), like)
            return original(one, by, more, **named)

        return fma

    def _to(self, original: Any) -> Any:
        def to(one: Any, dtype: Any, *more: Any, **named: Any) -> Any:
            if type(dtype) is not self.dtype or more or named.keys() - {"_semantic"}:
                return original(one, dtype, *more, **named)
            kind, name = one.dtype.name, dtype.name
            if name not in CONVERTED or kind not in CONVERTED:
                return original(one, dtype, **named)
            if kind == name:
                return one
            made = one.handle.data.astype(self.numpys(dtype))
            like = self._typed(one.type, dtype) if one.type.is_block() else dtype
            return self.tensor(self.handle(made, dtype), like)

        return to

    def _moved(self, original: Any) -> Any:
        def add(one: Any, other: Any, **named: Any) -> Any:
            if (
                type(one.dtype) is not self.pointer
                or type(other) is not self.tensor
                or other.dtype.name not in OFFSETS
                or not fit(one, other)
            ):
                return original(one, other, **named)
            like = one.type
            if other.type.is_block() and not like.is_block():
                like = self._typed(other.type, like)
            return self.tensor(self.builder.create_addptr(one.handle, other.handle), like)

        return add

    def _typed(self, like: Any, element: Any) -> Any:
        # The type of a block of a shape, of other elements.
        key = id(like.shape), element.name
        if key not in self.types:
            self.types[key] = like.shape, like.with_element_ty(element)
        return self.types[key][1]

    def _full(self, like: Any, element: Any, value: Any) -> Any:
        # A block of one number of an element's type, or None where Triton would convert it.
        if type(value) is self.language.constexpr:
            value = value.value
        if type(value) not in (int, float):
            return None
        key = id(like.shape), element.name, (type(value), value)
        if key not in self.blocks:
            made = value if element.name == "uint8" and value in range(256) else None
            made = number_of(value, element.name) if made is None else made
            full = None if made is None else np.full(like.shape, made, self.numpys(element))
            self.blocks[key] = like.shape, full
        return self.blocks[key][1]
