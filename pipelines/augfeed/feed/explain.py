"""`DataLoader.explain`: which lane, why, and what each stage runs on and costs."""

from typing import Any


def explained(loader: Any) -> str:
    """Return some lines for people."""
    if loader.lane == "torch":
        return "lane: torch (no policy is given, so everything is torch's DataLoader)"
    lane = loader._lane
    lines = [f"lane: {lane.name} ({lane.reason})"]
    return "\n".join(lines)
