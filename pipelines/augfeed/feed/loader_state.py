"""The state of a `DataLoader`: what it knows beyond torch's own, and where it stands."""

import weakref
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import Sampler

from augfeed.feed.epoch_pass import EpochPass
from augfeed.feed.lanes import Lane
from augfeed.feed.shard import Shard, rank_and_world
from augfeed.feed.shuffle import innermost
from augfeed.plan.repeats import Repeats
from augfeed.policy import Policy
from augfeed.views import Views


@dataclass(eq=False)
class LoaderState:
    """Policy, seed and lane of a loader, its newest pass and the one that comes next.

    `run` is the newest pass, `following` the next one where a state, an epoch or a position was
    given for it. `epoch` is that of the next pass if nobody gives one, `seen` the epoch that the
    sampler had when the newest pass began. `ordered` is the newest pass whose order was asked for,
    and the epoch that the sampler had then; `order_told` says whether one that gives an order twice
    was warned of. `drawn` is the number that torch drew for the newest pass.

    The loader itself is referred to weakly: one that is kept alive keeps its workers alive.
    """

    policy: Policy | None
    seed: int | None
    shard: Shard = "auto"
    lane: Lane | None = None
    epoch: int = 0
    seen: int = 0
    ordered: tuple[EpochPass, int] | None = None
    order_told: bool = False
    run: EpochPass | None = None
    following: EpochPass | None = None
    drawn: int | None = None
    views: Views | None = None
    repeats: Repeats = Repeats()  # noqa: RUF009  (frozen)
    _loader: "weakref.ref[TorchLoader[Any]] | None" = None

    def bind(self, loader: TorchLoader[Any]) -> None:
        """Make this the state of a loader."""
        self._loader = weakref.ref(loader)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loader": None}  # a copy is bound to the copy of the loader

    @property
    def loader(self) -> TorchLoader[Any]:
        """The loader, for what is torch's."""
        loader = None if self._loader is None else self._loader()
        assert loader is not None
        return loader

    @property
    def sampler(self) -> Sampler[Any]:
        """The sampler that the order of an epoch comes from."""
        return innermost(self.loader)

    @property
    def lane_name(self) -> str:
        """The way batches are made: "torch" (no policy), "general" or "native"."""
        return "torch" if self.lane is None else self.lane.name

    @property
    def rank_and_world(self) -> tuple[int, int]:
        """The rank of this process, and how many there are, for this loader."""
        return rank_and_world(self.shard)

    @property
    def iterates(self) -> bool:
        """Whether the dataset is an iterable one, whose samples have no numbers."""
        return bool(self.loader._dataset_kind)

    def asked_epoch(self) -> int:
        """Return the epoch of the next pass.

        Frameworks set the epoch of the sampler, not ours. No epoch comes twice in a row, as one
        would after an iterator that was made only to look at a batch.
        """
        epoch = getattr(self.sampler, "epoch", None)
        known = (self.seen, self.epoch - 1, -1)
        return epoch if isinstance(epoch, int) and epoch not in known else self.epoch


def length_of(sized: Any) -> int | None:
    """Return the length of a dataset or loader, or None where it does not know it.

    PyTorch asks no dataset for its length unless its user does, and `__len__` may raise anything.
    """
    try:
        return len(sized)
    except Exception:
        return None
