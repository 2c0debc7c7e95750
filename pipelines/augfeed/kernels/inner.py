"""Numba's `njit` for functions that only compiled functions call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numba
from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, StateDict
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

# Any: options that the types of Numba leave out.
INNER: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return `numba.njit` without what Python calls a function by; a call is a `TypeError`.

    Numba would optimize such a function, and make machine code of it, with all that it calls, and
    do both again in each function that calls it, level by level. Here it is done once, in the
    function that Python calls: that compiles in half of the time. Only functions that call no
    others are optimized before, as some loops become wide in a small function alone. Integers that
    a caller writes down do not make it compile the function once more. What Python calls, too,
    `for_python` makes.
    """

    def compile_(function: Callable[..., Any]) -> Any:
        made: Any = numba.njit(**({"pipeline_class": _InnerCompiler} | INNER | options))(function)
        if hasattr(made, "_insert"):  # else NUMBA_DISABLE_JIT
            # Numba would call what is not there.
            made._insert = _ignored
            made._compile_for_args = _refused
            made.get_call_template = _any_value(made.get_call_template)
        return made

    return compile_


# Any: classes of Numba are typed in part.


class _Parts(JITCodeLibrary):
    """A function and what it calls, as parts of the function that calls it."""

    def finalize(self) -> None:
        """Put the parts side by side; optimize what calls none of ours."""
        made: Any = self
        made._raise_if_finalized()
        for library in dict.fromkeys(made._linking_libraries):
            made._reload_init.update(library._reload_init)
            made._final_module.link_in(library._get_module_for_linking(), preserve=True)
        if not any(isinstance(library, _Parts) for library in made._linking_libraries):
            made._optimize_final_module()
        made._finalize_dynamic_globals()
        made._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(NativeLowering):
    _name = "inner_lowering"

    def run_pass(self, state: StateDict) -> bool:
        """Write the function in LLVM's language, for callers alone."""
        library: Any = _Parts
        state.library = library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        lowering: Any = super()
        lowering.run_pass(state)
        key = object()  # callers know a function by what Python would call
        state.targetctx.insert_user_function(key, state.cr.fndesc, [state.library])
        state.cr = state.cr._replace(cfunc=key)
        return True


class _InnerCompiler(Compiler):
    def define_pipelines(self) -> list[Any]:
        """Return the steps of Numba, the last of which stops before there is machine code."""
        compiler: Any = super()
        (steps,) = compiler.define_pipelines()
        steps.passes = [
            (_InnerLowering if step is NativeLowering else step, name)
            for step, name in steps.passes
        ]
        steps.finalize()
        return [steps]


def for_python(function: Any) -> Any:
    """Return what Python calls an inner function by."""
    return numba.njit(nogil=True)(lambda *given: function(*given))


def _any_value(template: Callable[..., Any]) -> Callable[..., Any]:
    # Numba takes an integer that a caller has written down for a type of its own.
    def given(args: Sequence[Any], kws: Mapping[str, Any]) -> Any:
        named = {name: types.unliteral(kind) for name, kind in kws.items()}
        return template(tuple(types.unliteral(kind) for kind in args), named)

    return given


def _ignored(*overload: Any) -> None:
    pass


def _refused(*given: Any, **named: Any) -> Any:
    raise TypeError("only compiled functions call this one: decorate it with numba.njit")
