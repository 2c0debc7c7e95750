"""Batches for a device: the same whether a dataset lives there or not, alone or made together."""

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from augfeed import DataLoader, Targets
from augfeed.batch import Batch
from augfeed.engines import Output, Place, indexed
from augfeed.errors import InputError
from augfeed.executor.device import DeviceExecutor
from augfeed.pipeline import Order, Pipeline
from augfeed.plan import Plan
from augfeed.prefetch import SideStream, tensors_of
from augfeed.presets import resolve_policy
from tests.cases import ENGINES

SIDE = 12
POLICY = (
    f"random_crop({SIDE}, padding=2, mode='reflect') | hflip | one_of([mixup(0.4), cutmix]) "
    "| cutout(3) | normalize(0.5, 0.25)"
)


def data(count: int = 53) -> tuple[Any, Any]:
    images = np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    return images, np.arange(count) % 10


def batches(loader: DataLoader[Any], epoch: int = 0) -> list[Batch]:
    loader.set_epoch(epoch)
    return list(loader.batches())


def loader(**options: Any) -> DataLoader[Any]:
    return DataLoader(data(), 10, True, policy=POLICY, seed=3, engine="portable", **options)


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.ids, b.ids)
        assert torch.equal(a.targets, b.targets) and (a.step, a.epoch) == (b.step, b.epoch)


# A dataset on the device


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resident_dataset_gives_the_same_batches(workers: int) -> None:
    resident = loader(resident=True, num_workers=workers)
    assert resident.pipeline.together(10) > 1
    for epoch in range(2):
        assert_same(batches(loader(), epoch), batches(resident, epoch))


@pytest.mark.skipif("cuda" not in ENGINES, reason="needs Triton")
def test_kernels_gather_a_resident_dataset_by_row() -> None:
    options: dict[str, Any] = {"policy": POLICY, "seed": 3}
    made = batches(DataLoader(data(13), 5, True, engine="cuda", resident=True, **options))
    for own, wanted in zip(made, batches(DataLoader(data(13), 5, True, **options)), strict=True):
        assert torch.allclose(own.images.cpu(), wanted.images, atol=1e-4)
        assert torch.equal(own.targets.cpu(), wanted.targets)


def test_a_part_of_a_dataset_may_be_resident() -> None:
    images, labels = data()
    whole = torch.utils.data.TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    part = torch.utils.data.Subset(whole, range(3, 50, 2))
    options: dict[str, Any] = {"policy": POLICY, "seed": 3, "engine": "portable"}
    one, other = (DataLoader(part, 7, True, resident=kept, num_classes=10, **options)
                  for kept in (False, True))  # fmt: skip
    assert other.lane == "native"
    assert_same(batches(one), batches(other))


def test_a_read_only_dataset_may_be_resident() -> None:
    images, labels = data()
    images.setflags(write=False)
    options: dict[str, Any] = {"policy": POLICY, "seed": 3, "engine": "portable"}
    kept = DataLoader((images, labels), 10, True, resident=True, **options)
    assert_same(batches(kept), batches(loader()))


def test_batches_made_together_know_their_own_plans() -> None:
    for own, wanted in zip(batches(loader(resident=True)), batches(loader()), strict=True):
        plan, other = own.plan, wanted.plan
        assert isinstance(plan, Plan) and len(plan) == len(own)
        assert (plan.ids == other.ids).all() and (plan.mixes.lam == other.mixes.lam).all()


def test_sparse_targets_are_cut_apart_too() -> None:
    one, other = (batches(loader(resident=kept, targets="sparse")) for kept in (True, False))
    for own, wanted in zip(one, other, strict=True):
        assert isinstance(own.targets, Targets) and len(own.targets) == len(own)
        assert torch.equal(own.targets.dense(), wanted.targets.dense())


def test_a_state_within_batches_made_together_goes_on_exactly() -> None:
    wanted = batches(loader())
    begun = loader(resident=True)
    iterator = iter(begun)
    for _ in range(3):
        next(iterator)
    after = loader(resident=True)
    after.load_state_dict(begun.state_dict())
    assert_same(wanted[3:], list(after.batches()))


class Breaking(torch.utils.data.Sampler[int]):
    """An order that fails after 25 samples."""

    def __len__(self) -> int:
        return 53

    def __iter__(self) -> Iterator[int]:
        yield from range(25)
        raise ValueError("the order broke")


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_before_an_error_of_a_sampler_come_first(workers: int) -> None:
    broken = DataLoader(data(), 8, sampler=Breaking(), policy="hflip", engine="portable",
                        resident=True, num_workers=workers)  # fmt: skip
    assert broken.pipeline.together(8) > 1
    iterator = iter(broken)
    for _ in range(3):
        assert len(next(iterator)[0]) == 8
    with pytest.raises(ValueError, match="the order broke"):
        next(iterator)


def test_batches_that_share_draws_are_made_one_by_one() -> None:
    policy = POLICY.replace("mixup(0.4)", "mixup(0.4, per='batch')").replace(
        "cutmix]", "cutmix(per='batch')]"
    )
    one, other = (
        DataLoader(data(), 10, True, policy=policy, seed=3, engine="portable", resident=kept)
        for kept in (False, True)
    )
    assert other.pipeline.together(10) == 1
    assert_same(batches(one), batches(other))


@pytest.mark.parametrize(
    ("images", "policy", "reason"),
    [
        (data()[0], "resize(8) | hflip", "images in memory that the policy does not resize"),
        (data()[0], "random_resized_crop(8)", "images in memory that the policy does not resize"),
    ],
)
def test_what_cannot_be_resident_is_refused(images: Any, policy: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"resident=True is for {reason}"):
        DataLoader((images, data()[1]), 10, policy=policy, engine="portable", resident=True)


