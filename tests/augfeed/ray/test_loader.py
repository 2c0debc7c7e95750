"""`RayLoader` gives out what `augfeed.DataLoader` does, on whichever node it is made."""

import copy
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from augfeed import DataLoader
from augfeed.errors import InputError, InvarianceError, ReadError, StateError
from tests.augfeed.ray.clusters import (
    BATCH,
    COUNT,
    DATA,
    PIXELS,
    POLICY,
    in_process,
    node_of,
    pid_of,
    whole,
)

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'augfeed[ray]', or make ray")

from augfeed.ray import Actors, ClusterError, RayLoader, pool  # noqa: E402  (behind the skip)

pytestmark = [pytest.mark.usefixtures("nodes"), pytest.mark.timeout(900)]
ONE = Actors(least=1, most=1, num_cpus=0.5)
TWO = Actors(least=2, most=2, num_cpus=0.5)


def made(data: Any = DATA, actors: Actors = ONE, **given: Any) -> Any:
    options = {"batch_size": BATCH, "shuffle": True, "policy": POLICY, "seed": 3, **given}
    return RayLoader(data, actors=actors, **options)


def batches_of(loader: Any, epochs: int = 1) -> list[Any]:
    try:
        return [whole(batch) for _ in range(epochs) for batch in loader.batches()]
    finally:
        loader.close()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"dtype": torch.bfloat16, "channels_last": True, "targets": "sparse"},
        {"policy": "hflip", "dtype": torch.uint8, "shuffle": False, "drop_last": True,
         "batch_size": 5},
        {"policy": "mixup(1.0) | label_smoothing(0.1)", "dtype": torch.float16,
         "targets": "dense", "num_classes": 9},
    ],
    ids=["mixed", "channels last, sparse", "uint8 in order, short batch left out", "dense"],
)  # fmt: skip
def test_batches_are_those_of_the_in_process_loader_bit_for_bit(given: dict[str, Any]) -> None:
    assert batches_of(made(**given), 2) == in_process(epochs=2, **given)


def test_images_of_many_channels_are_those_of_the_in_process_loader() -> None:
    data = np.concatenate([PIXELS, PIXELS[..., :2]], axis=3), DATA[1]
    policy = "random_crop(8, padding=1) | hflip | rotate(20) | cutmix(1.0)"
    given: dict[str, Any] = {"policy": policy, "dtype": torch.bfloat16}
    assert batches_of(made(data, **given)) == in_process(data, **given)


@pytest.mark.parametrize("labels", [None, np.eye(COUNT, 3, dtype=np.float32)],
                         ids=["no labels", "shares"])  # fmt: skip
def test_data_without_classes_pass_as_they_are(labels: Any) -> None:
    data = PIXELS if labels is None else (PIXELS, labels)
    given: dict[str, Any] = {"policy": "hflip", "dtype": torch.uint8}
    assert batches_of(made(data, **given)) == in_process(data, **given)


@pytest.fixture(scope="module")
def loader(nodes: Any) -> Iterator[Any]:
    """One for the tests of a single job, with more than one actor: each has a process to start."""
    shared = made(actors=TWO)
    yield shared
    shared.close()


def test_the_number_of_actors_changes_no_batch(loader: Any) -> None:
    loader.set_epoch(0)
    assert [whole(batch) for batch in loader.batches()] == batches_of(made()) == in_process()


def test_ranks_take_the_shares_that_the_in_process_loader_gives_them(loader: Any) -> None:
    try:
        for rank in range(3):
            loader.shard = (rank, 3)
            loader.set_epoch(1)
            local = in_process(epochs=2, shard=(rank, 3))
            assert [whole(batch) for batch in loader.batches()] == local[len(local) // 2 :]
    finally:
        loader.shard = None


def test_batches_may_be_written_to_and_one_is_never_given_out_twice(loader: Any) -> None:
    kept = [images.fill_(7) for images, _ in loader]
    assert len({images.data_ptr() for images in kept}) == len(loader) == len(kept)
    assert all(bool((images == 7).all()) for images in kept)


# States


@pytest.mark.parametrize("stop", [1, 6, 13])
def test_a_state_goes_on_in_either_loader_after_the_batch_where_it_was_taken(
    loader: Any, stop: int
) -> None:
    local: DataLoader[Any] = DataLoader(DATA, BATCH, True, policy=POLICY, seed=3)
    loader.set_epoch(0)
    for both in (loader, local):
        iterator = both.batches()
        for _ in range(stop):
            next(iterator)
    assert loader.state_dict() == local.state_dict()
    state = json.loads(json.dumps(loader.state_dict()))
    assert len(json.dumps(state)) < 300
    for both in (loader, local):
        both.set_epoch(3)
        both.load_state_dict(state)
        assert both.state_dict() == state
        assert [whole(batch) for batch in both.batches()] == in_process()[stop:]
        assert both.state_dict() == {**state, "epoch": 1, "position": 0}


def test_a_state_goes_on_with_another_number_of_ranks(loader: Any) -> None:
    loader.set_epoch(0)
    iterator = loader.batches()
    for _ in range(4):
        next(iterator)
    state = loader.state_dict()
    two = made(batch_size=2)
    for rank in range(2):
        two.shard = (rank, 2)
        two.load_state_dict(state)
        local = in_process(batch_size=2, shard=(rank, 2))
        assert [whole(batch) for batch in two.batches()] == local[4:]
    with pytest.raises(StateError, match=r"position=2 is not between two"):
        two.load_state_dict({**state, "position": 2})
    two.close()


def test_a_state_of_other_data_policy_or_seed_is_refused(loader: Any) -> None:
    state = loader.state_dict()
    for name in ("policy", "seed", "data", "shuffle"):
        with pytest.raises(StateError, match=f"{name}="):
            loader.load_state_dict({**state, name: "other"})
    with pytest.raises(StateError, match="out of order"):
        loader.load_state_dict({**state, "position": 0, "given": [[8, 12]]})
    for broken in ({}, {**state, "position": -1}, {**state, "position": 600}):
        with pytest.raises(StateError):
            loader.load_state_dict(broken)


def test_epochs_follow_as_those_of_the_in_process_loader(loader: Any) -> None:
    expected = in_process(epochs=4)
    loader.set_epoch(0)
    next(loader.batches())  # broken off: the next pass is of the next epoch
    assert [whole(batch) for batch in loader.batches()] == expected[13:26]
    loader.set_epoch(3)
    loader.skip(2)
    assert [whole(batch) for batch in loader.batches()] == expected[41:]


def test_copies_stand_where_the_loader_stood(loader: Any) -> None:
    loader.set_epoch(0)
    next(loader.batches())
    copied = pickle.loads(pickle.dumps(copy.deepcopy(loader)))
    assert copied.state_dict() == loader.state_dict()
    assert batches_of(copied) == in_process(epochs=2)[13:]


# What is wrong


def test_wrong_arguments_are_errors_before_an_actor_is_started() -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"batch_size": 0}, "batch_size=0"), ({"seed": -1}, "seed=-1"),
        ({"targets": "x"}, "targets='x'"), ({"shard": (2, 2)}, "rank=2"),
        ({"dtype": torch.uint8}, "normalize"), ({"on_error": "x"}, "on_error='x'"),
    )  # fmt: skip
    for given, text in wrong:
        with pytest.raises(InputError, match=text):
            made(**given)
    with pytest.raises(InputError, match=r"actors=4 is not an Actors"):
        made(actors=cast(Any, 4))


