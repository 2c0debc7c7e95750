"""`DataLoader`: epochs, state, threads and errors."""

import copy
import gc
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import RandomSampler, TensorDataset

from augfeed import DataLoader
from augfeed.errors import InputTypeError, PolicyError, ReadError, StateError
from tests.waiting import no_thread_but

POLICY = "random_crop(8, padding=1) | hflip | mixup(0.4) | gaussian_noise(0.1)"


def data(count: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8), np.arange(count) % 3


def loader(batch_size: int = 8, seed: Any = 0, **options: object) -> DataLoader[Any]:
    return DataLoader(data(), batch_size, True, policy=POLICY, seed=seed, **options)  # type: ignore[arg-type]


def images_of(batches: DataLoader[Any]) -> list[torch.Tensor]:
    return [images for images, _ in batches]


def test_length_is_the_number_of_batches_that_come() -> None:
    for drop_last, expected in ((False, 7), (True, 6)):
        given = loader(drop_last=drop_last)
        assert len(given) == len(images_of(given)) == expected


def test_every_sample_comes_once_an_epoch() -> None:
    ids = [int(i) for batch in loader(num_workers=2).batches() for i in batch.ids]
    assert sorted(ids) == list(range(50))
    assert ids != sorted(ids)


def test_each_iterator_is_the_next_epoch_unless_set() -> None:
    given = loader()
    first, second = images_of(given), images_of(given)
    assert not torch.equal(first[0], second[0])
    given.set_epoch(0)
    assert all(map(torch.equal, first, images_of(given)))


@pytest.mark.parametrize("threads", [0, 1, 4])
@pytest.mark.parametrize("stop", [0, 1, 3, 6, 7])
def test_resuming_at_any_step_gives_the_rest(stop: int, threads: int) -> None:
    whole, given = images_of(loader()), loader(num_workers=threads)
    iterator = iter(given)
    for _ in range(stop):
        next(iterator)
    state = json.loads(json.dumps(given.state_dict()))
    resumed = loader(num_workers=4 - threads)
    resumed.load_state_dict(state)
    rest = images_of(resumed)
    expected = whole[stop:]
    assert len(rest) == len(expected)
    assert all(map(torch.equal, rest, expected))


def test_a_state_of_a_finished_epoch_begins_the_next_one() -> None:
    given = loader()
    images_of(given)
    resumed = loader()
    resumed.load_state_dict(given.state_dict())
    assert all(map(torch.equal, images_of(resumed), images_of(given)))


