"""The idx format of MNIST and its relatives."""

import gzip
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError, ReadError
from augfeed.read.arrays import ArraySource

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_PREFIXES = {"train": "train", "test": "t10k"}
_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_CLASSES = {"fashion": _FASHION, "mnist": tuple("0123456789")}


def read_idx(path: Path) -> NDArray[Any]:
    """Return the array in an idx file, gzipped or not; raise `ReadError` if it is broken."""
    cure = "fetch the file again"
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError, zlib.error) as error:
        raise ReadError(f"{path}: cannot be read ({error}): {cure}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _DTYPES or not data[3]:
        raise ReadError(
            f"{path}: begins with {data[:4]!r}, which is not idx (two zeros, a type, a rank): "
            f"{cure}, or give an images file of MNIST's format"
        )
    dtype, rank = np.dtype(_DTYPES[data[2]]), data[3]
    start = 4 + 4 * rank
    sides = struct.unpack(f">{rank}I", data[4:start]) if len(data) >= start else ()
    expected = start + dtype.itemsize * int(np.prod(sides, dtype=object))
    if not sides or len(data) != expected:
        raise ReadError(
            f"{path}: has {len(data)} bytes where its header {sides!r} says {expected}: {cure}"
        )
    values = np.frombuffer(data, dtype, offset=start).reshape(sides)
    return values.astype(dtype.newbyteorder("="))  # a copy that may be written to


def idx_images(folder: Path, split: str) -> Path | None:
    """Return the file of a split's images in a folder as MNIST comes in, or None without one.

    Raises `InputError` for a split that is not "train" or "test".
    """
    if split not in _PREFIXES:
        raise InputError(f"split={split!r} is unknown: use 'train' or 'test'")
    for place in (folder, folder / "raw"):
        for ending in ("-idx3-ubyte", "-idx3-ubyte.gz", ".idx3-ubyte", ".idx3-ubyte.gz"):
            path = place / f"{_PREFIXES[split]}-images{ending}"
            if path.is_file():
                return path
    return None


def open_idx(images: Path) -> ArraySource:
    """Return the images of an idx file with the labels of the file beside it."""
    name = images.name.replace("images", "labels").replace("idx3", "idx1")
    found = [images.with_name(name), images.with_name(name.removesuffix(".gz")),
             images.with_name(name + ".gz")]  # fmt: skip
    labels = next((path for path in found if path != images and path.is_file()), None)
    if labels is None:
        raise InputError(
            f"{str(images)!r} has no labels beside it: add {name!r}, or pass arrays to "
            "open_source((images, labels))"
        )
    known = known_name(images.parent)
    return ArraySource(read_idx(images), read_idx(labels), _CLASSES.get(known or ""), known)


def known_name(folder: Path) -> str | None:
    """Return "fashion" or "mnist" if the name of a folder says that it holds that dataset."""
    folder = folder.resolve()
    name = (folder.parent if folder.name == "raw" else folder).name.lower()
    if "fashion" in name:
        return "fashion"
    # EMNIST, KMNIST and others of such names are not digits.
    return "mnist" if re.search(r"(?<![a-z])mnist", name) else None
