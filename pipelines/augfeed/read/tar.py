"""Samples in tar shards, as WebDataset writes them; any sample by its number."""

import glob
import hashlib
import json
import os
import re
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError, ReadError
from augfeed.read.decode import Channels, decode
from augfeed.read.exif import Picture
from augfeed.read.folder import EXTENSIONS
from augfeed.read.labels import check_labels
from augfeed.read.listing import Shown, kept

MOST_OPEN = 64  # shards whose files stay open
KEPT_FROM = 0.05  # seconds that a shard takes, from which its index is kept: there are many
BLOCK = 512  # bytes of a tar header
LONGEST_LABEL = 1 << 16  # bytes of a member that holds a label
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_LABELS = ("cls", "json")
_KEYS = ("label", "cls", "class")  # of JSON


class Member(NamedTuple):
    """A sample of a shard: where its picture lies, its label (-1: none), its key and ending."""

    offset: int
    size: int
    label: int
    name: str


class TarSource:
    """Pictures in tar shards: consecutive members of one key are one sample.

    A key is a member's name up to the first dot after the last slash; what follows the last dot
    says what it is: a picture, or its label (`cls`: a number as text; `json`: a number under
    "label", "cls" or "class"). Either all samples have a label or none. Shards are indexed once,
    and the index is kept on disk; a sample is then read by its number. Raises `InputError` for
    patterns that match nothing and samples that are no pair of a picture and a class number,
    `ReadError` for a shard that is damaged or cut short.
    """

    labels: NDArray[np.int64] | None
    num_classes: int | None
    classes: tuple[str, ...] | None
    channels: Channels
    name: str | None
    sizes: tuple[int, int] | None

    def __init__(self, shards: Sequence[str | os.PathLike[str]], channels: Channels = 3) -> None:
        """Index the shards."""
        if channels not in (1, 3):
            raise InputError(f"channels={channels!r} is not 1 or 3: give 1 for grey, 3 for RGB")
        self.shards = tuple(os.fspath(shard) for shard in shards)
        self._stats = [_stat(shard) for shard in self.shards]
        members: list[Member] = []
        numbers: list[NDArray[np.int32]] = []
        with Shown("indexing shards", len(self.shards)) as shown:
            for k, (shard, stat) in enumerate(zip(self.shards, self._stats, strict=True)):
                found = _index(shard, stat)
                members += found
                numbers.append(np.full(len(found), k, np.int32))
                shown.advance()
        if not members:
            raise InputError(f"{self.shards[:3]!r} hold no pictures: give shards of WebDataset's")
        self._shard: NDArray[np.int32] = np.concatenate(numbers)
        self._offset = np.array([member.offset for member in members], np.int64)
        self._size = np.array([member.size for member in members], np.int64)
        self._names = [member.name for member in members]
        self.labels, self.num_classes = self._labels([member.label for member in members])
        self.channels, self.classes, self.name, self.sizes = channels, None, None, None
        self._files = _Files()

    def _labels(self, labels: list[int]) -> tuple[Any, int | None]:
        without = [i for i, label in enumerate(labels) if label < 0]
        if len(without) == len(labels):
            return None, None
        if without:
            raise InputError(
                f"{self.path(without[0])} has no label and other samples have one: add a member "
                f"{self._names[without[0]].rpartition('.')[0]}.cls, or remove all labels"
            )
        return check_labels(labels, len(labels), None)

    def __len__(self) -> int:
        return len(self._offset)

    def __repr__(self) -> str:
        return f"TarSource({len(self)} pictures in {len(self.shards)} shards)"

    def path(self, i: int) -> str:
        """Return the shard and the member of picture `i`: `shard.tar/key.jpg`."""
        return f"{self.shards[self._shard[self._known(i)]]}/{self._names[i]}"

    def identity(self, i: int) -> str:
        """Return a text that changes when picture `i` does."""
        shard = int(self._shard[self._known(i)])
        size, mtime = self._stats[shard]
        path = os.path.abspath(self.shards[shard])
        return f"{path}\0{size}\0{mtime}\0{self._offset[i]}\0{self._size[i]}"

    def read(self, i: int) -> bytes:
        """Return the encoded picture `i`; raise `ReadError` if it cannot be read."""
        shard, size = self.shards[self._shard[self._known(i)]], int(self._size[i])
        try:
            data = self._files.read(shard, size, int(self._offset[i]))
        except OSError as error:
            raise ReadError.of(shard, error) from error
        if len(data) != size:
            raise ReadError(f"{self.path(i)}: the shard has become shorter: build the loader anew")
        return data

    def image(self, i: int) -> Picture:
        """Return picture `i` whole, decoded, uint8 `[h, w, C]`; raise `ReadError` if it is not."""
        return decode(self.read(i), self.path(i), self.channels)

    def fingerprint(self) -> str:
        """Return the SHA-256 of shards' names, members and labels, 64 hexadecimal digits."""
        digest = hashlib.sha256(repr((self.channels, len(self))).encode())
        for shard, (size, _) in zip(self.shards, self._stats, strict=True):
            digest.update(f"{os.path.basename(shard)}\0{size}\0".encode(errors="surrogateescape"))
        for part in (self._shard, self._offset, self._size, self.labels):
            digest.update(b"" if part is None else np.ascontiguousarray(part).data)
        digest.update("\0".join(self._names).encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _known(self, i: int) -> int:
        if not 0 <= i < len(self):
            raise InputError(f"i={i!r} is not in [0, {len(self)}): there is no such picture")
        return i


class _File:
    # An open shard, closed when nobody holds it: a thread may read from one that was put away.

    _close = staticmethod(os.close)  # found even where the interpreter ends and globals are gone

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if "number" in self.__dict__:
            self._close(self.number)


class _Files:
    # Open shards, the latest used; reading one needs no place in it, so threads share them.

    def __init__(self) -> None:
        self._open: OrderedDict[str, _File] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str, size: int, offset: int) -> bytes:
        with self._lock:
            file = self._open.get(path)
            if file is None:
                file = self._open[path] = _File(path)
            self._open.move_to_end(path)
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return os.pread(file.number, size, offset)

    def __reduce__(self) -> tuple[type["_Files"], tuple[()]]:
        return _Files, ()


