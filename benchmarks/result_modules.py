"""The table of what `benchmarks.gpu.modules` leaves behind."""

from collections.abc import Mapping
from typing import Any


def render(found: Mapping[str, Any]) -> str:
    """Return the table of a result as Markdown, with what it was measured on."""
    lines = ["| what | images | device, ms | host, ms | epochs, s |",
             "| --- | ---: | ---: | ---: | --- |"]  # fmt: skip
    lines += [_row(name, answer) for name, answer in found["rows"].items()]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    device = found["device"]
    where = device["name"] + (f", driver {device['driver']}" if device.get("driver") else "")
    return (
        "### Batches that are on the GPU, masks, views\n\n" + "\n".join(lines) + "\n\n"
        "Times of a batch, the least of several; of views, three epochs, the first of which "
        f"compiles. {where}. {versions}. {found['date']}, commit {found['commit'] or 'unknown'}. "
        "Command: `python -m benchmarks.gpu.modules`.\n"
    )


def _row(name: str, answer: Any) -> str:
    if isinstance(answer, str):
        return f"| {name} | {answer} | | | |"
    times = [answer.get(key, "") for key in ("images", "device, ms", "host, ms")]
    epochs = ", ".join(str(each) for each in answer.get("epochs, s", ()))
    return f"| {name} | {' | '.join(map(str, times))} | {epochs} |"
