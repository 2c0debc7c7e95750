"""Triton's interpreter as the tests use it: rounds as GPUs do, in a third of its time."""

import inspect
import os
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch

from tests.interpreted_functions import Functions
from tests.interpreted_operators import Operators


def interpret_kernels() -> None:
    """Have Triton interpret kernels; before anything imports it."""
    os.environ["TRITON_INTERPRET"] = "1"

    import triton.language as tl
    from triton.runtime import interpreter

    _round_as_gpus(tl, interpreter)
    _reuse_types(tl, interpreter)
    _patch_once(interpreter, tl.core.is_builtin, _direct(tl, interpreter))


def watch_overflow(*, on: bool) -> None:
    """Say whether each sum, difference and product of integers is made a second time, in 64 bits.

    The interpreter fails on those that overflow, which is half of its time.
    """
    from triton.runtime.interpreter import interpreter_builder

    interpreter_builder.options = replace(interpreter_builder.options, sanitize_overflow=on)


def _round_as_gpus(tl: Any, interpreter: Any) -> None:
    converting = interpreter._convert_float

    def convert(values: Any, source: Any, target: Any, mode: Any) -> Any:
        """Round float32 to the nearest bfloat16, as GPUs do; the interpreter cuts bits off."""
        if source == tl.float32 and target == tl.bfloat16:
            rounded = torch.from_numpy(np.ascontiguousarray(values)).to(torch.bfloat16)
            return rounded.view(torch.uint16).numpy()
        return converting(values, source, target, mode)

    interpreter._convert_float = convert


def _direct(tl: Any, interpreter: Any) -> dict[tuple[Any, str], list[Callable[[Any], Any]]]:
    # What replaces operators and functions, by where they stand; the last is asked first.
    operators = Operators(tl, interpreter)
    made = {(tl.tensor, name): [make] for name, make in operators.direct.items()}
    for key, make in Functions(tl, interpreter, operators).direct.items():
        made.setdefault(key, []).append(make)
    return made


def _patch_once(
    interpreter: Any, is_builtin: Callable[[Any], bool],
    direct: dict[tuple[Any, str], list[Callable[[Any], Any]]],
) -> None:  # fmt: skip
    patching = interpreter.InterpretedFunction.__call__
    launching, patched = interpreter.GridExecutor.__call__, set[str]()  # modules of functions

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function within a kernel.

        Triton's own way patches `triton.language` for every call; for ours the kernel's launch
        has done it, for Triton's the first of a launch does, and it is a third of the time of
        these tests.
        """
        if self.fn.__module__.startswith("augfeed."):
            return self.rewrite()(*args, **kwargs)
        if self.fn.__module__ in patched:
            return self.rewrite()(*args, **kwargs)
        patched.add(self.fn.__module__)
        return patching(self, *args, **kwargs)

    def launch(self: Any, *args: Any, **kwargs: Any) -> None:
        """Launch a kernel, before which nothing is patched."""
        patched.clear()
        launching(self, *args, **kwargs)

    interpreter.InterpretedFunction.__call__ = call
    interpreter.GridExecutor.__call__ = launch
    found: dict[Any, list[tuple[str, Any]]] = {}

    def patch_builtin(where: Any, builder: Any, scope: Any) -> None:
        """Patch what a launch replaces in a module or a class, looked for and made once."""
        if where not in found:
            every = inspect.getmembers(where)
            found[where] = [
                (name, replaced(where, name, one)) for name, one in every if is_builtin(one)
            ]
        for name, one in found[where]:
            scope.set_attr(where, name, one)

    def replaced(where: Any, name: str, builtin: Any) -> Any:
        def made(*args: Any, **kwargs: Any) -> Any:
            kwargs["_semantic"] = interpreter.interpreter_semantic
            return builtin(*args, **kwargs)

        for make in direct.get((where, name), ()):
            made = make(made)
        return made

    interpreter._patch_builtin = patch_builtin


def _reuse_types(tl: Any, interpreter: Any) -> None:
    """Make NumPy's types, and the shapes of blocks and tensors, once each."""
    numpys, dtypes = interpreter._get_np_dtype, dict[str, Any]()

    def numpy_type(kind: Any) -> Any:
        element = kind.element_ty if isinstance(kind, tl.block_type) else kind
        if isinstance(element, tl.pointer_type):
            return np.dtype(np.uint64)
        if element.name not in dtypes:
            dtypes[element.name] = numpys(element)
        return dtypes[element.name]

    interpreter._get_np_dtype = numpy_type
    making, blocks, known = tl.block_type.__init__, dict[Any, Any](), dict[Any, Any]()
    shapes = dict[Any, Any]()

    def block(self: Any, element_ty: Any, shape: Any) -> None:
        sides = shape.values if isinstance(shape, tl.core.tuple) else shape
        key = (element_ty.name, *[each if type(each) is int else each.value for each in sides])
        if key not in blocks:
            making(self, element_ty, shape)
            blocks[key] = dict(vars(self))
            # Of blocks of all types: who compares shapes asks whether they are the same object.
            blocks[key]["shape"] = shapes.setdefault(key[1:], self.shape)
        vars(self).update(blocks[key])
        self.element_ty = element_ty

    tl.block_type.__init__ = block

    def tensor(self: Any, handle: Any, type: Any) -> None:
        self.handle, self.type, self.dtype = handle, type, type.scalar
        shape = type.shape if type.is_block() else ()
        if id(shape) not in known:  # `block` gives out the same ones
            sides = tl.core.tuple(map(tl.constexpr, shape))
            known[id(shape)] = shape, sides, tl.constexpr(prod(shape))
        _, self.shape, self.numel = known[id(shape)]

    tl.tensor.__init__ = tensor
