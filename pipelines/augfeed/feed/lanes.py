"""What the two lanes that augment have in common: see `feed.general_lane`, `feed.native_lane`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch.utils.data import DataLoader as TorchLoader

from augfeed.batch import Batch
from augfeed.engines import Output, Place
from augfeed.feed.accelerate import accelerate_device
from augfeed.feed.batch_requests import BatchRequest
from augfeed.pipeline import Form
from augfeed.policy import Policy
from augfeed.read.read_config import Reading
from augfeed.read.sources import Source
from augfeed.stage_costs import Costs
from augfeed.views import Views


class LoadedBatch(NamedTuple):
    """What the caller gets, the batch that it came from, and its request."""

    output: Any
    batch: Batch
    request: BatchRequest


@dataclass(frozen=True, slots=True)
class PassRequest:
    """What is asked of a lane: the requests of a pass, whose draws `key` (seed, epoch) names.

    `position` is where the pass begins, as a `EpochPass` counts it.
    """

    requests: Callable[[], Iterator[BatchRequest]]
    key: tuple[int, int]
    position: int
    rank: int
    world: int


class Lane(Protocol):
    """A way to make batches of requests."""

    name: str
    reason: str
    config: "AugmentConfig"

    @property
    def costs(self) -> Costs:
        """What the stages took so far."""
        ...

    @property
    def source(self) -> Source | None:
        """The dataset, if the lane reads it by itself."""
        ...

    @property
    def ended(self) -> Callable[[int], None] | None:
        """What is to be called at the end of an epoch."""
        ...

    def open(self, loader: TorchLoader[Any], asked: PassRequest) -> Iterator[LoadedBatch]:
        """Return the batches of a pass."""
        ...


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How fetched samples become a batch: what a lane is built with."""

    policy: Policy
    output: Output
    engine: str
    device: Any
    form: Form
    num_classes: int | None
    resident: bool | None = None
    reading: Reading = Reading()  # noqa: RUF009  (frozen)
    views: Views | None = None
    told_classes: int | None = None  # by the dataset, where `num_classes` is None

    @property
    def place(self) -> Place:
        """Where batches are made: on the device given, else Accelerate's, else the CPU."""
        device = self.device if self.device is not None else accelerate_device() or "cpu"
        return Place(device, self.engine, self.resident)

    def check(self) -> None:
        """Raise what would make every batch fail."""
        for policy in self.policies:
            self.output.check(policy)
        self.place.check()

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policy, or those of all views."""
        if self.views is None:
            return (self.policy,)
        return tuple(part.policy for part in self.views.parts)
