"""Files that appear whole or not at all: on a full disk, and when the process is killed."""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

STREAMS = ("/dev/", "/proc/")  # `/dev/stdout` may lead to a file that is open, and goes on
MODE = 0o666  # less what the umask takes, as `open` does


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a name beside a file to write to; it takes the file's place when all is written.

    The name has the ending of `path`. Where writing fails, a file that was there stays as it was.
    A link goes on to point at the file it points at. What is not a regular file (`/dev/stdout`, a
    pipe) is written to itself. Raises `OSError` as writing does.
    """
    target = Path(os.path.realpath(path))
    stream = os.path.abspath(path).startswith(STREAMS)
    if stream or (target.exists() and not target.is_file()):
        yield Path(path)
        return
    part = target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
    try:
        mode = target.stat().st_mode & 0o7777 if target.exists() else None
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE))
        if mode is not None:
            part.chmod(mode)
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())  # some file systems report a full disk only then
        os.replace(part, target)
    except OSError as error:  # reported with the name that was asked for
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from error
    except RuntimeError as error:  # what `torch.save` raises on a full disk
        raise OSError(None, f"cannot be written ({error})", str(path)) from error
    finally:
        with suppress(OSError):
            part.unlink()


def save_image(path: str | os.PathLike[str], image: "Image", **options: Any) -> None:
    """Write an image in the format that the ending says, with Pillow's options.

    It is encoded first: Pillow writes JPEGs to the file by itself, and does not look at how much of
    one the disk took.
    """
    from PIL.Image import registered_extensions

    file = io.BytesIO()
    image.save(file, registered_extensions()[Path(path).suffix.lower()], **options)
    with replaced(path) as part:
        part.write_bytes(file.getbuffer())


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8, the whole file or nothing of it."""
    with replaced(path) as part:
        part.write_text(text, encoding="utf-8")
