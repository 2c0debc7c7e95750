"""Decoded images on disk: shared by all processes that use the folder, now and later."""

import hashlib
import json
import logging
import os
import shutil
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from augfeed.read.cache.image_cache import Count, Picture, Stats, checked, on_fork
from augfeed.read.cache.pack_file import INDEX, PACK, Pack, Writer, checksum, digest_of
from augfeed.read.cache.pack_index import BAD, GOOD, PackIndex, Row

LOG = logging.getLogger("augfeed")
LARGEST = 1 << 30  # bytes of a pack
PAUSE = 5.0  # seconds between two looks at what others have written
ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class Key:
    """What tells apart images of one file that are kept in different ways."""

    side: int
    channels: int
    version: str

    @property
    def name(self) -> str:
        """The name of the folder of such images."""
        digest = hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest()
        return f"{self.side}px-{self.channels}ch-{digest}"

    @property
    def text(self) -> str:
        """JSON that says what they are."""
        return json.dumps({"format": 1, **asdict(self)}, sort_keys=True, indent=1) + "\n"


class DiskCache:
    """Images in packs in a folder, mapped into memory; every process writes packs of its own.

    Nothing is locked: see `pack`. An image that several processes decode at a time may be kept
    more than once. The limit is for all that lies in the folder, whichever side and version it was
    kept at; several writers together may exceed it by what they write in a few seconds. Whatever is
    wrong with the files, images are missed, and the reason is logged once; but a pack that
    another program cuts short while its pixels are being read ends the process, as for every
    file that is mapped into memory. A copy in another process opens the folder again.
    """

    def __init__(self, folder: Path, key: Key, limit: int | None = None) -> None:
        """Look for images. `limit` is in bytes; None is half of what is free, with those here."""
        self.folder, self.key, self._asked = folder, key, limit
        self._own = folder / key.name
        self._known = PackIndex()
        self._packs: list[Pack] = []
        self._numbers: dict[str, int] = {}
        self._writer: Writer | None = None
        self._used = self._elsewhere = 0  # bytes in the folder; of them at other sides or versions
        self._full = self._stopped = self._closed = False
        self._told: set[str] = set()
        self._next = 0.0  # when to look again
        self._count = Count()
        self._lock = threading.Lock()
        on_fork(self, DiskCache._renew)
        self.refresh()
        self.limit = (self._free() + self._used) // 2 if limit is None else limit

    def __reduce__(self) -> tuple[type["DiskCache"], tuple[Path, Key, int | None]]:
        return DiskCache, (self.folder, self.key, self._asked)

    def _renew(self) -> None:
        # In a forked process: the parent alone writes to its pack.
        self._lock = threading.Lock()
        self._end_pack()

    def get(self, identity: str) -> Picture | None:
        """Return an image, read-only uint8 `[h, w, C]`, or None if it is not kept.

        Its pixels are compared with their checksum when this process first takes it.
        """
        digest = digest_of(identity)
        picture = self._find(digest)
        if (
            picture is None
            and time.monotonic() >= self._next
            and self._lock.acquire(blocking=False)
        ):
            try:
                self._scan()
            finally:
                self._lock.release()
            picture = self._find(digest)
        self._count.add(picture is not None, picture is None)
        return picture

    def _find(self, digest: bytes) -> Picture | None:
        while (row := self._known.find(digest)) is not None:
            try:
                picture = self._packs[row.pack].picture(row.extent, self.key.channels)
            except FileNotFoundError:
                picture = None
            except OSError as error:
                self._tell("cannot be read", error)
                return None
            if picture is not None and self._right(row, picture):
                return picture
            self._known.mark(row, BAD)
            self._tell("has lost images, or holds damaged ones, which are decoded again")
        return None

    def _right(self, row: Row, picture: Picture) -> bool:
        if row.state == GOOD:
            return True
        right = checksum(picture) == row.crc
        if right:
            self._known.mark(row, GOOD)
        return right

    def put(self, identity: str, picture: Picture) -> None:
        """Keep a copy of an image if it fits; raise `InputError` for another shape or type."""
        picture = checked(picture, self.key.channels)
        digest = digest_of(identity)
        if self._stopped or self._known.find(digest) is not None:
            return
        crc = checksum(picture)
        with self._lock:
            if self._stopped or self._known.find(digest) is not None:
                return
            if self._used + picture.size > self.limit:
                self._full = True
                if self._elsewhere:
                    other = f"{self._elsewhere:,} bytes of it are of other sides or versions"
                    self._tell(f"is full at limit={self.limit:,}; {other}: remove their folders")
                return
            try:
                writer = self._writer_for(picture.size)
                record = writer.append(digest, picture, crc)
            except OSError as error:
                self._end_pack()
                self._stopped = True
                self._tell("cannot be written, so that further images are not kept", error)
                return
            self._used += picture.size
            number = self._number(writer.name)
            self._packs[number].passed()
            self._known.add(record, number, GOOD)

    def _writer_for(self, size: int) -> Writer:
        writer = self._writer
        if writer is not None and writer.size + size <= LARGEST:
            return writer
        self._end_pack()
        self._own.mkdir(parents=True, exist_ok=True)
        about = self._own / ABOUT
        if not about.exists():
            written = self._own / f".{ABOUT}-{os.getpid()}-{threading.get_ident()}"
            written.write_text(self.key.text)
            written.replace(about)
        self._writer = writer = Writer(self._own)
        return writer

    def _end_pack(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def refresh(self) -> None:
        """Look for what other processes have kept, and try to write again if that failed."""
        with self._lock:
            if not self._closed:
                self._full = self._stopped = False
                self._scan()

    def _scan(self) -> None:
        self._next = time.monotonic() + PAUSE
        if self._writer is not None and self._writer.lost:
            self._end_pack()
        try:
            self._used, self._elsewhere = self._sizes()
            with os.scandir(self._own) as entries:
                names = sorted(entry.name for entry in entries if entry.name.endswith(INDEX))
        except FileNotFoundError:  # nothing is kept yet, or it was removed
            return
        except OSError as error:
            self._tell("cannot be read", error)
            return
        for name in names:
            number = self._number(name.removesuffix(INDEX))
            try:
                records = self._packs[number].news()
            except OSError as error:
                self._tell("cannot be read in full", error)
                continue
            if len(records):
                self._known.add(records, number)

    def _sizes(self) -> tuple[int, int]:
        total = elsewhere = 0
        with os.scandir(self.folder) as folders:
            kinds = [entry for entry in folders if entry.is_dir()]
        for kind in kinds:
            with os.scandir(kind) as files:
                size = sum(file.stat().st_size for file in files if file.name.endswith(PACK))
            total += size
            elsewhere += size if kind.name != self.key.name else 0
        return total, elsewhere

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._packs)
            self._packs.append(Pack(self._own, name))
        return number

    def _free(self) -> int:
        place = self.folder.absolute()
        for folder in (place, *place.parents):
            try:
                return shutil.disk_usage(folder).free
            except OSError:
                continue
        return 0

    def _tell(self, what: str, error: OSError | None = None) -> None:
        if what not in self._told:
            self._told.add(what)
            reason = f" ({error})" if error is not None else ""
            LOG.warning("the cache of images in %s %s%s", self._own, what, reason)

    def close(self) -> None:
        """End this process's pack and let go of everything; images that are held stay valid."""
        with self._lock:
            self._closed = self._stopped = True
            self._next = float("inf")
            self._end_pack()
            self._known = PackIndex()
            for pack in self._packs:
                pack.release()

    @property
    def stats(self) -> Stats:
        """How it did so far, and what it holds."""
        count = self._count
        full = self._full or (self._stopped and not self._closed)
        return Stats(count.hits, count.misses, len(self._known), self._used, full)
