"""Images in files: a folder for every class."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError, ReadError
from augfeed.read.cache_dir import expanded
from augfeed.read.decode import Channels, decode
from augfeed.read.exif import Picture
from augfeed.read.folder_walk import pictures_in
from augfeed.read.labels import check_classes, check_labels
from augfeed.read.regular_file import file_bytes
from augfeed.read.skipped_files import summary, tell

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".tga",
)  # fmt: skip

# Folders that hold folders of classes.
PARTS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing", "eval"))


class FolderSource:
    """Images in files, as `root/class/.../name.jpg`; the same order as torchvision's ImageFolder.

    Classes and files are sorted by name; extensions may be in capitals. A folder that has images
    and no folders in it is a source without labels. Hidden files and folders are left out, unlike
    there; `skipped` says how many files were, by reason. `channels` is 3 for RGB or 1 for gray,
    whatever the files have. Raises `InputError` for a folder that is missing or has no images,
    for a class without any, and for a link that leads back up; `ReadError` for a folder that may
    not be listed. The files themselves are opened when they are read.
    """

    labels: NDArray[np.int64] | None
    num_classes: int | None
    classes: tuple[str, ...] | None
    channels: Channels
    name: str | None
    sizes: tuple[int, int] | None
    skipped: dict[str, int]

    def __init__(
        self,
        root: str | os.PathLike[str],
        channels: Channels = 3,
        extensions: Sequence[str] = EXTENSIONS,
    ) -> None:
        """List the files."""
        endings = tuple("." + item.lower().lstrip(".") for item in extensions)
        folder = Path(expanded(root))
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            raise InputError(
                f"{os.fspath(root)!r} {what}: give the folder that holds a folder for every class"
            )
        tree = pictures_in(folder, endings)
        if tree.classes and {name.lower() for name in tree.classes} <= PARTS:
            part = os.path.join(os.fspath(root), tree.classes[0])
            raise InputError(
                f"{os.fspath(root)!r} has {tree.classes}, which are parts of a dataset and not "
                f"classes: give one of them, as {part!r}, or pairs (file, class number)"
            )
        left = f" ({summary(tree.skipped)})" if tree.skipped else ""
        for name, count in zip(tree.classes, tree.counts, strict=True):
            if not count and tree.paths:
                raise InputError(
                    f"{str(folder / name)!r} has no images ({' '.join(endings)}): "
                    f"a folder beside class folders is a class; remove it, or add images{left}"
                )
        if not tree.paths:
            where = f"its {len(tree.classes)} class folders" if tree.classes else "it"
            raise InputError(
                f"{os.fspath(root)!r} has no images: looked for {' '.join(endings)} in {where}"
                f"{left}; give the folder that holds a folder for every class"
            )
        labels = np.repeat(np.arange(len(tree.classes)), tree.counts) if tree.classes else None
        self._set(str(folder), tree.paths, labels, tree.classes or None, channels)
        self.skipped = tree.skipped
        tell(str(folder), tree.skipped)

    @classmethod
    def of(
        cls,
        samples: Iterable[tuple[Any, int]],
        classes: Sequence[str],
        *,
        channels: Channels = 3,
        name: str | None = None,
    ) -> "FolderSource":
        """Return a source over given files: pairs `(path, class number)` in their order."""
        pairs = list(samples)
        if not pairs:
            raise InputError("samples is empty: give at least one image")
        self = cls.__new__(cls)
        paths = [os.fspath(path) for path, _ in pairs]
        self._set(_root_of(paths), paths, [label for _, label in pairs], classes, channels)
        self.name = name
        return self

    @classmethod
    def plain(cls, files: Iterable[Any], channels: Channels = 3) -> "FolderSource":
        """Return a source over given files, in their order, without labels."""
        paths = [os.fspath(path) for path in files]
        if not paths:
            raise InputError("files is empty: give at least one image")
        self = cls.__new__(cls)
        self._set(_root_of(paths), paths, None, None, channels)
        return self

    def _set(
        self,
        root: str,
        paths: list[str],
        labels: Any,
        classes: Sequence[str] | None,
        channels: Channels,
    ) -> None:
        if channels not in (1, 3):
            raise InputError(f"channels={channels!r} is not 1 or 3: give 1 for gray, 3 for RGB")
        self.root, self._paths, self.channels = root, paths, channels
        self.classes = check_classes(classes)
        self.labels, self.num_classes = check_labels(labels, len(paths), self.classes)  # type: ignore[assignment]
        self.name = self.sizes = None
        self._fingerprint = ""
        self.skipped = {}

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"FolderSource({self.root!r}: {len(self)} files, {self.num_classes} classes)"

    def path(self, i: int) -> str:
        """Return the path of file `i`."""
        if not 0 <= i < len(self):
            raise InputError(f"i={i!r} is not in [0, {len(self)}): there is no such image")
        return self._paths[i]

    def read(self, i: int) -> bytes:
        """Return the bytes of file `i`; raise `ReadError` if it cannot be read."""
        path = self.path(i)
        try:
            return file_bytes(path)
        except OSError as error:
            raise ReadError.of(path, error) from error

    def identity(self, i: int) -> str:
        """Return a text that changes when file `i` does; raise `ReadError` if it is not there."""
        path = self.path(i)
        try:
            stat = os.stat(path)
        except OSError as error:
            raise ReadError.of(path, error) from error
        return f"{os.path.abspath(path)}\0{stat.st_size}\0{stat.st_mtime_ns}"

    def image(self, i: int) -> Picture:
        """Return image `i` whole, decoded, uint8 `[h, w, C]`; raise `ReadError` if it is not."""
        return decode(self.read(i), self.path(i), self.channels)

    def fingerprint(self) -> str:
        """Return the SHA-256 of what is listed, 64 hexadecimal digits; computed once.

        It covers the files' paths below the root and their sizes, labels and classes; not what is
        in the files.
        """
        if not self._fingerprint:
            digest = hashlib.sha256(repr((self.channels, self.classes)).encode())
            labels = self.labels if self.labels is not None else [None] * len(self)
            for path, label in zip(self._paths, labels, strict=True):
                try:
                    size = os.stat(path).st_size
                except OSError as error:
                    raise ReadError.of(path, error) from error
                line = f"{self._below(path)}\0{size}\0{label}\0"
                digest.update(line.encode(errors="surrogateescape"))
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def _below(self, path: str) -> str:
        inside = path.startswith(self.root + os.sep)
        below = path[len(self.root) + 1 :] if inside else os.path.relpath(path, self.root)
        return below.replace(os.sep, "/")


def _root_of(paths: Sequence[str]) -> str:
    return os.path.commonpath([os.path.abspath(p) for p in {*map(os.path.dirname, paths)}])
