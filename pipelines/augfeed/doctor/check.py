"""What a check of the draws is, and what it has at hand."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from augfeed.doctor.statistics import Measured
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.plan.batch_rows import Ids
from augfeed.policy import Policy

LEAST_P = 1e-4  # a lawful draw fails a check for one seed in 10,000
# Images so large that whole pixels are as good as real numbers.
SIDE = 60_000


@dataclass(frozen=True, slots=True)
class Check:
    """One law that the draws were held against.

    `p_value` is the probability of a `statistic` at least as large if the law holds; None where the
    statistic counts what must never occur.
    """

    name: str
    law: str
    statistic: float
    p_value: float | None
    passed: bool
    note: str = ""

    @classmethod
    def of(cls, name: str, law: str, measured: Measured) -> "Check":
        """Return the verdict on a measurement."""
        statistic, p_value = measured
        if p_value is None:
            note = f"{statistic:g} found" if statistic else ""
            return cls(name, law, statistic, None, statistic == 0, note)
        passed = p_value > LEAST_P
        note = "" if passed else f"p is not above {LEAST_P:g}: the draws do not follow the law"
        return cls(name, law, statistic, p_value, passed, note)


@dataclass(frozen=True, slots=True)
class Lab:
    """How many samples are drawn, and with which seed."""

    samples: int
    seed: int

    @property
    def ids(self) -> Ids:
        """The sample ids, int64 `[samples]`."""
        return np.arange(self.samples, dtype=np.int64)

    def plan(
        self, *operations: Any, epoch: int = 0, ids: Ids | None = None, seed: int | None = None
    ) -> Plan:
        """Return the plan of all samples under some operations, for images of `SIDE` pixels."""
        rows = BatchRows.of(self.ids if ids is None else ids)
        key = self.seed if seed is None else seed
        return draw_plan(Policy(operations), rows, seed=key, epoch=epoch, size=(SIDE, SIDE))