@pytest.mark.parametrize(("wanted", "free"), [(None, 4.0), (None, 3.9), (True, 1.0), (True, 0.9)])
def test_the_memory_of_a_gpu_decides_what_is_resident(
    wanted: bool | None, free: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of what is free at most by itself, all of it when told to."""
    size = data()[0].nbytes
    cuda: dict[str, Any] = {
        "mem_get_info": lambda device: (int(free * size) - 700, 0),
        "memory_reserved": lambda device: 1000,
        "memory_allocated": lambda device: 300,
    }
    for name, said in cuda.items():
        monkeypatch.setattr(torch.cuda, name, said)
    moved: list[str] = []

    def to(self: torch.Tensor, device: torch.device) -> torch.Tensor:
        moved.append(str(device))
        return self

    monkeypatch.setattr(torch.Tensor, "to", to)
    policy, gpu = resolve_policy("hflip"), torch.device("cuda", 1)
    maker = Pipeline(data(), policy, place=Place(engine="portable", resident=wanted))._executor
    assert isinstance(maker, DeviceExecutor)
    if (wanted, free) == (True, 0.9):
        with pytest.raises(InputError, match=f"needs {size:,} bytes .* 'cuda:1' has"):
            maker._moved_in(gpu)
    else:
        kept = maker._moved_in(gpu) is not None
        assert kept == (free in (4.0, 1.0)) == (moved == ["cuda:1"])


class Moved(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 20

    def __getitem__(self, i: int) -> Any:
        return data()[0][i], i


def test_samples_of_workers_cannot_be_resident() -> None:
    with pytest.raises(InputError, match="resident=True is for datasets whose images lie in"):
        DataLoader(Moved(), 4, policy="hflip", resident=True)


def test_resident_must_be_a_flag() -> None:
    with pytest.raises(InputError, match="resident='gpu' is none of None, True and False"):
        DataLoader(data(), 10, policy="hflip", resident="gpu")  # type: ignore[arg-type]


def test_a_pipeline_with_a_resident_dataset_pickles_without_it() -> None:
    place = Place(engine="portable", resident=True)
    pipeline = Pipeline(data(), resolve_policy("hflip"), order=Order(8), place=place)
    made = pipeline.batch(0, 1)
    again: Pipeline = pickle.loads(pickle.dumps(pipeline))
    assert isinstance(again._executor, DeviceExecutor) and again._executor._pictures is None
    assert torch.equal(again.batch(0, 1).images, made.images)


def test_explain_says_where_a_dataset_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(**options: Any) -> str:
        return DataLoader(data(), 10, policy="hflip", **options).explain()

    assert "the images lie in memory\n" in said()
    assert "are copied to that of mps once" in said(device="mps", resident=True)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "copied to that of cuda once if they take a quarter" in said(device="cuda")
    engine = "cuda" if "cuda" in ENGINES else "portable"
    assert f"augment: by the {engine} engine" in said(device="cuda")
    assert "copied" not in said(device="cuda", resident=False)


# Frames that are read


def test_frames_are_read_by_parts_and_queued_by_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(engine="portable")
    policy = resolve_policy("random_resized_crop(8) | mixup(0.3) | normalize(0.5, 0.5)")
    pipeline = Pipeline(data(), policy, order=Order(40, shuffle=True), place=place)
    queued: list[int] = []
    run = SideStream.run

    def counted(self: SideStream, work: Any) -> Any:
        queued.append(1)
        return run(self, work)

    monkeypatch.setattr(SideStream, "run", counted)
    work = pipeline.work(0, 0)
    assert len(work.tasks) > 1
    for task in reversed(work.tasks):
        assert not queued
        task()
    assert queued == [1]
    on_cpu = Pipeline(data(), policy, order=Order(40, shuffle=True)).batch(0, 0)
    assert torch.allclose(work.finish().images, on_cpu.images, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_float_images_stay_floats_on_the_way(dtype: torch.dtype) -> None:
    images, labels = data()
    source = images.astype(np.float32) / 255, labels
    policy = resolve_policy("random_resized_crop(8) | normalize(0.5, 0.5)")
    one, other = (Pipeline(source, policy, order=Order(20), output=Output(dtype), place=place)
                  for place in (Place(), Place(engine="portable")))  # fmt: skip
    assert torch.allclose(one.batch(0, 0).images.float(), other.batch(0, 0).images.float(),
                          atol=2e-2)  # fmt: skip


# Streams


def test_a_gpu_without_a_number_is_the_current_one_of_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads of a pool have the first as theirs, whatever rank the process is."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert indexed(torch.device("cuda")) == torch.device("cuda", 3)
    assert indexed(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert indexed(torch.device("cpu")) == torch.device("cpu")


def test_all_tensors_of_a_result_are_found() -> None:
    a, b, c = (torch.zeros(k) for k in (1, 2, 3))
    targets = Targets(a, b, c, 0.1, 10)
    nested = ({"x": [a, targets]}, None, "text", (b,))
    assert [len(found) for found in tensors_of(nested)] == [1, 1, 2, 3, 2]


def test_work_aside_simply_runs_without_a_gpu() -> None:
    def work() -> Iterator[int]:
        return iter([3])

    aside = pickle.loads(pickle.dumps(SideStream(torch.device("cpu"))))
    assert next(aside.take(aside.run(work))) == 3
