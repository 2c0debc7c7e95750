import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed.errors import InputError, InputTypeError
from augfeed.plan import GROUP, BatchRows
from augfeed.plan.batch_rows import OrderedRows, joined


def test_ids_form_groups_from_the_first_on() -> None:
    rows = BatchRows.of(range(GROUP + 3))
    assert rows.count == len(rows) == GROUP + 3
    assert rows.groups.tolist() == [0] * GROUP + [1] * 3
    assert rows.slots.tolist() == [*range(GROUP), 0, 1, 2]


@settings(deadline=None)
@given(count=st.integers(1, 40), data=st.data())
def test_cut_off_members_of_a_group_stand_behind_the_count(count: int, data: st.DataObject) -> None:
    order = np.arange(count) + 100
    some = st.lists(st.integers(0, count - 1), min_size=1, unique=True)
    places = np.array(data.draw(some))
    rows = BatchRows.at(places, order, mixing=True)
    assert rows.ids[: rows.count].tolist() == order[places].tolist()
    whole = {place for place in range(count) if place // GROUP in set(places // GROUP)}
    assert sorted(rows.ids - 100) == sorted(whole)
    assert (rows.groups * GROUP + rows.slots == rows.ids - 100).all()


@settings(deadline=None)
@given(count=st.integers(1, 60), data=st.data(), mixing=st.booleans())
def test_positions_side_by_side_are_the_same_rows_either_way(
    count: int, data: st.DataObject, mixing: bool
) -> None:
    order = np.arange(count) + 100
    first = data.draw(st.integers(0, count - 1))
    end = data.draw(st.integers(first + 1, count))
    found = OrderedRows.between(first, end, order, mixing=mixing)
    assert len(found) == len(BatchRows.at(np.arange(first, end), order, mixing=mixing))
    wanted = BatchRows.at(np.arange(first, end), order, mixing=mixing)
    assert (found.count, found.first) == (wanted.count, wanted.first)
    for name in ("ids", "groups", "slots"):
        assert getattr(found, name).dtype == np.int64
        assert getattr(found, name).tolist() == getattr(wanted, name).tolist()
    assert not np.shares_memory(found.ids, order)


@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, 60), min_size=2, max_size=6, unique=True), data=st.data(),
       mixing=st.booleans())  # fmt: skip
def test_batches_of_an_order_are_joined_as_any_rows_are(
    cuts: list[int], data: st.DataObject, mixing: bool
) -> None:
    order, cuts = np.arange(60) + 100, sorted(cuts)
    between = list(pairwise(cuts))
    kept = data.draw(st.lists(st.sampled_from(between), min_size=1, unique=True))
    lazy = joined([OrderedRows.between(*part, order, mixing=mixing) for part in kept])
    plain = joined([BatchRows.at(np.arange(*part), order, mixing=mixing) for part in kept])
    for name in ("ids", "groups", "slots", "count", "first"):
        assert np.array_equal(getattr(lazy, name), getattr(plain, name))


def test_rows_of_an_order_travel_without_it() -> None:
    rows = OrderedRows.between(3, 11, np.arange(100_000), mixing=True)
    sent = pickle.dumps(rows)
    assert len(sent) < 2000
    made = pickle.loads(sent)
    assert type(made) is BatchRows and made.ids.tolist() == [*range(3, 11), 0, 1, 2, *range(11, 16)]
    with pytest.raises(AttributeError, match="no 'names'"):
        _ = rows.names


def test_without_mixing_nobody_is_added() -> None:
    rows = BatchRows.at(np.array([3, 9]), np.arange(40), mixing=False)
    assert rows.ids.tolist() == [3, 9]
    assert rows.count == 2


@pytest.mark.parametrize("ids", [[-1], [2**48], [5, 2**60]])
def test_ids_out_of_range_are_refused(ids: list[int]) -> None:
    with pytest.raises(InputError, match=r"not in \[0, 2\*\*48\): use the index"):
        BatchRows.of(ids)


@pytest.mark.parametrize("ids", [[0.5], [[1, 2]], ["a"], 3, [True]])
def test_what_is_no_vector_of_integers_is_refused(ids: Any) -> None:
    with pytest.raises(InputTypeError, match="give a vector of integers"):
        BatchRows.of(ids)


def test_largest_id_is_accepted() -> None:
    assert BatchRows.of([2**48 - 1]).ids.tolist() == [2**48 - 1]
