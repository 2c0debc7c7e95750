"""The images of a folder with a folder for every class: found by one walk, which is kept."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augfeed.errors import InputError, ReadError
from augfeed.read.cached_listing import ProgressBar, kept, settled, stamp
from augfeed.read.skipped_files import BESIDE, HIDDEN, by_ending, is_hidden

BETWEEN = "/"  # names of files in what is kept: none has it
ROOT = -1  # the class of the folder itself


@dataclass(frozen=True, slots=True)
class Tree:
    """Images by class: `counts` says how many of `paths`, in their order, each class has.

    Without classes `counts` is empty. `skipped` says how many files and folders were left out, by
    reason.
    """

    classes: list[str]
    paths: list[str]
    counts: list[int]
    skipped: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Place:
    # A folder in the walk: its path below the root, and which folders it lies in.
    below: str
    owner: int
    above: frozenset[tuple[int, int]]


def pictures_in(folder: Path, endings: tuple[str, ...]) -> Tree:
    """Return the images of a folder, sorted as torchvision's ImageFolder does.

    Hidden files and folders are left out. The listing of a large folder is kept on disk, as long as
    no folder in it has changed. Raises `ReadError` for a folder that may not be listed, and
    `InputError` for a link that leads back to a folder which it lies in.
    """
    key = "\0".join(("folder", os.path.abspath(folder), *endings))

    def valid(found: Any) -> bool:
        return settled((os.path.join(folder, below), held) for below, _, held, _ in found["places"])

    found = kept(key, valid, lambda: _scan(folder, endings))
    classes, counts, paths = found["classes"], [0] * len(found["classes"]), []
    for below, owner, _, names in found["places"]:
        if not names or (owner == ROOT and classes):
            continue
        place = os.path.join(str(folder / below), "")
        some = [place + name for name in names.split(BETWEEN)]
        if owner != ROOT:
            counts[owner] += len(some)
        paths += some
    return Tree(classes, paths, counts, found["skipped"])


def _scan(folder: Path, endings: tuple[str, ...]) -> dict[str, Any]:
    skipped: Counter[str] = Counter()
    classes, above, first = _list_folder(folder, _Place("", ROOT, frozenset()), endings, skipped)
    if classes and first[3]:
        skipped[BESIDE], first[3] = first[3].count(BETWEEN) + 1, ""
    places = [first]
    with ProgressBar(f"listing {folder}", len(classes) or None) as shown:
        for k, name in enumerate(classes):
            places += _walk(folder, _Place(name, k, above), endings, skipped)
            shown.advance()
    return {"classes": classes, "places": places, "skipped": dict(skipped)}


def _walk(
    folder: Path, begin: _Place, endings: tuple[str, ...], skipped: Counter[str]
) -> list[list[Any]]:
    # Sorted by folder, then by name, as torchvision's ImageFolder does, so that labels and indices
    # found with one hold for the other.
    found, ahead = [], [begin]
    while ahead:
        place = ahead.pop()
        folders, above, held = _list_folder(folder, place, endings, skipped)
        found.append(held)
        ahead += [_Place(f"{place.below}/{name}", place.owner, above) for name in folders]
    return sorted(found, key=lambda held: held[0])


def _list_folder(
    folder: Path, place: _Place, endings: tuple[str, ...], skipped: Counter[str]
) -> tuple[list[str], frozenset[tuple[int, int]], list[Any]]:
    """Return the folders in a folder, where these lie, and what is kept of it: its images."""
    path = os.path.join(folder, place.below)
    folders, files = [], []
    try:
        stat = os.stat(path)  # first: what comes later changes its times
        if (inode := (stat.st_dev, stat.st_ino)) in place.above:
            raise InputError(
                f"{path!r} is a link that leads back to a folder which it lies in, so that its "
                "images would come again and again: remove the link"
            )
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if is_hidden(name):
                    skipped[HIDDEN] += 1
                elif entry.is_dir():
                    folders.append(name)
                elif name.lower().endswith(endings):
                    files.append(name)
                else:
                    _check_link(entry)
                    skipped[by_ending(name)] += 1
    except OSError as error:
        raise ReadError.of(error.filename or path, error) from error
    held = [place.below, place.owner, stamp(stat), BETWEEN.join(sorted(files))]
    return sorted(folders), place.above | {inode}, held


def _check_link(entry: os.DirEntry[str]) -> None:
    # What a link to nothing stands for cannot be known: it may be a folder of images.
    if entry.is_symlink() and not os.path.exists(entry.path):
        raise ReadError(
            f"{entry.path}: is a link to {os.readlink(entry.path)!r}, where nothing is: fix or "
            "remove the link"
        )


__all__ = ["Tree", "pictures_in"]
