"""Lightning and Accelerate rebuild loaders; the policy survives, or the user is reported."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from augfeed import DataLoader
from augfeed.errors import InputError
from tests.augfeed.scripts import run_on_ranks
from tests.augfeed.scripts.ranks import COUNT, data_of
from tests.sampling import slow

pytest.importorskip("lightning", reason="needs Lightning: pip install lightning")
pytest.importorskip("accelerate", reason="needs Accelerate: pip install accelerate")
from tests.augfeed.scripts import accelerated, trained

LANES = ("general", "native")
pytestmark = pytest.mark.filterwarnings("ignore")  # of frameworks, about themselves


def numbers(loader: Any) -> list[float]:
    return [x for images, _ in loader for x in images.double().sum(dim=(1, 2, 3)).tolist()]


# Lightning


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("hook", [False, True])
def test_lightning_gets_the_batches_of_the_loader(lane: str, hook: bool, tmp_path: Path) -> None:
    module = trained.Run(lane, hook=hook)
    validation: DataLoader[Any] = DataLoader(data_of(lane), 32, policy="normalize(0.5, 0.25)")
    loader = None if hook else trained.train_loader(lane)
    trained.trainer(str(tmp_path)).fit(module, loader, validation)
    expected = trained.train_loader(lane)
    assert module.seen == [numbers(expected), numbers(expected)]


@pytest.mark.parametrize(("lane", "way"), [("general", "hook"), slow("native", "fit")])
def test_lightning_on_two_ranks_keeps_the_policy(lane: str, way: str, tmp_path: Path) -> None:
    run_on_ranks(trained, lane, way, str(tmp_path))
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    alone = trained.train_loader(lane)
    for epoch in range(2):
        expected = numbers(alone)
        found = [x for rank in ranks for x in rank[epoch]]
        # DistributedSampler pads 101 samples to 102; each is augmented as on one rank.
        assert len(found) == COUNT + 1
        assert set(found) == set(expected)


@pytest.mark.parametrize("lane", LANES)
def test_lightning_resumes_in_mid_epoch(lane: str, tmp_path: Path) -> None:
    trained.trainer(str(tmp_path)).fit(trained.Run(lane, stop=2), trained.train_loader(lane))
    resumed = trained.Run(lane)
    trained.trainer(str(tmp_path), epochs=3).fit(
        resumed, trained.train_loader(lane), ckpt_path=str(tmp_path / "mid.ckpt")
    )
    expected = trained.train_loader(lane)
    epochs = [numbers(expected) for _ in range(3)]
    assert resumed.seen == [[], epochs[1][48:], epochs[2]]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("lane", LANES)
def test_lightning_resumes_at_the_end_of_an_epoch(lane: str, shuffle: bool, tmp_path: Path) -> None:
    # It makes the iterator before it says which epoch comes.
    first = trained.trainer(str(tmp_path), epochs=1)
    first.fit(trained.Run(lane), trained.train_loader(lane, shuffle=shuffle))
    first.save_checkpoint(tmp_path / "end.ckpt")
    resumed = trained.Run(lane)
    trained.trainer(str(tmp_path), epochs=3).fit(
        resumed, trained.train_loader(lane, shuffle=shuffle), ckpt_path=str(tmp_path / "end.ckpt")
    )
    expected = trained.train_loader(lane, shuffle=shuffle)
    epochs = [numbers(expected) for _ in range(3)]
    assert resumed.seen[-2:] == epochs[1:]


@pytest.mark.parametrize("lane", LANES)
def test_lightning_predicts_with_the_policy(lane: str, tmp_path: Path) -> None:
    # Prediction wraps the batch sampler.
    loader = trained.train_loader(lane, shuffle=False)
    found = trained.trainer(str(tmp_path)).predict(trained.Run(lane), loader)
    expected = numbers(trained.train_loader(lane, shuffle=False))
    assert torch.cat(found).tolist() == expected  # type: ignore[arg-type]


# Accelerate


@pytest.fixture
def accelerator() -> Any:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState

    yield Accelerator(cpu=True)
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.mark.parametrize("lane", LANES)
def test_prepare_keeps_loader_and_policy(lane: str, accelerator: Any) -> None:
    given = trained.train_loader(lane)
    assert accelerator.prepare(given) is given
    assert numbers(given) == numbers(trained.train_loader(lane))


def test_without_a_policy_prepare_does_as_with_torchs_loader(accelerator: Any) -> None:
    def made(kind: Any) -> list[int]:
        torch.manual_seed(4)
        loader = accelerator.prepare(kind(data_of("native"), 16, True))
        assert type(loader).__name__ == "DataLoaderShard"
        batches = [int(images.sum()) for images, _ in loader]
        rest = accelerator.skip_first_batches(loader, 2)
        return [*batches, *(int(images.sum()) for images, _ in rest)]

    assert made(DataLoader) == made(torch.utils.data.DataLoader)


@pytest.mark.parametrize("lane", LANES)
def test_skip_first_batches_names_its_cure(lane: str, accelerator: Any) -> None:
    loader = accelerator.prepare(trained.train_loader(lane, num_workers=0))
    whole = numbers(loader)
    with pytest.raises(InputError, match=r"loader\.skip"):
        next(iter(accelerator.skip_first_batches(loader, 2)))
    loader.set_epoch(0)
    loader.skip(2)
    assert numbers(loader) == whole[32:]


@pytest.mark.parametrize("lane", LANES)
def test_saved_states_go_on_exactly(lane: str, accelerator: Any, tmp_path: Path) -> None:
    loader = accelerator.prepare(trained.train_loader(lane))
    iterator = iter(loader)
    for _ in range(2):
        next(iterator)
    accelerator.save_state(str(tmp_path))
    expected = numbers(iterator)
    accelerator.load_state(str(tmp_path))
    assert numbers(loader) == expected


def test_two_ranks_gather_each_sample_once_and_step_at_the_end() -> None:
    found = json.loads(run_on_ranks(accelerated).splitlines()[-1])
    for lane in LANES:
        run = found[lane]
        assert run["same"]
        assert run["length"] == 7
        assert sorted(i for batch in run["ids"] for i in batch) == list(range(COUNT))
        # Gradients are synchronized every 4 batches, and at the epoch's end.
        assert run["ends"] == [False, False, False, True, False, False, True]
