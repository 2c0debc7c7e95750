"""Files, and nothing else that has a name: a pipe would be waited for, a device never end."""

import os
import stat
from errno import EINVAL


def file_bytes(path: str) -> bytes:
    """Return the bytes of a file; raise `OSError`, also for a pipe, a device or a socket."""
    with open(path, "rb", buffering=0, opener=open_regular) as file:
        return file.readall()


def open_regular(path: str, flags: int) -> int:
    """Return the descriptor of a file, as the `opener` of `open`; raise as `file_bytes` does."""
    number = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(number).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        os.close(number)
        raise OSError(EINVAL, "it is a pipe or a device, not a file", path)
    return number


__all__ = ["file_bytes", "open_regular"]
