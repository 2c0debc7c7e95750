"""The page of operations, from the operations themselves.

`python -m augfeed.ops.generate` writes it to docs/reference/operations.md.
"""

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

PAGE = Path(__file__).parent / "reference" / "operations.md"
HEAD = """# Operations

Each random operation takes `p`, the probability that a sample gets it. Values count from 0 to 1,
whatever the element type. In text an operation is written by the name in brackets, as in
`cutout(16, p=0.5)`; in Python it is the class in `augfeed.policy`. Operations run in the order of
this page, whatever order a policy lists them in; geometry, programs and Kornia stages keep the
order in which they are listed. [Programs](../concepts/programs.md) hold operations in any order, as
often as wanted.

This page is written by `python -m augfeed.ops.generate`.
"""
PAPER = re.compile(r"(?<![\d/.])(\d{4}\.\d{4,5})(?!\d)")


def page(classes: Iterable[type[Any]]) -> str:
    """Return the text of the page, of operations in the order of execution."""
    parts, heading = [HEAD], ""
    for cls in classes:
        if cls.heading != heading:
            heading = cls.heading
            parts.append(f"## {heading}\n")
        parts.append(_section(cls.json_name(), cls))
    return "\n".join(parts)


def _section(name: str, cls: type[Any]) -> str:
    text = PAPER.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", inspect.getdoc(cls) or "")
    fields = {key: field for key, field in cls.__dataclass_fields__.items() if key != "op"}
    names = {"Part": Any, "Member": Any}  # of operations, which their files do not know
    hints = get_type_hints(cls, localns=names, include_extras=True)
    rows = [f"| `{key}` | {_default(field)} | {_what(hints[key])} |"
            for key, field in fields.items()]  # fmt: skip
    table = ["| parameter | default | |", "|---|---|---|", *rows, ""] if rows else []
    return "\n".join([f"### {cls.__name__} (`{name}`) {{ #{name} }}", "", text, "", *table])


def _default(field: Any) -> str:
    default = getattr(field.default, "default", field.default)  # pydantic's own field, or a value
    missing = type(default).__name__ in ("_MISSING_TYPE", "PydanticUndefinedType")
    return "required" if missing else f"`{default!r}`"


def _what(hint: Any) -> str:
    # The description that stands in the annotation, outermost first.
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        for note in notes:
            if found := getattr(note, "description", None):
                return str(found)
        return _what(inner)
    return ""
