"""What a measurement leaves behind: raw times, what follows from them, and where it was made."""

import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from augfeed.errors import InputError


class Model(BaseModel):
    """Frozen, and without fields that are not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(Model):
    """The median of some numbers, with the quartiles below and above."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one number."""
        if len(values) == 1:
            return cls(median=values[0], low=values[0], high=values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median=median, low=low, high=high)


class Shape(NamedTuple):
    """Images of a batch, their channels, height and width."""

    batch: int
    channels: int
    height: int
    width: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shape that a text such as `64x3x224x224` names, or raise `InputError`."""
        parts = text.lower().split("x")
        if len(parts) != 4 or not all(part.isdecimal() and int(part) for part in parts):
            raise InputError(f"shape={text!r} is not a BATCHxCxHxW: write it as 64x3x224x224")
        shape = cls(*map(int, parts))
        if shape.channels not in (1, 3):
            raise InputError(f"shape={text!r} has {shape.channels} channels: use 1 or 3")
        return shape

    @property
    def name(self) -> str:
        """The shape as a text, `64x3x224x224`."""
        return "x".join(map(str, self))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def values(self) -> int:
        """The number of values of a batch."""
        return self.batch * self.channels * self.height * self.width


class Machine(Model):
    """Where it was measured. `load` is the number of busy processes just before."""

    cpu: str
    cores: int
    threads: int
    system: str
    load: float


class Stamped(Model):
    """When and where a result was made, by which code."""

    date: str
    command: str
    commit: str | None
    machine: Machine
    versions: dict[str, str]


class Device(Model):
    """What the images lay on; `driver` is that of a GPU, `cache` its last level in bytes."""

    kind: str
    name: str
    driver: str | None
    memory: int | None
    cache: int


class Copy(Model):
    """Copies of a large buffer within the device; `moved` is the bytes read and written by one."""

    moved: int
    seconds: tuple[float, ...]
    bandwidth: Spread  # bytes/s

    @classmethod
    def of(cls, moved: int, seconds: Sequence[float]) -> "Copy":
        """Return what the times of some copies say."""
        rates = [moved / taken for taken in seconds]
        return cls(moved=moved, seconds=tuple(seconds), bandwidth=Spread.of(rates))


class KernelRow(Model):
    """One chain at one shape.

    `moved` is the bytes that must move: every input image read once, every output written once.
    `seconds` are those of the pass for one batch, with a plan that is ready; an engine that does
    not tell the two apart (`timed="apply"`) gives the times of its whole `apply`. `whole` are those
    of one batch from drawing its plan to its pixels; `host` those of them that this process is
    busy, on a GPU alone. `sets` batches take turns, and one time is the mean over `launches`
    batches.
    """

    chain: str
    policy: str
    shape: Shape
    moved: int
    sets: int
    timed: Literal["pass", "apply"]
    launches: int
    seconds: tuple[float, ...]
    whole: tuple[float, ...]
    host: tuple[float, ...] = ()
    time: Spread
    share: float  # of the bandwidth of a copy
    rate: Spread  # images/s, of the pass
    whole_rate: Spread

    @classmethod
    def of(
        cls,
        chain: "Timed",
        seconds: Sequence[float],
        whole: Sequence[float],
        bandwidth: float,
        host: Sequence[float] = (),
    ) -> "KernelRow":
        """Return what the times of a chain say."""
        time, batch = Spread.of(seconds), chain.shape.batch
        return cls(
            chain=chain.name,
            policy=chain.policy,
            shape=chain.shape,
            moved=chain.moved,
            sets=chain.sets,
            timed=chain.timed,
            launches=chain.launches,
            seconds=tuple(seconds),
            whole=tuple(whole),
            host=tuple(host),
            time=time,
            share=chain.moved / time.median / bandwidth,
            rate=Spread.of([batch / taken for taken in seconds]),
            whole_rate=Spread.of([batch / taken for taken in whole]),
        )


class Timed(NamedTuple):
    """What was timed: a chain at a shape, and how."""

    name: str
    policy: str
    shape: Shape
    moved: int
    sets: int
    timed: Literal["pass", "apply"]
    launches: int


class KernelResult(Stamped):
    """One run of `augfeed bench kernel`. `checked` names the engine that the pixels agreed with."""

    schema_version: Literal[1] = 1
    suite: Literal["engine"] = "engine"
    device: Device
    engine: str
    checked: str | None
    dtype: str
    channels_last: bool
    repeats: int
    copied: Copy
    rows: tuple[KernelRow, ...]

    def row(self, chain: str, shape: Shape) -> KernelRow:
        """Return the row of a chain at a shape."""
        return next(row for row in self.rows if (row.chain, row.shape) == (chain, shape))
