"""What lies in a tar shard: its members, made into samples of an image and a label."""

import json
import os
import posixpath
import tarfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from augfeed.errors import InputError, ReadError
from augfeed.read.folder import EXTENSIONS
from augfeed.read.regular_file import open_regular
from augfeed.read.skipped_files import HIDDEN, lies_hidden

BLOCK = 512  # bytes of a tar header
CHUNK = 1 << 20
LONGEST = {"cls": 1 << 16, "json": 1 << 26}  # bytes of a member that holds a label
HIGHEST = (1 << 31) - 1  # class number
DIGITS = 20  # of a class number as text, zeros in front included
SHOWN = 20  # bytes of a label that an error shows
LINKS = 8  # followed from one to the next
_KEYS = ("label", "cls", "class")  # of JSON


class Member(NamedTuple):
    """A sample of a shard: where its image lies, its label (-1: none), its name in the shard."""

    offset: int
    size: int
    label: int
    name: str


@dataclass
class Found:
    """What a shard holds.

    `beside` counts the members of other endings in samples that have an image, `skipped` what was
    left out, by reason; `orphan` is the name of a label whose sample has no image, or empty.
    """

    members: list[Member]
    beside: dict[str, int]
    skipped: dict[str, int]
    orphan: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Which members of a sample hold its image and its label, by their endings; None: the usual.

    `image` may name several, as "jpg;png": the first that a sample has. `label` may also be the
    name of a field of a `.json` member, or of one in another, as "meta.label".
    """

    image: str | None = None
    label: str | None = None
    labelled: bool = True  # whether labels are looked for

    @property
    def images(self) -> list[str]:
        """The endings of images, the first that a sample has."""
        if self.image is None:
            return []
        return [ending.strip().lstrip(".").lower() for ending in self.image.split(";")]


class _Part(NamedTuple):
    # A member: `ending` is all that follows the key, `run` changes with the key, `turn` counts.
    ending: str
    offset: int
    size: int
    name: str
    run: int
    turn: int

    @property
    def kind(self) -> str:
        return self.ending.rpartition(".")[2]

    @property
    def shown(self) -> bool:
        return f".{self.kind}" in EXTENSIONS


def members_of(shard: str, keys: Keys) -> Found:
    """Return the samples of a shard, in the order of their images.

    Members of one key are one sample, wherever they lie; if a key's samples are repeated whole,
    each is one. Raises `ReadError` for a shard that is damaged or cut short, `InputError` for
    members that make up no samples, and for what should be a label and is none.
    """
    skipped: Counter[str] = Counter()
    try:
        with open(shard, "rb", opener=open_regular) as file:
            groups = _groups(shard, file, keys, skipped)
            samples = [
                _Sample(shard, key, parts, keys, file.fileno())
                for key, group in groups.items()
                for parts in _apart(shard, key, group, keys)
            ]
            return _found(samples, skipped)
    except tarfile.ReadError as error:
        cure = "fetch it again; a compressed shard must be unpacked first"
        raise ReadError(f"{shard}: is not a tar file, or is damaged ({error}): {cure}") from error
    except OSError as error:
        raise ReadError.of(shard, error) from error


def _found(samples: "list[_Sample]", skipped: Counter[str]) -> Found:
    made, beside, orphan = [], Counter[str](), ""
    for sample in samples:
        picture = sample.picture()
        if picture is None:
            endings = " ".join(sorted({f".{part.ending}" for part in sample.parts}))
            skipped[f"without an image ({endings})"] += 1
            orphan = orphan or sample.orphan()
            continue
        label, used = sample.label()
        beside.update(f".{part.kind}" for part in sample.parts if part not in (picture, used))
        made.append((picture.turn, Member(picture.offset, picture.size, label, picture.name)))
    return Found([member for _, member in sorted(made)], dict(beside), dict(skipped), orphan)


# Members to parts of samples


def _groups(shard: str, file: Any, keys: Keys, skipped: Counter[str]) -> dict[str, list[_Part]]:
    groups: dict[str, list[_Part]] = {}
    with tarfile.open(fileobj=file, mode="r:") as archive:
        members = [member for member in archive if not member.isdir()]
        _check_end(shard, file, archive.offset)
    links = {_plain(member.name): member for member in members} if _links(members) else {}
    run, last = -1, None
    for turn, member in enumerate(members):
        name = _plain(member.name)
        if lies_hidden(name):
            skipped[HIDDEN] += 1
            continue
        key, ending = _split(name)
        if not member.isreg() or member.issparse():
            if not _wanted(ending, keys):
                continue
            target = _resolved(shard, member, links)
        else:
            target = member
        run, last = run + (key != last), key
        part = _Part(ending, target.offset_data, target.size, member.name, run, turn)
        groups.setdefault(key, []).append(part)
    return groups


def _check_end(shard: str, file: Any, offset: int) -> None:
    # tarfile takes a broken header for the end; two blocks of zeros are it, and zeros follow.
    file.seek(offset)
    block = file.read(BLOCK)
    if len(block) < BLOCK or block.strip(b"\0"):
        raise ReadError(f"{shard}: is damaged or cut short at byte {offset}: fetch the shard again")
    while rest := file.read(CHUNK):
        if rest.strip(b"\0"):
            raise ReadError(
                f"{shard}: goes on behind its end at byte {offset}, as shards joined by cat do, "
                "and what lies there would not be read: give the shards as a list, or join them "
                "with tar --concatenate"
            )


def _plain(name: str) -> str:
    return posixpath.normpath(name) if "./" in name or "//" in name else name


def _split(name: str) -> tuple[str, str]:
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return folder + slash + stem, ending.lower()


def _wanted(ending: str, keys: Keys) -> bool:
    kind = ending.rpartition(".")[2]
    usual = f".{kind}" in EXTENSIONS or kind in LONGEST
    return usual or ending in keys.images or ending == keys.label


def _links(members: Iterable[tarfile.TarInfo]) -> bool:
    return any(member.islnk() or member.issym() for member in members)


def _resolved(
    shard: str, member: tarfile.TarInfo, names: dict[str, tarfile.TarInfo]
) -> tarfile.TarInfo:
    """Return the file that a link stands for; raise `InputError` for what is not a file."""
    found: tarfile.TarInfo | None = member
    for _ in range(LINKS):
        if found is None or not (found.islnk() or found.issym()):
            break
        folder = posixpath.dirname(found.name) if found.issym() else ""
        found = names.get(posixpath.normpath(posixpath.join(folder, found.linkname)))
    if found is None or not found.isreg() or found.issparse():
        what = f"a link to {member.linkname!r}, which is none of its files"
        raise InputError(
            f"{shard}: {member.name!r} is {what if member.linkname else 'no plain file'}: pack "
            "the shard with tar --dereference and without --sparse"
        )
    return found


def _apart(shard: str, key: str, parts: list[_Part], keys: Keys) -> list[list[_Part]]:
    """Return the samples that members of one key make up: one, unless they are repeated whole."""
    if len({part.ending for part in parts}) == len(parts):
        return [parts]
    runs: dict[int, list[str]] = {}
    for part in parts:
        if _wanted(part.ending, keys):
            runs.setdefault(part.run, []).append(part.ending)
    counts = Counter(ending for run in runs.values() for ending in run)
    if counts.total() == len(counts):
        return [parts]
    kinds = [sorted(run) for run in runs.values()]
    if all(kind == kinds[0] for kind in kinds) and len(set(kinds[0])) == len(kinds[0]):
        return [[part for part in parts if part.run == run] for run in runs]
    ending = next(part.ending for part in parts if counts[part.ending] > 1)
    one, other = [part.name for part in parts if part.ending == ending][:2]
    both = f"{one!r} twice" if one == other else f"{one!r} and {other!r}"
    raise InputError(
        f"{shard}: {key!r} has {both} in one sample: give each member a name of its own"
    )


# Parts to an image and a label


@dataclass(frozen=True, slots=True)
class _Sample:
    shard: str
    key: str
    parts: list[_Part]
    keys: Keys
    file: int

    def picture(self) -> _Part | None:
        """Return the member that is the image; raise `InputError` if it cannot be determined."""
        known = [part for part in self.parts if part.shown]
        if self.keys.image is None:
            if len(known) > 1:
                raise InputError(
                    f"{self.shard}: {self.key!r} has two images, {known[0].name!r} and "
                    f"{known[1].name!r}: choose with image_key={known[0].ending!r}, or give each "
                    "sample one"
                )
            return known[0] if known else None
        for ending in self.keys.images:
            for part in self.parts:
                if part.ending == ending:
                    return part
        if known:
            raise InputError(
                f"{self.shard}: {self.key!r} has no member for image_key={self.keys.image!r}, but "
                f"{[part.name for part in known]!r}: name the ending of each sample's image, "
                f"such as image_key={f'{self.keys.image};{known[0].ending}'!r}"
            )
        return None

    def label(self) -> tuple[int, _Part | None]:
        """Return the class number, -1 without one, and the member that holds it."""
        if not self.keys.labelled:
            return -1, None
        if self.keys.label is not None:
            return self._asked(self.keys.label)
        for kind in LONGEST:
            held = [(self._number(part), part) for part in self.parts if part.kind == kind]
            held = [(number, part) for number, part in held if number >= 0]
            if len({number for number, _ in held}) > 1:
                (one, first), (other, second) = held[0], held[1]
                raise InputError(
                    f"{self.shard}: {self.key!r} has two labels, {one} in {first.name!r} and "
                    f"{other} in {second.name!r}: choose with label_key={first.ending!r}"
                )
            if held:
                return held[0]
        return -1, None

    def orphan(self) -> str:
        """Return the name of a member that holds a label, empty if there is none."""
        try:
            used = self.label()[1]
        except InputError:
            return next((part.name for part in self.parts if part.kind == "cls"), "")
        return used.name if used else ""

    def _asked(self, key: str) -> tuple[int, _Part | None]:
        for part in self.parts:
            if part.ending == key.lstrip(".").lower():
                return self._number(part), part
        for part in self.parts:
            if part.kind == "json":
                value = _field(self._json(part), key)
                if value is not None:
                    return self._checked(part, value), part
        return -1, None

    def _number(self, part: _Part) -> int:
        # -1: JSON of other facts.
        value = self._json(part)
        if part.kind == "json" and value is None:
            return -1
        if part.kind == "json" and isinstance(value, dict):
            known = [value[key] for key in _KEYS if value.get(key) is not None]
            numbers = [item for item in known if _is_number(item)]
            if not known:
                return -1
            value = (numbers or known)[0]
        return self._checked(part, value)

    def _json(self, part: _Part) -> Any:
        most = LONGEST.get(part.kind, LONGEST["cls"])
        if part.size > most:
            raise InputError(
                f"{self.shard}: {part.name!r} has {part.size:,} bytes, more than the {most:,} that "
                "are read for a label: put the class number into a member of its own, .cls"
            )
        data = self._read(part, part.size)
        if part.kind != "json" and (text := data.strip()).isdigit() and len(text) <= DIGITS:
            return int(text)  # also with zeros in front, which JSON has not
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            return self._checked(part, None)

    def _checked(self, part: _Part, value: Any) -> int:
        if _is_number(value):
            return int(value)
        raise InputError(
            f"{self.shard}: {part.name!r} holds {self._read(part, SHOWN)!r}, which is not a class "
            f"number: write a number from 0 to {HIGHEST}"
        )

    def _read(self, part: _Part, most: int) -> bytes:
        return os.pread(self.file, min(part.size, most), part.offset)


def _field(value: Any, key: str) -> Any:
    # "a.b" is the field "b" in the field "a", unless a field has just this name.
    if not isinstance(value, dict):
        return None
    if value.get(key) is not None:
        return value[key]
    outer, dot, inner = key.partition(".")
    return _field(value.get(outer), inner) if dot else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST


__all__ = ["Found", "Keys", "Member", "members_of"]
