"""Under Ray Train each worker has its share, and a training that was killed goes on exactly."""

from pathlib import Path
from typing import Any

import pytest
import torch

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'augfeed[ray]', or make ray")
pytest.importorskip("ray.train.torch", reason="needs Ray Train: make ray")

from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: E402  (behind the skip)
from ray.train.torch import TorchTrainer  # noqa: E402

from tests.augfeed.ray.training import train  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray Train about itself


def run(function: Any, folder: Path, **config: Any) -> Any:
    trainer = TorchTrainer(
        function, train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
        run_config=RunConfig(
            storage_path=str(folder), failure_config=FailureConfig(max_failures=1)
        ),
    )  # fmt: skip
    return trainer.fit()


def held(result: Any) -> Any:
    with result.checkpoint.as_directory() as folder:
        (file,) = Path(folder).glob("all.*")
        return torch.load(file, weights_only=False)


@pytest.mark.timeout(900)  # three trainings, each of which starts processes twice
def test_weights_after_a_kill_in_mid_epoch_are_those_of_an_undisturbed_run(
    nodes: Any, tmp_path: Path
) -> None:
    whole = held(run(train, tmp_path / "whole", loader="local"))
    for kind in ("local", "ray"):
        killed = held(run(train, tmp_path / kind, loader=kind, die=5))
        assert killed["loader"] == whole["loader"]
        for name, weights in whole["model"].items():
            assert torch.equal(killed["model"][name], weights), (kind, name)


@pytest.mark.timeout(900)
def test_lightning_ends_with_the_weights_of_an_undisturbed_run(nodes: Any, tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="needs Lightning: pip install lightning")
    from tests.augfeed.ray.training_lightning import train as train_lightning

    whole = held(run(train_lightning, tmp_path / "whole", loader="local"))
    for kind in ("local", "ray"):
        killed = held(run(train_lightning, tmp_path / kind, loader=kind, die=5))
        assert killed["epoch"] == whole["epoch"] and killed["global_step"] == whole["global_step"]
        for name, weights in whole["state_dict"].items():
            assert torch.equal(killed["state_dict"][name], weights), (kind, name)
