"""Files that a listing leaves out: how many, and why."""

import logging
import os
import re
from collections.abc import Mapping

LOG = logging.getLogger("augfeed")
HIDDEN = "hidden"
BESIDE = "images beside the class folders"
SHOWN = 6  # reasons that a text names
# Folders and files that an operating system or a storage adds to those of people.
_OF_SYSTEMS = frozenset(
    ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")
)
_MAY_HIDE = re.compile("|".join((r"(?:^|/)\.", *map(re.escape, sorted(_OF_SYSTEMS)))))
# Endings of what is often kept beside images and is none: no reason to warn.
_NO_PICTURES = frozenset(
    (".csv", ".db", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".npy", ".npz", ".pdf",
     ".pkl", ".py", ".sh", ".tsv", ".txt", ".xml", ".yaml", ".yml")
)  # fmt: skip


def is_hidden(name: str) -> bool:
    """Whether a file or folder is left out by its name.

    So is one that begins with a dot, and what macOS, Windows, Synology and ext4 add: `__MACOSX`,
    `$RECYCLE.BIN`, `System Volume Information`, `@eaDir`, `lost+found`.
    """
    return name.startswith(".") or name in _OF_SYSTEMS


def lies_hidden(path: str) -> bool:
    """Whether a path, with slashes, is left out by the name of a folder or file in it."""
    return bool(_MAY_HIDE.search(path)) and any(
        is_hidden(part) and part not in (".", "..") for part in path.split("/")
    )


def by_ending(name: str) -> str:
    """Return the reason for which a file of no known ending is left out."""
    ending = os.path.splitext(name)[1].lower()
    return f"of ending {ending!r}" if ending else "without ending"


def summary(skipped: Mapping[str, int]) -> str:
    """Return how many files were left out, and why, for people; empty if none was."""
    if not skipped:
        return ""
    reasons = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{count:,} {reason}" for reason, count in reasons[:SHOWN]]
    if rest := sum(count for _, count in reasons[SHOWN:]):
        parts.append(f"{rest:,} for other reasons")
    return f"left out: {', '.join(parts)}"


def tell(place: str, skipped: Mapping[str, int]) -> None:
    """Log what was left out: a warning if there may be images among it, else for information."""
    if not skipped:
        return
    quiet = {HIDDEN, *(by_ending(f"x{ending}") for ending in _NO_PICTURES)}
    level = logging.INFO if skipped.keys() <= quiet else logging.WARNING
    LOG.log(level, "%s: %s", place, summary(skipped))


__all__ = ["BESIDE", "HIDDEN", "by_ending", "is_hidden", "lies_hidden", "summary", "tell"]
