"""Samples in tar shards, as WebDataset writes them; any sample by its number."""

import hashlib
import logging
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError, InputTypeError, ReadError
from augfeed.read.cache_dir import expanded
from augfeed.read.cached_listing import ProgressBar, kept
from augfeed.read.decode import Channels, decode
from augfeed.read.exif import Picture
from augfeed.read.labels import check_labels
from augfeed.read.skipped_files import summary, tell
from augfeed.read.tar_members import Found, Keys, Member, members_of

LOG = logging.getLogger("augfeed")
MOST_OPEN = 64  # shards whose files stay open
KEPT_FROM = 0.05  # seconds that a shard takes, from which its index is kept: there are many


class TarSource:
    """Images in tar shards: the members of a shard that have one key are one sample.

    A key is a member's name up to the first dot after the last slash; what follows the last dot
    says what it is: an image, or its label (`cls`: a number as text; `json`: a number under
    "label", "cls" or "class"; where both are, `cls` counts). `image_key` and `label_key` choose
    among several by all that follows the key, such as "jpg" or "seg.png"; `image_key="jpg;png"`
    takes the first that a sample has, `label_key` may also name a field of the `json`, or one in
    another as "meta.label". Members may come in any order; hidden ones, as macOS adds them, are
    left out. Either all samples have a label or none. Shards are indexed once, and the index is
    kept on disk; a sample is then read by its number. `skipped` says how many members were left
    out, by reason. Raises `InputError` for shards without images and for samples that are not pair
    of an image and a class number, `ReadError` for a shard that is damaged or cut short.
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
        shards: Sequence[str | os.PathLike[str]],
        channels: Channels = 3,
        *,
        image_key: str | None = None,
        label_key: str | None = None,
        labelled: bool = True,
    ) -> None:
        """Index the shards; with `labelled=False` without a look at labels."""
        if channels not in (1, 3):
            raise InputError(f"channels={channels!r} is not 1 or 3: give 1 for gray, 3 for RGB")
        keys = Keys(_text("image_key", image_key), _text("label_key", label_key), labelled)
        self.shards = tuple(expanded(shard) for shard in shards)
        self._stats = [_stat(shard) for shard in self.shards]
        found: list[Found] = []
        with ProgressBar("indexing shards", len(self.shards)) as shown:
            for shard, stat in zip(self.shards, self._stats, strict=True):
                found.append(_index(shard, stat, keys))
                shown.advance()
        members = [member for part in found for member in part.members]
        self.skipped = dict(sum((Counter(part.skipped) for part in found), Counter()))
        if not members:
            left = f" ({summary(self.skipped)})" if self.skipped else ""
            raise InputError(
                f"{self.shards[:3]!r} hold no images{left}: give shards of WebDataset's"
            )
        counts = [len(part.members) for part in found]
        self._shard: NDArray[np.int32] = np.repeat(np.arange(len(found), dtype=np.int32), counts)
        self._offset = np.array([member.offset for member in members], np.int64)
        self._size = np.array([member.size for member in members], np.int64)
        self._names = [member.name for member in members]
        self.labels, self.num_classes = self._labels([item.label for item in members], found, keys)
        self.channels, self.classes, self.name, self.sizes = channels, None, None, None
        self._files = _Files()
        tell(self._title(), self.skipped)

    def _labels(self, labels: list[int], found: list[Found], keys: Keys) -> tuple[Any, int | None]:
        without = [i for i, label in enumerate(labels) if label < 0]
        if not keys.labelled:
            return None, None
        if not without:
            return check_labels(labels, len(labels), None)
        first = self.path(without[0])
        if len(without) < len(labels) or keys.label is not None:
            stem = self._names[without[0]].rpartition(".")[0]
            others = " and other samples have one" if len(without) < len(labels) else ""
            cure = f"add a member {stem}.cls, or remove all labels"
            if keys.label is not None:
                cure = f"give each sample what label_key={keys.label!r} names, or leave it out"
            raise InputError(f"{first} has no label{others}: {cure}")
        for shard, part in zip(self.shards, found, strict=True):
            if part.orphan:
                raise InputError(
                    f"{shard}/{part.orphan} holds a label and its sample has no image, while "
                    f"{first} has no label: an image and its label have one key, in one shard; "
                    "name them alike, or remove all labels"
                )
        beside = sum((Counter(part.beside) for part in found), Counter[str]())
        if beside:
            LOG.warning(
                "%s: images are read without labels; beside them are %s: label_key= names the "
                "ending of the member, or the field of .json, that holds a class number",
                self._title(), ", ".join(f"{count:,} {name}" for name, count in beside.items()),
            )  # fmt: skip
        return None, None

    def _title(self) -> str:
        more = f" and {len(self.shards) - 1} more" if len(self.shards) > 1 else ""
        return f"{self.shards[0]}{more}"

    def __len__(self) -> int:
        return len(self._offset)

    def __repr__(self) -> str:
        return f"TarSource({len(self)} images in {len(self.shards)} shards)"

    def path(self, i: int) -> str:
        """Return the shard and the member of image `i`: `shard.tar/key.jpg`."""
        return f"{self.shards[self._shard[self._known(i)]]}/{self._names[i]}"

    def identity(self, i: int) -> str:
        """Return a text that changes when image `i` does."""
        shard = int(self._shard[self._known(i)])
        size, mtime = self._stats[shard]
        path = os.path.abspath(self.shards[shard])
        return f"{path}\0{size}\0{mtime}\0{self._offset[i]}\0{self._size[i]}"

    def read(self, i: int) -> bytes:
        """Return the encoded image `i`; raise `ReadError` if it cannot be read."""
        shard, size = self.shards[self._shard[self._known(i)]], int(self._size[i])
        try:
            data = self._files.read(shard, size, int(self._offset[i]))
        except OSError as error:
            raise ReadError.of(shard, error) from error
        if len(data) != size:
            raise ReadError(f"{self.path(i)}: the shard has become shorter: build the loader again")
        return data

    def image(self, i: int) -> Picture:
        """Return image `i` whole, decoded, uint8 `[h, w, C]`; raise `ReadError` if it is not."""
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
            raise InputError(f"i={i!r} is not in [0, {len(self)}): there is no such image")
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


def _stat(shard: str) -> tuple[int, int]:
    try:
        stat = os.stat(shard)
    except OSError as error:
        raise ReadError.of(shard, error) from error
    return stat.st_size, stat.st_mtime_ns


def _text(name: str, value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise InputTypeError(
        f"{name}={value!r} is not text: for shards it is the ending of a member, such as 'jpg'"
    )


def _index(shard: str, stat: tuple[int, int], keys: Keys) -> Found:
    key = f"tar 2\0{os.path.abspath(shard)}\0{stat[0]}\0{stat[1]}\0{keys.image}\0{keys.label}"
    key += "" if keys.labelled else "\0unlabelled"

    def same(found: Any) -> bool:
        return isinstance(found["members"], list) and _stat(shard) == stat

    found = kept(key, same, lambda: vars(members_of(shard, keys)), slow=KEPT_FROM)
    return Found(**{**found, "members": [Member(*member) for member in found["members"]]})


__all__ = ["TarSource"]
