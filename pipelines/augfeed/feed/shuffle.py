"""Random orders: torch's own, or a pure function of seed and epoch."""

from collections.abc import Iterable, Iterator, Sized
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler, SequentialSampler
from torch.utils.data.distributed import DistributedSampler

from augfeed.read.order import epoch_order
from augfeed.whole_number import whole_number


class InOrder(SequentialSampler):
    """A `torch.utils.data.SequentialSampler` that frameworks can tell which epoch begins.

    The order is the same in each, the augmentation is not.
    """

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` that of the next iterator."""
        self.epoch = whole_number("epoch", epoch, 0)


class Shuffle(RandomSampler):
    """A `torch.utils.data.RandomSampler` that can also be a pure function of seed and epoch.

    With `seed`, epoch `e` has the order `augfeed.read.order.epoch_order(len, seed, e)`; without,
    everything is torch's. `set_epoch` makes an epoch that of the next iterator; each iterator is
    the next epoch otherwise.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
        *,
        seed: int | None = None,
    ) -> None:
        """Take torch's arguments, and `seed`, in [0, 2**64)."""
        super().__init__(data_source, replacement, num_samples, generator)
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` that of the next iterator."""
        self.epoch = whole_number("epoch", epoch, 0)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of an epoch, int64 `[N]`; there must be a seed."""
        assert self.seed is not None
        return epoch_order(len(self.data_source), seed=self.seed, epoch=epoch, shuffle=True)

    def __iter__(self) -> Iterator[int]:
        if self.seed is None:
            return super().__iter__()
        epoch, self.epoch = self.epoch, self.epoch + 1
        return iter(self.order(epoch).tolist())


class Replay(Sampler[int]):
    """One pass over a random sampler of torch's kind that says what its order came from.

    `token` is the seed that a sampler without a generator draws, known once the pass has begun;
    given, it brings the same order again.
    """

    def __init__(self, sampler: RandomSampler, token: int | None = None) -> None:
        """Wrap a sampler; nothing is drawn yet."""
        self.sampler, self.token = sampler, token

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        yield from _like(self.sampler, self._generator())

    def order(self) -> NDArray[np.int64]:
        """Return the indices of the pass all at once, which takes a tenth of the time."""
        return drawn(self.sampler, self._generator())

    def foresee(self) -> None:
        """Decide now on the order of a pass that has not begun, and draw nothing for it."""
        if self.sampler.generator is None and self.token is None:
            before = torch.get_rng_state()
            self.token = _drawn_seed()
            torch.set_rng_state(before)

    def _generator(self) -> torch.Generator:
        generator: torch.Generator | None = self.sampler.generator
        if generator is not None and self.token is None:
            return generator
        if generator is None:
            # Drawn as torch does, even where the order is known: the next epoch has its own then.
            seed = _drawn_seed()
            self.token = seed if self.token is None else self.token
        assert self.token is not None
        return torch.Generator().manual_seed(self.token)


def _drawn_seed() -> int:
    return int(torch.empty((), dtype=torch.int64).random_().item())


def innermost(loader: DataLoader[Any]) -> Sampler[Any]:
    """Return the sampler that the order of a loader comes from, that of a batch sampler if any."""
    outer: Any = loader.sampler
    sampler: Sampler[Any] = getattr(loader.batch_sampler, "sampler", outer)
    return sampler


def foreseen(batches: Iterable[Any] | None) -> bool:
    """Return whether a batch sampler cuts an order of torch's or ours: code of the user's, that may
    want to see what was made of a batch before it gives the next, has no part in it."""
    orders = (SequentialSampler, InOrder, RandomSampler, Shuffle, DistributedSampler)
    return type(batches) is BatchSampler and type(batches.sampler) in orders


def drawn(sampler: RandomSampler, generator: torch.Generator) -> NDArray[np.int64]:
    """Return the indices that a sampler like this one gives with a generator, int64.

    The generator is left as the sampler would leave it.
    """
    count = len(sampler.data_source)
    if sampler.replacement or len(sampler) != count:
        return np.fromiter(_like(sampler, generator), np.int64)
    permuted = partial(torch.randperm, count, generator=generator)  # noqa: TID251 (as torch does)
    order: NDArray[np.int64] = permuted().numpy()
    permuted()  # torch's sampler draws one for the remainder, too
    return order


def _like(sampler: RandomSampler, generator: torch.Generator) -> RandomSampler:
    return RandomSampler(sampler.data_source, sampler.replacement, sampler._num_samples, generator)