def shards_of(text: str) -> list[str]:
    """Return the paths that a pattern stands for: braces, then `*`, `?` and `[...]`, sorted.

    `{000..146}` counts, with the zeros in front; `{a,b}` lists. Raises `InputError` for one that
    no file matches.
    """
    found: list[str] = []
    for pattern in _braces(text):
        paths = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        if not paths or not os.path.exists(paths[0]):
            raise InputError(f"{pattern!r} matches no file: check the pattern {text!r}")
        found += paths
    return found


def _braces(text: str) -> Iterator[str]:
    for expression in (_RANGE, _CHOICE):
        if match := expression.search(text):
            if expression is _RANGE:
                low, high = match.groups()
                width = len(low) if low.startswith("0") or len(low) == len(high) else 0
                items = [str(k).zfill(width) for k in range(int(low), int(high) + 1)]
            else:
                items = match.group(1).split(",")
            for item in items:
                yield from _braces(text[: match.start()] + item + text[match.end() :])
            return
    yield text


def _stat(shard: str) -> tuple[int, int]:
    try:
        stat = os.stat(shard)
    except OSError as error:
        raise ReadError.of(shard, error) from error
    return stat.st_size, stat.st_mtime_ns


def _index(shard: str, stat: tuple[int, int]) -> list[Member]:
    key = f"tar\0{os.path.abspath(shard)}\0{stat[0]}\0{stat[1]}"

    def same(found: Any) -> bool:
        return isinstance(found, list) and _stat(shard) == stat

    found = kept(key, same, lambda: [list(member) for member in _scan(shard)], slow=KEPT_FROM)
    return [Member(*member) for member in found]


def _scan(shard: str) -> list[Member]:
    """Return the samples of a shard, in the order of its members."""
    members: list[Member] = []
    try:
        with open(shard, "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            sample = _Sample(shard, "")
            for member in archive:
                if not member.isreg():
                    continue
                key, ending = _split(member.name)
                if key != sample.key:
                    members += sample.made()
                    sample = _Sample(shard, key)
                sample.add(member, ending, file.fileno())
            members += sample.made()
            _check_end(shard, file, archive.offset)
    except tarfile.ReadError as error:
        cure = "fetch it again; a compressed shard must be unpacked first"
        raise ReadError(f"{shard}: is no tar file, or is damaged ({error}): {cure}") from error
    except OSError as error:
        raise ReadError.of(shard, error) from error
    return members


def _check_end(shard: str, file: Any, offset: int) -> None:
    # tarfile takes a broken header for the end; two blocks of zeros are it.
    file.seek(offset)
    block = file.read(BLOCK)
    if len(block) < BLOCK or block.strip(b"\0"):
        raise ReadError(f"{shard}: is damaged or cut short at byte {offset}: fetch the shard again")


class _Sample:
    # The members of one key, while a shard is scanned.

    def __init__(self, shard: str, key: str) -> None:
        self.shard, self.key = shard, key
        self.picture: Member | None = None
        self.label = -1

    def add(self, member: tarfile.TarInfo, ending: str, file: int) -> None:
        if ending in _LABELS:
            data = os.pread(file, min(member.size, LONGEST_LABEL), member.offset_data)
            label = self._label(member.name, ending, data)
            self.label = label if self.label < 0 else self.label
        elif f".{ending}" in EXTENSIONS:
            if self.picture is not None:
                raise InputError(
                    f"{self.shard}: {self.key!r} has two pictures, {self.picture.name!r} and "
                    f"{member.name!r}: give each sample one"
                )
            self.picture = Member(member.offset_data, member.size, -1, member.name)

    def _label(self, name: str, ending: str, data: bytes) -> int:
        label: Any = None
        with suppress(ValueError):
            label = json.loads(data)
        if ending == "json" and isinstance(label, dict):
            known = [label[key] for key in _KEYS if key in label]
            if not known:
                return -1
            label = known[0]
        if isinstance(label, int) and not isinstance(label, bool) and label >= 0:
            return label
        raise InputError(
            f"{self.shard}: {name!r} holds {data[:20]!r}, which is no class number: write a number "
            "from 0"
        )

    def made(self) -> list[Member]:
        return [] if self.picture is None else [self.picture._replace(label=self.label)]


def _split(name: str) -> tuple[str, str]:
    folder, slash, base = name.rpartition("/")
    stem, _, rest = base.partition(".")
    return folder + slash + stem, rest.rpartition(".")[2].lower()


def is_shard(path: Any) -> bool:
    """Whether a path or pattern is that of tar shards."""
    name = str(path).lower() if isinstance(path, str | os.PathLike) else ""
    if name.endswith((".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")):
        raise InputError(
            f"{os.fspath(path)!r} is compressed: unpack it to .tar, to read any sample"
        )
    return name.endswith(".tar")


def shards_in(folder: Path) -> list[str]:
    """Return the shards of a folder that has no folders and no pictures in it, sorted."""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not entry.name.startswith(".")]
    shards = sorted(entry.path for entry in found if entry.name.lower().endswith(".tar"))
    alone = not any(entry.is_dir() or entry.name.lower().endswith(EXTENSIONS) for entry in found)
    return shards if alone else []
