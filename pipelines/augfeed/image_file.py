"""The image that a command writes: its name is checked first, so that the work is not in vain."""

from pathlib import Path
from typing import TYPE_CHECKING

from augfeed.errors import InputError
from augfeed.replaced_file import save_image

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def check_image_path(path: Path) -> Path:
    """Return the path of an image to write; raise `InputError` for one that cannot be written."""
    if not path.parent.is_dir():
        raise InputError(f"out={str(path)!r}: {str(path.parent)!r} is not a folder: make it first")
    if path.is_dir():
        raise InputError(f"out={str(path)!r} cannot be written: it is a folder; give a file in it")
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"out={str(path)!r} is not an image: end it in .png, .jpg or .webp")
    return path


def write_image(picture: "Image", path: Path) -> Path:
    """Write an image, the whole file or nothing of it; raise `InputError` if that fails."""
    try:
        save_image(path, picture)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"out={str(path)!r} cannot be written: {reason}") from None
    return path


__all__ = ["check_image_path", "write_image"]
