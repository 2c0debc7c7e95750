"""Commands of `augfeed` that other distributions add: listed unread, imported when they are run."""

import ast
import importlib.metadata
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from augfeed.errors import AugfeedError

GROUP = "augfeed.commands"  # entry points: a typer app or a function each

Entry = importlib.metadata.EntryPoint


class Later(TyperCommand):
    """The command of an entry point, imported when it is run or asked for its help.

    A list of all commands needs a line about each, and imports none: importing the service or
    the trainer takes seconds.
    """

    def __init__(self, entry: Entry) -> None:
        super().__init__(name=entry.name, help=summary(entry))
        self.entry = entry

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Return the context of the command itself, which is the one that is then run."""
        return load(self.entry).make_context(info_name, args, parent=parent, **extra)


def added() -> dict[str, Entry]:
    """Return the entry points by the name of their command."""
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}


def summary(entry: Entry) -> str:
    """Return the first line of a command's docstring, or of its module's, read from its source."""
    path = _source(entry.module)
    try:
        tree = ast.parse(path.read_bytes()) if path else ast.Module([], [])
    except (OSError, SyntaxError, ValueError):  # said in full when the command is run
        tree = ast.Module([], [])
    texts = [
        ast.get_docstring(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == entry.attr
    ]
    texts += [ast.get_docstring(tree), f"(of {entry.value})"]
    return next(text for text in texts if text).partition("\n")[0]


def _source(module: str) -> Path | None:
    # `importlib.util.find_spec` would import the packages that the module is in.
    loaded = sys.modules.get(module)
    if loaded is not None:
        return Path(loaded.__file__) if loaded.__file__ else None
    folders, spec = None, None
    names = module.split(".")
    for k in range(len(names)):
        spec = PathFinder.find_spec(".".join(names[: k + 1]), folders)
        if spec is None:
            return None
        folders = spec.submodule_search_locations
    return Path(spec.origin) if spec and spec.origin else None


def load(entry: Entry) -> Any:
    """Return the command of an entry point; one that cannot be loaded says so when it is run."""
    try:
        value = entry.load()
        made = value if isinstance(value, typer.Typer) else _alone(value)
        command = typer.main.get_command(made)
    except Exception as error:  # whatever a foreign module raises
        command = typer.main.get_command(_alone(_broken(entry, error)))
    command.name = entry.name
    return command


def _alone(function: Callable[..., Any]) -> typer.Typer:
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    anything = {"allow_extra_args": True, "ignore_unknown_options": True}
    broken = getattr(function, "broken", False)
    single.command(context_settings=anything if broken else None)(function)
    return single


def _broken(entry: Entry, error: Exception) -> Callable[[], None]:
    reason = str(error) if isinstance(error, AugfeedError) else f"{type(error).__name__}: {error}"

    def run() -> None:
        message = f"{entry.name!r} ({entry.value}) cannot be loaded: {reason}"
        raise AugfeedError(message) from error

    run.__doc__ = f"(cannot be loaded: {reason})"
    run.broken = True  # type: ignore[attr-defined]
    return run
