"""What the benchmark of the kernel leaves behind: augfeed's own figures, and those of others."""

from typing import Literal

from augfeed.bench.result import KernelResult, Model, Shape, Spread
from benchmarks.result import Ratio

# Whom others are compared with, and the same with a plan that is ready.
WHOLE, PASS, LOADER = "augfeed", "augfeed_pass", "augfeed_loader"


class Standing(Model):
    """One contestant at one chain and shape.

    `seconds` are those of one batch, in the mean over `batches` and as waited for, one for each
    round. `slower` is its time over augfeed's from drawing the plan to the pixels;
    `slower_than_pass` over that of the pass alone, its plan being ready; `slower_than_loader`, on
    a GPU, over that of augfeed's loader.
    """

    chain: str
    shape: Shape
    name: str
    title: str
    differs: str
    batches: int
    seconds: tuple[float, ...]
    rate: Spread  # images/s
    slower: Ratio
    slower_than_pass: Ratio
    slower_than_loader: Ratio | None = None


class LeftOut(Model):
    """A contestant that is not compared, and why; without chain and shape: nowhere."""

    name: str
    reason: str
    chain: str | None = None
    shape: Shape | None = None


class KernelContest(Model):
    """One run of `benchmarks.bench_kernel`; `engine` is what `augfeed bench kernel` measures."""

    schema_version: Literal[1] = 1
    suite: Literal["kernel"] = "kernel"
    title: str
    rounds: int
    versions: dict[str, str]
    engine: KernelResult
    rows: tuple[Standing, ...]
    left_out: tuple[LeftOut, ...]

    def find(self, chain: str, shape: Shape, name: str) -> Standing | None:
        """Return the row of a contestant, or None where there is none."""
        wanted = (chain, shape, name)
        return next((row for row in self.rows if (row.chain, row.shape, row.name) == wanted), None)
