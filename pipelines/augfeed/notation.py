"""A policy as one line of text: `random_resized_crop(224) | hflip | cutmix`."""

import ast
from dataclasses import dataclass
from typing import Any

from augfeed.errors import PolicyError
from augfeed.operation.describe import parameters, shown, suggest
from augfeed.policy import OPERATIONS, Kornia, Policy

ALIASES = {cls.short: name for name, cls in OPERATIONS.items() if cls.short}
LONGEST = 10_000
WIDTH = 96
BIG = 2**63


@dataclass(frozen=True)
class Call:
    """A name and its arguments, as written in a line, and where they stand in it."""

    line: str
    node: ast.expr
    name: str
    positional: tuple[ast.expr, ...] = ()
    keywords: tuple[ast.keyword, ...] = ()

    def arguments(self, known: tuple[str, ...], nested: str = "") -> dict[str, Any]:
        """Return the values by parameter; `nested` is the parameter that holds operations."""
        found: dict[str, Any] = {}
        for index, node in enumerate(self.positional):
            if index >= len(known):
                takes = ", ".join(known) or "no parameters"
                raise self.error(f"{self.name} takes {takes}: this is one too many", node)
            found[known[index]] = self._value(node, holds_operations=known[index] == nested)
        for keyword in self.keywords:
            name = keyword.arg or "**"
            if name not in known:
                cure = suggest(name, known) if known else "it takes none"
                raise self.error(f"{self.name} has no parameter {shown(name)}: {cure}", keyword)
            if name in found:
                raise self.error(f"{self.name} gets {name!r} twice: give it once", keyword)
            found[name] = self._value(keyword.value, holds_operations=name == nested)
        return found

    def named(self) -> dict[str, Any]:
        """Return the values of a stage of Kornia: its class, then any parameters by name."""
        if len(self.positional) != 1:
            raise self.error(f'{self.name} takes one name, as in {self.name}("RandomEqualize")')
        known = ("name", *(keyword.arg or "**" for keyword in self.keywords))
        found = self.arguments(known)
        if "**" in found:
            raise self.error(f"{self.name}: ** has no place in a policy: name each parameter")
        return {"name": found.pop("name"), "parameters": found}

    def error(self, message: str, node: ast.expr | ast.keyword | None = None) -> PolicyError:
        """Return an error that points at a part of the line, or else at the whole call."""
        where = node or self.node
        start = _column(self.line, where.col_offset)
        return _error(message, self.line, start, _column(self.line, where.end_col_offset or 0))

    def _value(self, node: ast.expr, *, holds_operations: bool = False) -> Any:
        match node:
            case ast.List(elts=elements) | ast.Tuple(elts=elements) if holds_operations:
                return tuple(_operation(_call(element, self.line)) for element in elements)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return tuple(self._value(element) for element in elements)
            case ast.Constant(value=None):
                return None
            case ast.Constant() | ast.UnaryOp(operand=ast.Constant()):
                value = _literal(node)
                if isinstance(value, str | float) or (isinstance(value, int) and abs(value) < BIG):
                    return value
        wanted = 'a number, "text", True, False, or a list of them'
        if holds_operations:
            wanted = "a list of operations, as [rotate(30), solarize]"
        raise self.error(f"{self.name}: this is not a value: give {wanted}", node)


def parse_policy(text: str) -> Policy:
    """Return the policy that a line describes; raise `PolicyError` pointing at what is wrong.

    Operations have their names of JSON, or short ones: hflip, vflip, jitter, gray, erase, noise.
    Arguments are literals, by position or by name; nothing is evaluated.
    """
    return Policy(_operation(call) for call in parse_calls(text))


def format_policy(policy: Policy) -> str:
    """Return the shortest line that `parse_policy` turns into the same operations.

    Invariances and the name of a preset are not part of it.
    """
    return " | ".join(_written(operation) for operation in policy.operations)


def parse_calls(text: str) -> tuple[Call, ...]:
    """Return the calls of a line, in the order written; their names may be unknown."""
    line = " ".join(text.split())
    if not line:
        return ()
    if len(line) > LONGEST:
        raise PolicyError(f"a policy of {len(line)} characters: at most {LONGEST} are read")
    for char in "#\\":
        if char in line:
            raise _error(f"{char!r} has no place in a policy: remove it", line, line.index(char), 0)
    try:
        node = ast.parse(line, mode="eval").body
    except SyntaxError as error:
        start = error.offset - 1 if error.offset else len(line)
        message = f"cannot be read ({error.msg}): write name(value, ...) | name"
        raise _error(message, line, start, 0) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise PolicyError(f"this text is not a policy: {error}") from None
    nodes = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        nodes.append(node.right)
        node = node.left
    return tuple(_call(item, line) for item in (node, *reversed(nodes)))


def _call(node: ast.expr, line: str) -> Call:
    match node:
        case ast.Name(id=name):
            return Call(line, node, name)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            return Call(line, node, name, tuple(args), tuple(keywords))
    raise Call(line, node, "").error("this is not an operation: write name(value, ...) | name")


def _operation(call: Call) -> Any:
    cls = OPERATIONS.get(ALIASES.get(call.name, call.name))
    if cls is None:
        cure = suggest(call.name.lower(), (*OPERATIONS, *ALIASES))
        raise call.error(f"{shown(call.name)} is not an operation: {cure}")
    if cls is Kornia:
        arguments = call.named()
    else:
        known = parameters(cls)
        arguments = call.arguments(known, "operations" if "operations" in known else "")
    try:
        return cls(**arguments)
    except PolicyError as error:
        raise call.error(f"{error}\n{_signature(cls)}") from None


def _signature(cls: type[Any]) -> str:
    if cls is Kornia:
        return 'kornia("Class", parameter=..., ...)'
    written = (
        name if info.is_required() else f"{name}={_text(info.default)}"
        for name, info in cls.__pydantic_fields__.items() if name != "op"
    )  # fmt: skip
    return f"{cls.op}({', '.join(written)})"


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:  # a sign before something that is not a number
        return None


def _written(operation: Any) -> str:
    if isinstance(operation, Kornia):
        named = (f"{name}={_text(value)}" for name, value in operation.parameters)
        return f"kornia({', '.join((_text(operation.name), *named))})"
    parts = []
    for index, name in enumerate(parameters(type(operation))):
        info = type(operation).__pydantic_fields__[name]
        text = _text(getattr(operation, name))
        if not info.is_required() and text == _text(info.default):
            continue
        by_position = info.is_required() or (index == 0 and name != "p")
        parts.append(text if by_position else f"{name}={text}")
    return f"{operation.op}({', '.join(parts)})" if parts else str(operation.op)


def _text(value: Any) -> str:
    match value:
        case tuple():
            return f"[{', '.join(map(_text, value))}]"
        case None | bool() | int() | float():
            return repr(value)
        case str():
            return f'"{value}"'
    return _written(value)


def _column(line: str, offset: int) -> int:
    return len(line.encode()[:offset].decode(errors="ignore"))


def _error(message: str, line: str, start: int, end: int) -> PolicyError:
    cut = max(0, start - WIDTH // 2)
    part = line[cut : cut + WIDTH]
    marks = "^" * max(1, min(end - start, WIDTH - (start - cut)))
    return PolicyError(f"{message}\n  {part}\n  {' ' * (start - cut)}{marks}")
