"""Batches that are planned as one, before they are needed, and made by the threads that take them.

A plan has a fixed cost in Python, which one thread at a time can run; and few batches in the making
fit the caches, where many, planned as one, do not.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic

from augfeed.batch import Batch
from augfeed.executor import Group, R, Task, Work
from augfeed.executor.cpu import cpu_together


class SharedPlan(Generic[R]):
    """The plan of some batches, drawn once, by the thread that needs it first.

    `work`, that of the `requests`, makes batches lazily.
    """

    def __init__(self, requests: Sequence[R], work: Work[R]) -> None:
        """Draw nothing yet."""
        self.requests, self._work, self._lock = requests, work, threading.Lock()
        self._group: Group[R] | None = None

    def group(self) -> Group[R]:
        """Return what makes each batch when it is taken."""
        with self._lock:
            if self._group is None:
                self._group = self._work.run()
            return self._group

    def draw(self) -> None:
        """Draw it now; who takes a batch of a plan that cannot be drawn gets the error."""
        with suppress(Exception):
            self.group()


class PartWork(Generic[R]):
    """Some batches of a plan, made by one task; beside it another one may draw the next plan."""

    def __init__(self, plan: SharedPlan[R], part: slice, after: SharedPlan[R] | None) -> None:
        """Make nothing yet."""
        self._plan, self._part, self._after = plan, part, after
        self._made: list[Batch] = []

    @property
    def tasks(self) -> Sequence[Task]:
        """What may run side by side."""
        return [self._run] if self._after is None else [self._run, self._after.draw]

    def _run(self) -> None:
        group = self._plan.group()
        self._made = [group.take(k) for k in range(len(group))[self._part]]

    def run(self) -> "MadeBatches[R]":
        """Return the batches, made in this thread."""
        for task in self.tasks:
            task()
        return self.finish()

    def finish(self) -> "MadeBatches[R]":
        """Return the batches, once all tasks have run."""
        return MadeBatches(self._plan.requests[self._part], self._made)


@dataclass(frozen=True, slots=True)
class MadeBatches(Generic[R]):
    """Batches that are finished."""

    requests: Sequence[R]
    batches: list[Batch]

    def __len__(self) -> int:
        return len(self.requests)

    def take(self, k: int) -> Batch:
        """Return batch `k`."""
        return self.batches[k]


def planned_ahead(
    groups: Iterator[Sequence[R]], work: Callable[[Sequence[R]], Work[R]], size: int
) -> Iterator[PartWork[R]]:
    """Yield the work of batches in parts; those of a group are planned as one, by `work`, lazily.

    While the first batches of a plan are made the next one is drawn. `size` is the bytes of an
    image that comes out. An error of `groups` comes after the batches before it.
    """
    plans, error = (SharedPlan(group, work(group)) for group in groups), None
    plan, after = next(plans, None), None
    while plan is not None:
        try:
            after = next(plans, None)
        except Exception as caught:
            after, error = None, caught
        requests = plan.requests
        each = cpu_together(requests[0].rows.count, size)
        for first in range(0, len(requests), each):
            yield PartWork(plan, slice(first, first + each), None if first else after)
        if error is not None:
            raise error
        plan = after
