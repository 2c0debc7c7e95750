"""What `bench_probe` leaves behind, and its table."""

import math
import statistics
from typing import Literal

from augfeed.bench.result import Model, Stamped

PACKAGES = ("torch", "numpy", "numba")


class Pair(Model):
    """One seed: accuracies of probes of an encoder, before it was trained and after."""

    seed: int
    nearest_before: float
    nearest_after: float
    linear_before: float
    linear_after: float
    loss_first: float
    loss_last: float
    seconds: float


class ProbeResult(Stamped):
    """One run."""

    schema_version: Literal[1] = 1
    suite: Literal["probe"] = "probe"
    data: str
    objective: str
    model: str
    images: int
    test_images: int
    epochs: int
    batch: int
    pairs: tuple[Pair, ...]


def gained(before: list[float], after: list[float]) -> tuple[float, float]:
    """Return the mean of paired differences and its standard error."""
    gains = [late - early for early, late in zip(before, after, strict=True)]
    return statistics.fmean(gains), statistics.stdev(gains) / math.sqrt(len(gains))


def render(result: ProbeResult) -> str:
    """Return the table of a result as Markdown, with what it was measured on."""
    pairs, lines = result.pairs, []
    for title, name in (("linear classifier", "linear"), ("20 nearest neighbors", "nearest")):
        before = [getattr(pair, f"{name}_before") for pair in pairs]
        after = [getattr(pair, f"{name}_after") for pair in pairs]
        gain, error = gained(before, after)
        lines.append(
            f"| {title} | {statistics.fmean(before):.2%} | {statistics.fmean(after):.2%} | "
            f"{100 * gain:+.2f} points, standard error {100 * error:.2f} ({gain / error:.1f} of "
            "them) |"
        )
    head = "| probe | untrained | trained | gain by paired seeds |\n|---|---:|---:|---:|"
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return (
        f"### What {result.objective} learns without labels\n\n{head}\n" + "\n".join(lines) + "\n\n"
        f"{result.data}, {result.images} images, {result.test_images} of the test part; "
        f"`{result.model}`, {result.epochs} epochs, batches of {result.batch}, {len(pairs)} seeds. "
        f"{versions}. {result.date}, commit {result.commit or 'unknown'}. "
        f"Command: `{result.command}`.\n"
    )
