"""Where what can be made again is kept on disk."""

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """Return the folder, which may not exist yet, for one kind of cached thing.

    It lies in the folder that the environment variable `AUGFEED_CACHE` names, else in `augfeed` in
    the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`).
    """
    if home := os.environ.get("AUGFEED_CACHE"):
        return Path(home).expanduser() / name
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(shared).expanduser() / "augfeed" / name
