"""Small batches that threads of a CPU make as one: the same batches, and nobody can tell."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from augfeed import DataLoader, Targets
from augfeed.batch import Batch
from augfeed.engines.cpu import Job
from augfeed.executor.cpu import CPU_BYTES, CPU_GROUPS, CPU_ROWS, cpu_together
from augfeed.executor.planned_ahead import planned_ahead

POLICY = "random_crop(8, padding=2) | hflip | one_of([mixup(0.4), cutmix]) | gaussian_noise(0.1)"
COUNT, SIZE = 203, 3


def loader(threads: int = 2, **options: Any) -> DataLoader:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (COUNT, 8, 8, 3), np.uint8)
    given: dict[str, Any] = {"policy": POLICY, "seed": 3, "num_workers": threads, **options}
    data = images, random.integers(0, 10, COUNT)
    if "sampler" not in options:
        given["shuffle"] = True
    return DataLoader(data, SIZE, **given)


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.ids, b.ids)
        assert a.images.stride() == b.images.stride() and (a.step, a.epoch) == (b.step, b.epoch)
        targets = [t.dense() if isinstance(t, Targets) else t for t in (a.targets, b.targets)]
        assert torch.equal(*targets)


@pytest.mark.parametrize("options", [
    {}, {"drop_last": True}, {"targets": "sparse"}, {"dtype": torch.uint8},
    {"dtype": torch.bfloat16, "channels_last": True}, {"channels_last": True},
])  # fmt: skip
def test_batches_made_as_one_are_those_made_one_by_one(options: dict[str, Any]) -> None:
    if options.get("dtype") == torch.uint8:
        options = {**options, "policy": "random_crop(8, padding=2) | hflip | mixup(0.4)"}
    alone, threads, planned = loader(0, **options), loader(2, **options), loader(0, **options)
    alone.pipeline.planned_together = lambda count: 1  # type: ignore[method-assign]
    assert threads.pipeline.together(SIZE) == planned.pipeline.planned_together(SIZE) == 8
    for _ in range(2):
        wanted = list(alone.batches())
        assert_same(wanted, list(threads.batches()))
        assert_same(wanted, list(planned.batches()))


@pytest.mark.parametrize("threads", [0, 2])
def test_no_batch_shares_memory_with_another(threads: int) -> None:
    batches = list(loader(threads).batches())
    parts = [part for batch in batches for part in (batch.images, batch.targets, batch.ids)]
    places = [part.untyped_storage().data_ptr() for part in parts]
    assert len(set(places)) == len(places)
    before = [batch.images.clone() for batch in batches[1:]]
    batches[0].images.fill_(7)
    assert all(torch.equal(a, b.images) for a, b in zip(before, batches[1:], strict=True))


@pytest.mark.parametrize("device", [{}, {"resident": True, "engine": "portable"}])
def test_a_batch_may_be_changed_in_place_by_what_has_gradients(device: dict[str, Any]) -> None:
    gain = torch.ones(1, requires_grad=True)
    options = {"policy": "hflip", **device}
    for images, targets in loader(1, **options):
        images *= gain
        targets = targets.float()
        (images.sum() + targets.sum()).backward()
    assert gain.grad is not None and gain.grad > 0


@pytest.mark.parametrize("threads", [0, 2])
def test_a_state_in_their_midst_goes_on_exactly(threads: int) -> None:
    wanted = list(loader(0).batches())
    begun = loader(threads)
    iterator = iter(begun)
    for _ in range(5):
        next(iterator)
    after = loader(threads)
    after.load_state_dict(begun.state_dict())
    assert_same(wanted[5:], list(after.batches()))


class Counting(torch.utils.data.Sampler[int]):
    """An order that knows how far it was read, and may break."""

    def __init__(self, breaks: int = COUNT) -> None:
        self.read, self.breaks = 0, breaks

    def __len__(self) -> int:
        return COUNT

    def __iter__(self) -> Iterator[int]:
        for k in range(COUNT):
            if k == self.breaks:
                raise ValueError("the order broke")
            self.read += 1
            yield k


def test_without_threads_nothing_is_read_ahead() -> None:
    sampler = Counting()
    next(iter(loader(0, sampler=sampler, policy="hflip")))
    assert sampler.read == SIZE


@pytest.mark.parametrize("policy", [POLICY, "hflip | equalize", "gaussian_blur(3) | cutmix"])
def test_without_threads_no_image_is_made_before_its_batch_is_asked_for(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    run_part = Job.run_part

    def counted(job: Job, images: Any, rows: Any, first: int, out: Any) -> None:
        made.append(len(out))
        run_part(job, images, rows, first, out)

    monkeypatch.setattr(Job, "run_part", counted)
    batches = loader(0, policy=policy).batches()
    for k in range(4):
        next(batches)
        assert made == [SIZE] * (k + 1)


def test_of_a_sampler_of_the_users_no_more_is_read_ahead_than_torch_reads() -> None:
    sampler = Counting()
    next(iter(loader(2, sampler=sampler, policy="hflip", prefetch_factor=2)))
    assert sampler.read <= (2 * 2 + 1) * SIZE


def test_batches_before_an_error_of_a_sampler_come_first() -> None:
    iterator = iter(loader(sampler=Counting(breaks=13), policy="hflip"))
    for _ in range(4):
        assert len(next(iterator)[0]) == SIZE
    with pytest.raises(ValueError, match="the order broke"):
        next(iterator)


def test_how_many_are_made_as_one_is_bounded() -> None:
    assert cpu_together(64, 100) == CPU_ROWS // 64
    assert cpu_together(64, 100_000) == max(1, CPU_BYTES // 100_000 // 64)
    assert cpu_together(10**6, 100) == cpu_together(1, 10**9) == 1
    small = loader(2)
    assert small.pipeline.together(SIZE) == COUNT // CPU_GROUPS // SIZE
    assert small.pipeline.together(10**6) == 1


def planned(*groups: list[int] | Exception) -> list[str]:
    """Return what planning ahead asks for, and makes, of batches of one image."""
    seen: list[str] = []

    class Plan:
        def __init__(self, requests: Any) -> None:
            self.requests = requests
            seen.append(f"asked {requests[0].step}")

        def run(self) -> Any:
            seen.append(f"drawn {self.requests[0].step}")
            return self

        def __len__(self) -> int:
            return len(self.requests)

        def take(self, k: int) -> int:
            seen.append(f"made {self.requests[k].step}")
            return k

    def given() -> Iterator[Any]:
        for group in groups:
            if isinstance(group, Exception):
                raise group
            rows = SimpleNamespace(count=CPU_ROWS // 2)
            yield [SimpleNamespace(step=step, rows=rows) for step in group]

    made: Any = Plan
    try:
        for work in planned_ahead(given(), made, 1):
            for task in work.tasks:
                task()
            assert [r.step for r in work.finish().requests] == [
                int(line[5:]) for line in seen if line[:4] == "made"
            ][-len(work.finish()) :]
    except ValueError as error:
        seen.append(str(error))
    return seen


def test_while_the_first_batches_of_a_plan_are_made_the_next_one_is_drawn() -> None:
    assert planned([0, 1, 2], [3]) == [
        "asked 0", "asked 3", "drawn 0", "made 0", "made 1", "drawn 3", "made 2", "made 3",
    ]  # fmt: skip


def test_batches_before_an_error_of_the_order_are_made_once() -> None:
    assert planned([0], ValueError("broke")) == ["asked 0", "drawn 0", "made 0", "broke"]


def test_what_a_plan_raises_comes_in_its_place_and_those_behind_it_follow() -> None:
    given = loader(2, policy="hflip | mixup")
    executor: Any = given.pipeline._executor
    make = executor.start

    def start(asked: Any) -> Any:
        if asked.rows.first == 8 * SIZE:
            raise ValueError("no plan")
        return make(asked)

    executor.start = start
    iterator, found = iter(given), list[int]()
    while True:
        try:
            found.append(iterator.next_batch().step)
        except ValueError:
            found.append(-1)
        except StopIteration:
            break
    assert found == [*range(8), -1, *range(16, len(given))]