def test_what_the_dataset_makes_impossible_is_the_error_of_the_in_process_loader() -> None:
    with pytest.raises(InputError, match=r"'/nowhere/at/all' does not exist"):
        len(made("/nowhere/at/all"))
    with pytest.raises(InvarianceError):
        len(made(policy="hflip", dtype=torch.uint8, invariances="digits"))


def test_a_broken_file_is_an_error_in_its_place_and_the_next_batch_follows(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(PIXELS[number]).save(tmp_path / "a" / f"{number}.png")
    (tmp_path / "a" / "3.png").write_bytes(b"broken")
    given: dict[str, Any] = {
        "policy": "center_crop(8)",
        "dtype": torch.uint8,
        "shuffle": False,
        "batch_size": 2,
    }
    loader = made(str(tmp_path), **given)
    iterator = iter(loader)
    local: DataLoader[Any] = DataLoader(str(tmp_path), **given)
    expected = iter(local)
    for step in range(4):
        if step == 1:
            for both in (iterator, expected):
                with pytest.raises(ReadError, match=r"3\.png"):
                    next(both)
        else:
            assert torch.equal(next(iterator)[0], next(expected)[0])
        assert loader.state_dict()["position"] == local.state_dict()["position"]
    loader.close()
    replaced = {**given, "on_error": "replace"}
    assert batches_of(made(str(tmp_path), **replaced)) == in_process(str(tmp_path), **replaced)


def test_actors_that_find_no_room_are_an_error_that_says_what_they_ask_for() -> None:
    loader = made(actors=Actors(num_cpus=64, deadline=3))
    has = r"the nodes have.*'CPU': 2\.0"
    with pytest.raises(ClusterError, match=rf"deadline=3 seconds.*'num_cpus': 64.*{has}"):
        next(iter(loader))
    loader.close()


def test_it_is_said_early_that_no_node_is_large_enough(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pool, "TOLD", 0.0)
    loader = made(actors=Actors(labels={"place": "nowhere"}, resources={"disk": 1}, deadline=3))
    with pytest.raises(ClusterError, match=r"'place': 'n0'"):
        len(loader)
    loader.close()
    assert caplog.text.count("no node has room for an actor that reserves") == 1
    assert "'disk': 1" in caplog.text and "deadline=3 seconds" in caplog.text


def test_a_dataset_that_cannot_be_sent_is_named() -> None:
    def without_name() -> Any:
        import threading

        return threading.Lock()

    class Locked:
        lock = None

        def __init__(self) -> None:
            self.lock = without_name()

    loader = made(Locked())
    with pytest.raises(InputError, match=r"type 'Locked'.*give a path"):
        len(loader)
    loader.close()


def test_two_loaders_side_by_side_and_two_passes_of_one(loader: Any) -> None:
    other, expected = made(), in_process()
    for one in (loader, other):
        one.set_epoch(0)
    mine, theirs = loader.batches(), other.batches()
    first = [(whole(next(mine)), whole(next(theirs))) for _ in range(3)]
    assert [pair[0] for pair in first] == [pair[1] for pair in first] == expected[:3]
    loader.set_epoch(0)
    assert [whole(batch) for batch in loader.batches()] == expected
    assert [whole(batch) for batch in mine] == expected[3:]
    other.close()
    with pytest.raises(ClusterError, match="the loader was closed"):
        list(theirs)
    assert batches_of(other) == in_process(epochs=2)[13:]


def test_actors_run_on_nodes_with_the_labels_asked_for() -> None:
    for place in ("n0", "n1"):
        loader = made(actors=Actors(most=1, num_cpus=0.5, labels={"place": place}))
        len(loader)
        (actor,) = loader._pool.handles
        labels = {node["NodeID"]: node["Labels"] for node in ray.nodes()}
        assert labels[node_of(actor)]["place"] == place
        loader.close()


def test_an_actor_starts_no_process(loader: Any) -> None:
    next(iter(loader))
    actor = loader._pool.handles[0]
    assert psutil.Process(pid_of(actor)).children(recursive=True) == []
