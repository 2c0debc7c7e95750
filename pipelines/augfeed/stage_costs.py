"""What the stages of a pipeline take, added up while they run."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Costs:
    """Seconds and samples of each stage; stages may run in any thread."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.stages: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def add(self, stage: str, seconds: float, samples: int) -> None:
        """Add what a stage took for some samples."""
        with self._lock:
            before = self.stages.get(stage, (0.0, 0))
            self.stages[stage] = before[0] + seconds, before[1] + samples

    @contextmanager
    def of(self, stage: str, samples: int) -> Iterator[None]:
        """Add what a block takes; nothing if it fails."""
        begun = time.perf_counter()
        yield
        self.add(stage, time.perf_counter() - begun, samples)

    def each(self, stage: str) -> float | None:
        """Return the seconds that a stage takes for a sample, None if it has not run."""
        seconds, samples = self.stages.get(stage, (0.0, 0))
        return seconds / samples if samples else None

    def __reduce__(self) -> tuple[type["Costs"], tuple[()]]:
        return Costs, ()  # a copy, in another process too, has cost nothing yet
