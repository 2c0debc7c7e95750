"""What `bench_scaling` leaves behind, and its tables."""

from typing import Literal

from augfeed.bench.result import Model, Spread, Stamped

PACKAGES = ("torch", "numpy", "numba", "simplejpeg", "pillow")
AXES = {
    "batch": "samples of a batch",
    "size": "side of the images that come out",
    "threads": "threads",
    "parts": "parts of the chain, one after the other",
}


class Point(Model):
    """One setting along an axis; `seconds` are those of one pass, one for each round."""

    axis: Literal["batch", "size", "threads", "parts"]
    value: str
    samples: int
    seconds: tuple[float, ...]
    rate: Spread  # images a second
    cost: float | None  # microseconds of one thread for an image, above the point before


class ScalingResult(Stamped):
    """One run."""

    schema_version: Literal[1] = 1
    suite: Literal["scaling"] = "scaling"
    title: str
    files: str
    arrays: str
    batch: int
    size: int
    rounds: int
    points: tuple[Point, ...]

    def along(self, axis: str) -> tuple[Point, ...]:
        """Return the points of an axis."""
        return tuple(point for point in self.points if point.axis == axis)


def render(result: ScalingResult) -> str:
    """Return the tables of a result as Markdown, with what it was measured on."""
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    tables = "\n\n".join(_table(result, axis) for axis in AXES)
    return (
        f"### {result.title}\n\n{tables}\n\nMedian of {result.rounds} rounds in which all points "
        "take turns, quartiles in brackets. Along the first three axes: "
        f"{result.files}, whole chain, and but for the axis batches of {result.batch}, "
        f"{result.size} pixels, {machine.threads} threads. Parts: {result.arrays}; costs are "
        f"microseconds of one thread for an image, above the line before. {machine.cores} cores "
        f"of {machine.cpu} ({machine.load:.1f} processes busy before). {versions}. {result.date}, "
        f"commit {result.commit or 'unknown'}. Command: `{result.command}`.\n"
    )


def _table(result: ScalingResult, axis: str) -> str:
    costs = axis == "parts"
    head = [AXES[axis], "images/s", *(["cost"] if costs else [])]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for point in result.along(axis):
        rate = point.rate
        cells = [point.value, f"{rate.median:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"]
        if costs:
            cells.append("" if point.cost is None else f"{point.cost:+,.0f} us")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
