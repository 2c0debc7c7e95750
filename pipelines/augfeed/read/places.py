"""Where what can be made again is kept on disk, and what a path of a user stands for."""

import os
from pathlib import Path

from augfeed.errors import InputError


def expanded(path: str | os.PathLike[str]) -> str:
    """Return a path as text, in which `~` at the front is the home folder, as in a shell.

    Without a home folder it stays as it is.
    """
    return os.path.expanduser(os.fspath(path))


def cache_folder(name: str) -> Path:
    """Return the folder, which may not exist yet, for one kind of cached thing.

    It lies in the folder that the environment variable `AUGFEED_CACHE` names, else in `augfeed` in
    the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`). Raises `InputError` where the user
    has no home folder and neither variable is set.
    """
    if own := os.environ.get("AUGFEED_CACHE"):
        return _at_home(own) / name
    return _at_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "augfeed" / name


def _at_home(path: str) -> Path:
    place = expanded(path)
    if place.startswith("~"):
        raise InputError(
            f"{path!r} has no place, as this user has no home folder: set the environment variable "
            "AUGFEED_CACHE to a folder that can be written"
        )
    return Path(place)
