"""The rows of batches of a known order, for every rank: those of `batch_positions`."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed.feed.batch_requests import Pass, Split, known_tickets
from augfeed.plan import BatchRows
from augfeed.read.order import batch_positions, epoch_order


@settings(deadline=None)
@given(
    length=st.integers(1, 70), batch_size=st.integers(1, 20), world=st.integers(1, 5),
    drop_last=st.booleans(), mixing=st.booleans(),
)  # fmt: skip
def test_a_rank_is_asked_for_the_positions_of_its_batches(
    length: int, batch_size: int, world: int, drop_last: bool, mixing: bool
) -> None:
    order = epoch_order(length, seed=3, epoch=1, shuffle=True)
    for rank in range(world):
        split = Split(batch_size, drop_last, rank, world)
        requests = list(known_tickets(order, split, Pass(0, 0, 0, mixing)))
        assert len(requests) == split.steps(length)
        for step, request in enumerate(requests):
            positions = batch_positions(
                length, batch_size=batch_size, step=step, rank=rank, world=world,
                drop_last=drop_last,
            )  # fmt: skip
            wanted = BatchRows.at(positions, order, mixing=mixing)
            assert request.step == step
            for name in ("ids", "groups", "slots", "count", "first"):
                assert np.array_equal(getattr(request.rows, name), getattr(wanted, name))
