"""Data as they are named to a command: "digits", a path, or `name:path`."""

import os
from pathlib import Path

from augfeed.errors import InputError
from augfeed.invariances import KNOWN

ALIASES = {"fashion-mnist": "fashion", "cifar10": "cifar", "cifar100": "cifar"}
PATTERN = "*?[{"  # what makes a path one of several files


def named(text: str) -> tuple[str | None, str]:
    """Return the name of the rules that `name:path` asks for, if any, and the path."""
    name, colon, path = text.partition(":")
    if colon and ALIASES.get(name, name) in KNOWN:
        return ALIASES.get(name, name), path
    if colon and not Path(text).exists() and "/" not in name:
        raise InputError(
            f"data={text!r}: {name!r} is not a known name: use one of {[*KNOWN, *ALIASES]}"
        )
    return None, text


def check_there(text: str) -> None:
    """Raise `InputError` for data that are not there; sooner than what opens them is imported."""
    path = named(text)[1]
    known = path == "digits" or bool(set(PATTERN) & set(path))
    if not known and not os.path.exists(os.path.expanduser(path)):
        raise InputError(
            f"data={text!r}: {path!r} does not exist: give 'digits', a folder or a file"
        )
