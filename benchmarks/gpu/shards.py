"""The outcome of checks that several processes shared, as one."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Outcomes = dict[str, dict[str, Any]]
PARTLY = re.compile(r"unfinished: (\d+) of (\d+) passed")


def write_joined(parts: Sequence[Path], out: Path) -> None:
    """Write the outcomes of some files, of those that are there, as one file."""
    found = [json.loads(path.read_text()) for path in parts if path.exists()]
    if found:
        out.write_text(json.dumps(joined(found), indent=1) + "\n")


def joined(parts: Sequence[Outcomes]) -> Outcomes:
    """Return what became of each check: the failures of all parts, or how far they came."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _joined([part[name] for part in parts if name in part]) for name in names}


def _joined(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    outcomes = [str(item["outcome"]) for item in items]
    failed = [text for text in outcomes if text.startswith("failed")]
    ended = [found for text in outcomes if (found := PARTLY.match(text))]
    outcome = outcomes[0]
    if failed:
        outcome = f"failed in {len(failed)} of {len(items)} parts: {failed[0]}"
    elif ended:
        done, rows = (sum(int(found[k]) for found in ended) for k in (1, 2))
        rest = len(items) - len(ended)
        outcome = f"unfinished: {rest} of {len(items)} parts passed, of the others {done} of {rows}"
    return {"outcome": outcome, "seconds": max(float(item["seconds"]) for item in items)}
