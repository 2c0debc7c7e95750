"""Where what can be made again is kept on disk, and what a path of a user stands for."""

import os
from pathlib import Path

from augfeed.errors import InputError

_NOWHERE = Path(os.devnull) / "augfeed"  # no file can lie there, so all is found missing


def expanded(path: str | os.PathLike[str]) -> str:
    """Return a path as text, in which `~` at the front is the home folder, as in a shell.

    Without a home folder it stays as it is.
    """
    return os.path.expanduser(os.fspath(path))


def cache_folder(name: str) -> Path:
    """Return the folder, which may not exist yet, for one kind of cached thing.

    It lies in the folder that the environment variable `AUGFEED_CACHE` names, else in `augfeed` in
    the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`). Where there is none, as in a
    container without HOME whose user has no entry, it is a folder that cannot be made.
    """
    if given := os.environ.get("AUGFEED_CACHE"):
        return (_expanded(given) or _NOWHERE) / name
    found = _expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return (_NOWHERE if found is None else found / "augfeed") / name


def asked_folder(name: str, argument: str) -> Path:
    """Return the same folder where the user asks for it; raise `InputError` if there is none."""
    folder = cache_folder(name)
    if folder.is_relative_to(_NOWHERE):
        given = os.environ.get("AUGFEED_CACHE")
        reason = f"AUGFEED_CACHE={given!r} is below the home of no user" if given else (
            "this user has no home folder"
        )  # fmt: skip
        raise InputError(
            f"{argument}: {reason}: set the environment variable AUGFEED_CACHE to a folder that "
            "can be written"
        )
    return folder


def _expanded(path: str) -> Path | None:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no HOME and no entry of this user, or no such user
        return None
