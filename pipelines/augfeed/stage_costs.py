"""What the batches of a loader take: the time of each stage, and what callers wait for."""

import threading
import time
from dataclasses import astuple, dataclass
from types import TracebackType


@dataclass(frozen=True, slots=True)
class LoaderStats:
    """What the batches of a loader have taken so far, in all passes together; times in seconds.

    `exposed` is what callers waited in `next`, the time that a training loop loses. `host` is the
    part of it in which the thread that called computed: without workers the stages are in it. The
    stages count wherever they ran, for batches that are yet to be given, too: `plan` draws random
    decisions, `read` makes frames of files or samples, `augment` runs the engine (on a GPU: queues
    it), `targets` makes targets of labels. Threads and processes run side by side, so that stages
    may take longer than callers wait.
    """

    batches: int = 0
    samples: int = 0
    exposed: float = 0.0
    host: float = 0.0
    plan: float = 0.0
    read: float = 0.0
    augment: float = 0.0
    targets: float = 0.0

    @property
    def exposed_per_batch(self) -> float:
        """Seconds that a caller waited for a batch, on average; 0 without batches."""
        return self.exposed / self.batches if self.batches else 0.0

    @property
    def host_per_batch(self) -> float:
        """Seconds that the calling thread computed for a batch, on average; 0 without batches."""
        return self.host / self.batches if self.batches else 0.0

    def since(self, before: "LoaderStats") -> "LoaderStats":
        """Return what has come since an earlier look at the same loader."""
        return LoaderStats(*(a - b for a, b in zip(astuple(self), astuple(before), strict=True)))


class Costs:
    """Seconds and samples of each stage, which may run in any thread, and of batches given."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.stages: dict[str, tuple[float, int]] = {}
        self._given = 0, 0, 0.0, 0.0
        self._lock = threading.Lock()

    def add(self, stage: str, seconds: float, samples: int) -> None:
        """Add what a stage took for some samples."""
        with self._lock:
            before = self.stages.get(stage, (0.0, 0))
            self.stages[stage] = before[0] + seconds, before[1] + samples

    def of(self, stage: str, samples: int) -> "Timed":
        """Add what a block takes; nothing if it fails."""
        return Timed(self, stage, samples)

    def gave(self, samples: int, exposed: float, host: float) -> None:
        """Count a batch: the seconds that its caller waited, and computed meanwhile."""
        with self._lock:
            given = self._given
            self._given = (given[0] + 1, given[1] + samples, given[2] + exposed, given[3] + host)

    def each(self, stage: str) -> float | None:
        """Return the seconds that a stage takes for a sample, None if it has not run."""
        seconds, samples = self.stages.get(stage, (0.0, 0))
        return seconds / samples if samples else None

    def stats(self) -> LoaderStats:
        """Return all of it."""
        with self._lock:
            plan, read, augment, targets = (
                self.stages.get(stage, (0.0, 0))[0]
                for stage in ("plan", "read", "augment", "targets")
            )
            return LoaderStats(*self._given, plan, read, augment, targets)

    def __reduce__(self) -> tuple[type["Costs"], tuple[()]]:
        return Costs, ()  # a copy, in another process too, has cost nothing yet


class Timed:
    """A block of a stage, whose time is added once it has run."""

    __slots__ = ("_begun", "_costs", "_samples", "_stage")

    def __init__(self, costs: Costs, stage: str, samples: int) -> None:
        """Take what to add to."""
        self._costs, self._stage, self._samples = costs, stage, samples
        self._begun = 0.0

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if kind is None:
            self._costs.add(self._stage, time.perf_counter() - self._begun, self._samples)