class Wording(RandomSampler):
    """A sampler whose epoch a framework sets."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


@pytest.mark.parametrize("peeked", [False, True])
def test_the_epoch_of_a_sampler_counts_and_none_comes_twice_in_a_row(peeked: bool) -> None:
    sampler = Wording(range(50))
    given: DataLoader[Any] = DataLoader(data(), 8, sampler=sampler, policy=POLICY, seed=0)
    epochs = [next(given.batches()).epoch] if peeked else []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(next(given.batches()).epoch)
    assert epochs == list(range(3 + peeked))
    sampler.set_epoch(9)
    assert next(given.batches()).epoch == 9


def test_setting_the_same_epoch_keeps_a_loaded_position() -> None:
    given = loader()
    iterator = iter(given)
    next(iterator)
    resumed = loader()
    resumed.load_state_dict(given.state_dict())
    resumed.set_epoch(0)
    assert len(images_of(resumed)) == 6
    assert len(images_of(resumed)) == 7


def test_resuming_with_another_split_of_the_same_batches() -> None:
    given = loader(16)
    iterator = iter(given)
    next(iterator)
    state = given.state_dict()
    expected = torch.cat([images for images, _ in iterator][:2])
    ranks = [loader(8, shard=(rank, 2)) for rank in range(2)]
    parts = []
    for rank in ranks:
        rank.load_state_dict(state)
        parts.append(images_of(rank))
    found = torch.cat([torch.cat([parts[0][k], parts[1][k]]) for k in range(2)])
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"policy": "0" * 16}, "policy"),
        ({"data": "0" * 16}, "data"),
        ({"seed": 9}, "seed"),
        ({"shuffle": False}, "shuffle"),
        ({"position": 5}, "position=5"),
        ({"position": 8 * 1000}, "position=8000"),
        ({"position": -8}, "position=-8"),
        ({"epoch": "7"}, "epoch='7'"),
        ({"epoch": -1}, "epoch=-1"),
        ({"epoch": 2**32}, "epoch=4294967296"),
        ({"version": 9}, "version"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name(
    change: dict[str, object], named: str
) -> None:
    given = loader()
    with pytest.raises(StateError, match=named):
        given.load_state_dict({**given.state_dict(), **change})


def test_a_state_that_is_none_is_refused() -> None:
    with pytest.raises(InputTypeError, match="state_dict"):
        loader().load_state_dict([1, 2])  # type: ignore[arg-type]
    with pytest.raises(StateError, match="lacks"):
        loader().load_state_dict({"epoch": 1})


def test_state_is_small() -> None:
    assert len(json.dumps(loader().state_dict())) < 200


def test_targets_without_softening_are_class_numbers() -> None:
    plain = DataLoader(data(), 8, policy="hflip")
    _, targets = next(iter(plain))
    assert targets.dtype == torch.int64
    assert targets.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_unlabelled_images_have_no_targets() -> None:
    _, targets = next(iter(DataLoader(data()[0], 8, policy="hflip")))
    assert targets is None


def test_a_file_that_cannot_be_read_is_named_and_the_epoch_goes_on(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "a").mkdir()
    for k in range(40):
        Image.new("RGB", (9, 9), (k, k, k)).save(tmp_path / "a" / f"{k:02}.png")
    (tmp_path / "a" / "20.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    for threads in (0, 2):
        broken = DataLoader(tmp_path, 8, policy="resize([9, 9])", num_workers=threads)
        iterator, seen = iter(broken), 0
        with pytest.raises(ReadError, match=r"20\.png"):
            for _ in iterator:
                seen += 1
        assert seen == 2
        assert broken.state_dict()["position"] == 16
        assert len(list(iterator)) == 2


def test_no_thread_outlives_an_abandoned_or_finished_epoch() -> None:
    given = loader(num_workers=3)
    images_of(given)  # what compiles leaves cycles, which hold what compiled it
    gc.collect()
    before = set(threading.enumerate())
    for _ in range(5):
        next(iter(given))
        images_of(given)
    assert no_thread_but(before)


def test_several_iterators_at_once_do_not_disturb_each_other() -> None:
    given = loader(num_workers=2)
    one, other = iter(given), iter(given)
    mixed = [(next(one)[0], next(other)[0]) for _ in range(7)]
    given.set_epoch(0)
    first, second = images_of(given), images_of(given)
    for k, (a, b) in enumerate(mixed):
        assert torch.equal(a, first[k])
        assert torch.equal(b, second[k])


def test_with_a_seed_no_random_state_matters() -> None:
    first = images_of(loader(num_workers=2))
    torch.manual_seed(1234)
    np.random.seed(5)
    assert all(map(torch.equal, first, images_of(loader(num_workers=2))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"num_workers": -1}, "num_workers"),
        ({"prefetch_factor": 2}, "prefetch_factor"),
        ({"shard": (2, 2)}, "rank=2"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"engine": "fast"}, "engine='fast'"),
        ({"device": "gpu"}, "device='gpu'"),
        ({"targets": "soft"}, "targets='soft'"),
    ],
)
def test_arguments_out_of_bounds_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loader(**options)  # type: ignore[arg-type]


def test_an_unknown_operation_is_refused_when_the_loader_is_built() -> None:
    with pytest.raises(PolicyError, match="hflop"):
        DataLoader(data(), 8, policy="hflop")


@pytest.mark.parametrize("lane", ["torch", "native", "general"])
def test_a_loader_is_built_again_from_its_public_attributes(lane: str) -> None:
    # As Ignite's DeterministicEngine does, to put in its own batch sampler.
    held = TensorDataset(torch.arange(12 * 192).reshape(12, 3, 8, 8).byte(), torch.arange(12))
    given: Any = [held[i] for i in range(12)] if lane == "general" else held
    policy = None if lane == "torch" else "hflip | gaussian_noise(0.1)"
    made: DataLoader[Any] = DataLoader(given, 4, drop_last=True, policy=policy, seed=3)
    assert made.lane == lane
    ordered = {"batch_size", "sampler", "drop_last", "batch_sampler"}
    public = {name: value for name, value in vars(made).items() if not name.startswith("_")}
    kept = {name: value for name, value in public.items() if name not in ordered}
    again = type(made)(**kept, batch_sampler=made.batch_sampler)
    assert again.lane == lane
    for (images, labels), (others, numbers) in zip(again, made, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, numbers)


@pytest.mark.parametrize("lane", ["torch", "native", "general"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_pass_begins_by_the_name_of_torch_too(lane: str, workers: int) -> None:
    # Ultralytics' loader begins its passes so, to have its workers live on.
    held = TensorDataset(torch.arange(12 * 192).reshape(12, 3, 8, 8).byte(), torch.arange(12))
    given: Any = [held[i] for i in range(12)] if lane == "general" else held
    options: dict[str, Any] = {"seed": 3, "num_workers": workers, "shuffle": True}
    policy = None if lane == "torch" else "hflip | gaussian_noise(0.1)"
    one: DataLoader[Any] = DataLoader(given, 4, policy=policy, **options)
    other: DataLoader[Any] = DataLoader(given, 4, policy=policy, **options)
    for _ in range(2 if policy else 1):
        for (images, labels), (others, numbers) in zip(one._get_iterator(), other, strict=True):
            assert torch.equal(images, others)
            assert torch.equal(labels, numbers)


@pytest.mark.parametrize("lane", ["native", "general"])
def test_a_collation_that_is_set_afterwards_is_refused_and_not_left_out(lane: str) -> None:
    held = TensorDataset(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4))
    given: Any = held if lane == "native" else [held[i] for i in range(4)]
    made: DataLoader[Any] = DataLoader(given, 2, policy="hflip")
    assert made.lane == lane
    with pytest.raises(ValueError, match="set after DataLoader is initialized with a policy"):
        made.collate_fn = list
    made.collate_fn = made.collate_fn
    assert len(list(made)) == 2


def test_a_dataset_that_has_an_attribute_of_every_name_is_a_dataset() -> None:
    class Wrapper(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> Any:
            return torch.full((3, 8, 8), i, dtype=torch.uint8), i

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return self.__len__

    made: DataLoader[Any] = DataLoader(Wrapper(), 2, policy="")
    assert made.lane == "general"
    assert [labels.tolist() for _, labels in made] == [[0, 1], [2, 3]]


def test_a_known_dataset_is_protected_without_being_asked() -> None:
    images, labels = data()

    class MNIST:
        data, targets = images[..., 0], labels

    with pytest.raises(PolicyError, match="horizontal_flip"):
        DataLoader(MNIST(), 8, policy="hflip")
    DataLoader(MNIST(), 8, policy="hflip", allow=["horizontal_flip"])


def test_flags_stay_flags_and_one_hot_rows_become_shares() -> None:
    images = data()[0]
    flags = np.arange(150).reshape(50, 3) % 4 == 0
    _, targets = next(iter(DataLoader((images, flags), 8, policy="label_smoothing(0.2)")))
    expected = torch.from_numpy(flags[:8]).float() * 0.8 + 0.1  # towards 0.5
    assert torch.allclose(targets, expected)
    one_hot = np.eye(3, dtype=np.int64)[np.arange(50) % 3]
    _, targets = next(iter(DataLoader((images, one_hot), 8, policy="label_smoothing(0.3)")))
    assert torch.allclose(targets, torch.from_numpy(one_hot[:8]).float() * 0.7 + 0.1)


def test_numpy_integers_are_integers() -> None:
    number: Any = np.int64
    given = loader(number(8), seed=number(3), num_workers=number(1))
    given.set_epoch(number(2))
    assert json.loads(json.dumps(given.state_dict()))["epoch"] == 2


def pickled(given: DataLoader[Any]) -> DataLoader[Any]:
    again: DataLoader[Any] = pickle.loads(pickle.dumps(given))
    return again


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_used_loader_can_be_copied_and_pickled(
    copied: Callable[[DataLoader[Any]], DataLoader[Any]],
) -> None:
    given = loader(num_workers=2)
    iterator = iter(given)
    next(iterator)
    other = copied(given)
    assert other.state_dict() == given.state_dict()
    given.set_epoch(4)
    other.set_epoch(4)
    assert all(map(torch.equal, images_of(given), images_of(other)))


def test_the_state_is_that_of_the_newest_iterator() -> None:
    given = loader()
    old, new = iter(given), iter(given)
    next(new)
    next(old)
    assert (given.state_dict()["epoch"], given.state_dict()["position"]) == (1, 8)
