"""Bodies of operations written out for a compiler: see `augfeed.operation.pixel` and `levels`."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from augfeed import constants
from augfeed.operation import levels, pixel

ALLOWED = (
    ast.Return, ast.Assign, ast.Expr, ast.Name, ast.Constant, ast.BinOp, ast.Add, ast.Sub, ast.Mult,
    ast.Div, ast.UnaryOp, ast.USub, ast.Compare, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq,
    ast.NotEq, ast.Call, ast.Tuple, ast.Subscript, ast.IfExp, ast.expr_context,
)  # fmt: skip


@dataclass(frozen=True)
class Compiler:
    """What the functions that bodies use are for a compiler, and how it is asked."""

    decorator: str
    names: dict[str, str]
    number: str = ""  # what floating-point constants are made with
    annotated: bool = True


_OF_NUMPY = ("floor", "cos", "sin", "exp2", "log2")
_NUMBA = {name: f"np.{name}" for name in _OF_NUMPY} | {"minimum": "min", "maximum": "max"}
NUMBA_DOUBLE = Compiler("@njit(nogil=True)", _NUMBA)
NUMBA = Compiler("@njit(nogil=True)", _NUMBA, "np.float32")
TRITON = Compiler(
    "@triton.jit",
    {name: f"tl.{name}" for name in ("fma", "where", "minimum", "maximum", *_OF_NUMPY)},
    annotated=False,
)
# What takes or makes all levels at once stands in `kernels.levels` and `engines.cuda.levels`.
OF_LEVELS = (
    "cumulative", "divide", "floor_divide", "saturated", "highest", "lowest", "real", "total",
    "truncate",
)  # fmt: skip
_VECTORS = {name: name for name in OF_LEVELS}
NUMBA_TABLE = Compiler(
    "@njit(nogil=True)",
    _VECTORS | {"where": "where"} | {name: f"np.{name}" for name in ("minimum", "maximum")},
)
TRITON_TABLE = Compiler(
    "@triton.jit",
    _VECTORS | {name: f"tl.{name}" for name in ("where", "minimum", "maximum")},
    annotated=False,
)


@dataclass
class Written:
    """Functions as text, and the names of `augfeed.constants` that they use."""

    compiler: Compiler
    functions: dict[str, str] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)

    def add(self, function: Callable[..., Any], owner: str) -> str:
        """Write a function, and those of its file that it calls; return its name in the text."""
        assert isinstance(function, FunctionType)
        name = f"_{owner}_{function.__name__.strip('_')}"
        if name not in self.functions:
            self.functions[name] = ""  # takes its place before those it calls
            text = self._written(function, owner, name)
            del self.functions[name]
            self.functions[name] = text
        return name

    def _written(self, function: FunctionType, owner: str, name: str) -> str:
        source = textwrap.dedent(inspect.getsource(function))
        tree = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
        lines = tree.body[1:] if ast.get_docstring(tree) else tree.body
        writer = _Writer(self, function, owner)
        body = [ast.unparse(ast.fix_missing_locations(writer.visit(line))) for line in lines]
        note = self.compiler.annotated
        taken = ", ".join(f"{arg.arg}: Any" if note else arg.arg for arg in tree.args.args)
        head = f"def {name}({taken}){' -> Any' if note else ''}:"
        return "\n".join([self.compiler.decorator, head, *(f"    {line}" for line in body), ""])


class _Writer(ast.NodeTransformer):
    def __init__(self, written: Written, function: FunctionType, owner: str) -> None:
        self.written, self.function, self.owner = written, function, owner

    def visit(self, node: ast.AST) -> Any:
        if not isinstance(node, ALLOWED):
            raise self._refused(node)
        if isinstance(node, ast.expr) and (value := self._constant(node)) is not None:
            return self._number(value)
        return super().visit(node)

    def _refused(self, node: ast.AST) -> TypeError:
        return TypeError(
            f"{self.function.__qualname__}: {ast.unparse(node)!r} cannot be written for every "
            "compiler: use augfeed.operation.pixel, + - * and comparisons"
        )

    def visit_Name(self, node: ast.Name) -> ast.AST:
        known = getattr(constants, node.id, None)
        if known is not None and self.function.__globals__.get(node.id) is known:
            self.written.constants.add(node.id)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not isinstance(node.func, ast.Name):
            raise self._refused(node)
        called, compiler = self.function.__globals__.get(node.func.id), self.written.compiler
        arguments = [self.visit(item) for item in node.args]
        name = node.func.id
        if called is not None and called in (
            getattr(pixel, name, None),
            getattr(levels, name, None),
        ):
            if name == "where" and name not in compiler.names:
                return ast.IfExp(arguments[0], arguments[1], arguments[2])
            if name == "fma" and name not in compiler.names:
                product = ast.BinOp(arguments[0], ast.Mult(), arguments[1])
                return ast.BinOp(product, ast.Add(), arguments[2])
            if name not in compiler.names:
                raise self._refused(node)
            return ast.Call(ast.parse(compiler.names[name], mode="eval").body, arguments, [])
        if not isinstance(called, FunctionType):
            raise self._refused(node)
        return ast.Call(ast.Name(self.written.add(called, self.owner)), arguments, [])

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        # Whole numbers count elements: they stay as they are.
        index = node.slice
        return ast.Subscript(self.visit(node.value), index, node.ctx)

    def _constant(self, node: ast.expr) -> float | None:
        # What an expression of constants comes to.
        names = {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
        if isinstance(node, ast.Name | ast.Constant | ast.BinOp | ast.UnaryOp | ast.Subscript):
            known = {name: self.function.__globals__.get(name) for name in names}
            local = {*self.function.__code__.co_varnames}
            if not names & local and all(isinstance(v, float | tuple) for v in known.values()):
                value = eval(compile(ast.Expression(node), "", "eval"), {}, known)
                return value if isinstance(value, float) else None
        return None

    def _number(self, value: float) -> ast.AST:
        number = ast.Constant(abs(value))
        made = self.written.compiler.number
        whole: ast.expr = ast.UnaryOp(ast.USub(), number) if value < 0 else number
        return ast.Call(ast.parse(made, mode="eval").body, [whole], []) if made else whole
