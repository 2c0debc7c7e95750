"""Write what follows from the declarations of operations: `python -m augfeed.ops.generate`.

It is checked in, and a test holds that writing it again changes nothing.
"""

import pkgutil
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from augfeed import ops
from augfeed.operation import (
    Declaration,
    Frame,
    Geometry,
    Linear,
    Mixing,
    Pointwise,
    Program,
)
from augfeed.ops import _emit, _emit_stencils, _emit_tables
from augfeed.ops._emit import NOTE, dtype_text
from augfeed.philox import Stream
from augfeed.replaced_file import write_text

PACKAGE = Path(ops.__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]
Class = type[Declaration]


def declared() -> tuple[Class, ...]:
    """Return the operations of all files of `augfeed.ops`, in the order of execution.

    Raises `TypeError` where two of them share what is one operation's own.
    """
    found: list[Class] = []
    for module in pkgutil.iter_modules(ops.__path__):
        if not module.name.startswith("_") and module.name != "generate":
            found += _of_module(import_module(f"augfeed.ops.{module.name}"))
    found.sort(key=lambda cls: cls.order)
    _check(found)
    return tuple(found)


def _of_module(module: Any) -> list[Class]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Declaration)
        and value.__module__ == module.__name__
    ]


def _check(classes: Iterable[Class]) -> None:
    owners: dict[tuple[str, object], Class] = {}
    classes = tuple(classes)
    _check_streams(classes)
    for cls in classes:
        own: list[tuple[str, object]] = [("order", cls.order), ("name", cls.json_name())]
        own += [("short name", cls.short)] if cls.short else []
        own += [("case", case) for case in cls.cases]
        if not cls.exclusive:
            own += [("column", column.name) for column in {*cls.columns, *cls.read_columns()}]
        for what in own:
            other = owners.setdefault(what, cls)
            if other is not cls:
                raise TypeError(f"{what[0]} {what[1]!r} of {cls.__name__} is {other.__name__}'s "
                                "already: give another one")  # fmt: skip


def _check_streams(classes: Iterable[Class]) -> None:
    # Of operations that draw at once; those of a kind that is exclusive share the stream of it.
    own = {cls: int(cls.stream) for cls in classes if cls.stream is not None and not cls.exclusive}
    taken = {int(stream): f"Stream.{stream.name}" for stream in Stream}
    free = max(number for number in (*taken, *own.values()) if number < Stream.PROGRAMS) + 1
    for cls, number in own.items():
        if number in taken or not 0 < number < Stream.PROGRAMS:
            whose = f"is {taken[number]}'s" if number in taken else "is not in (0, 64)"
            raise TypeError(f"stream {number} of {cls.__name__} {whose}: give {free}, the next one")
        taken[number] = cls.__name__


def registry(classes: Iterable[Class]) -> str:
    """Return the text of `ops/_registry.py`."""
    classes = tuple(classes)
    imports = sorted(f"from {cls.__module__} import {cls.__name__}" for cls in classes)
    union = "\n    | ".join(cls.__name__ for cls in classes)
    parts = [cls.__name__ for cls in classes if in_programs(cls)]
    members = [cls.__name__ for cls in classes if issubclass(cls, Mixing) or in_programs(cls)]
    holders = [cls.__name__ for cls in classes if "operations" in vars(cls)["__dataclass_fields__"]]
    listed = "\n".join(f"    {cls.__name__}," for cls in classes)
    public = "\n".join(f'    "{name}",' for name in sorted(cls.__name__ for cls in classes))
    return f'''"""All operations, in the order of execution.

{NOTE}
"""

from typing import Annotated

from pydantic import Field

from augfeed.operation import Declaration
from augfeed.operation.declare import complete
{chr(10).join(imports)}

# What may stand in a program, and what `one_of` takes besides.
Part = Annotated[
    {f"{chr(10)}    | ".join(parts)},
    Field(discriminator="op"),
]
Member = Annotated[
    {f"{chr(10)}    | ".join(members)},
    Field(discriminator="op"),
]
for _holder in ({", ".join(holders)}):
    complete(_holder, Part=Part, Member=Member)

Operation = Annotated[
    {union},
    Field(discriminator="op"),
]
ALL: tuple[type[Declaration], ...] = (
{listed}
)
__all__ = [
{public}
]
'''


def in_programs(cls: Class) -> bool:
    """Return whether an operation may stand in a program."""
    kinds = Program, Frame, Geometry, Linear, Pointwise
    return issubclass(cls, kinds) or cls.json_name() == "one_of"


def columns(classes: Iterable[Class]) -> str:
    """Return the text of `plan/_columns.py`."""
    lines = []
    for cls in classes:
        for column in () if issubclass(cls, Mixing) else cls.columns:
            shape = "".join(f", {side}" for side in column.shape)
            kind = f"NDArray[{dtype_text(column.dtype)}]"
            lines.append(f"    {column.name}: {kind}  # [M{shape}] {cls.json_name()}")
    return f'''"""The columns of a plan that operations declare, one row a sample.

{NOTE}
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Columns:
    """What operations decided of every sample; neutral values where one is not applied."""

{chr(10).join(lines)}
'''


def _pages(classes: Iterable[Class]) -> dict[Path, str]:
    # The pages that `docs/generate.py` writes; a wheel has none.
    path = ROOT / "docs" / "generate.py"
    spec = spec_from_file_location("docs_generate", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        return {}
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return {module.PAGE: module.page(classes)}


def outputs() -> dict[Path, str]:
    """Return the text of every file that follows from the declarations."""
    classes = declared()
    made: dict[Path, str] = {
        PACKAGE / "ops" / "_registry.py": registry(classes),
        PACKAGE / "plan" / "_columns.py": columns(classes),
        PACKAGE / "kernels" / "_record.py": _emit.record(classes),
        PACKAGE / "kernels" / "_linear.py": _emit.linear(classes),
        PACKAGE / "kernels" / "_pointwise.py": _emit.pointwise(classes),
        PACKAGE / "kernels" / "_table.py": _emit.table(classes),
        PACKAGE / "kernels" / "_stencils.py": _emit_stencils.numba(classes),
        PACKAGE / "kernels" / "_tables.py": _emit_tables.numba(classes),
        PACKAGE / "engines" / "cuda" / "_pointwise.py": _emit.triton_pointwise(classes),
        PACKAGE / "engines" / "cuda" / "_stencils.py": _emit_stencils.triton(classes),
        PACKAGE / "engines" / "cuda" / "_tables.py": _emit_tables.triton(classes),
    }
    return made | _pages(classes)


def write(made: Mapping[Path, str]) -> list[Path]:
    """Write files whose text is another; return those."""
    changed = [path for path, text in made.items() if not path.is_file() or text != _read(path)]
    for path in changed:
        write_text(path, made[path])
    return changed


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    for path in write(outputs()):
        sys.stdout.write(f"{path}\n")
