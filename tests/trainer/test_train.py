"""Whole runs: resumed at any step, killed, on two ranks, by the command."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from typer.testing import CliRunner, Result

from augfeed.cli import app
from augfeed.errors import InputError
from augfeed_trainer.checkpoints import newest
from augfeed_trainer.data import open_data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.train import Run, Trained, score, train
from tests.sampling import slow
from tests.template import run_script, template

# Everything that could forget where it was: dropout, noise, momentum, statistics, averages.
RECIPE = Recipe(
    model="cnn", norm="batch", dropout=0.2, weight_noise={"std": 0.05}, mixup=0.2,  # type: ignore[arg-type]
    unmixed_epochs=1, ema=0.9, patience=5, weight_decay=0.1, epochs=3, batch_size=64,
)  # fmt: skip
STEPS = 6  # of an epoch


def data() -> Any:
    return open_data("digits").few(0.33)


def weights(trained: Trained) -> list[torch.Tensor]:
    return list(trained.network.state_dict().values())


class Interrupt(Callback):
    """Ends a run by an error after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, i: int) -> None:
        if self.left == 0:
            raise RuntimeError("ended")
        self.left -= 1


@pytest.fixture(scope="module")
def whole() -> Trained:
    """A run that nobody ended."""
    return train(RECIPE, data(), Run(progress=False, num_workers=0))


# Within an epoch; at its end and right after; at the last step.
@pytest.mark.parametrize("after", [1, 6, 7, 17, *map(slow, (2, 5, 11, 12, 13))])
def test_a_run_that_was_ended_at_any_step_and_resumed_has_the_same_weights(
    after: int, tmp_path: Path, whole: Trained
) -> None:
    run = Run(tmp_path, every=1, progress=False, num_workers=0)
    with pytest.raises(RuntimeError, match="ended"):
        train(RECIPE, data(), run, callbacks=(Interrupt(after),))
    resumed = train(RECIPE, data(), run, resume=True)
    assert all(map(torch.equal, weights(resumed), weights(whole)))
    assert [row["validation/loss"] for row in resumed.history] == [
        row["validation/loss"] for row in whole.history
    ]
    assert resumed.best_epoch == whole.best_epoch


KILLED = """
import sys, warnings
from pathlib import Path
from lightning.pytorch import Callback
from augfeed_trainer.train import Run, train
from tests.trainer.test_train import RECIPE, data

warnings.simplefilter("ignore")

class Tell(Callback):
    def on_train_batch_end(self, *given):
        print("step", flush=True)

train(RECIPE, data(), Run(Path(sys.argv[1]), every=1, progress=False, num_workers=1),
      callbacks=(Tell(),))
"""


def test_a_run_that_was_killed_and_resumed_has_the_same_weights(
    tmp_path: Path, whole: Trained
) -> None:
    process = template().fork(KILLED, [str(tmp_path)], os.environ, imports=[__name__])
    with process.stdout, process.stderr:
        for _ in range(9):
            assert any(line.strip() == "step" for line in process.stdout)
        process.kill()
        process.wait()
    resumed = train(
        RECIPE, data(), Run(tmp_path, every=1, progress=False, num_workers=0), resume=True
    )
    assert all(map(torch.equal, weights(resumed), weights(whole)))


def test_a_checkpoint_that_is_half_written_is_passed_over(tmp_path: Path) -> None:
    train(RECIPE.with_(epochs=1), data(), Run(tmp_path, every=2, progress=False, num_workers=0))
    held = newest(tmp_path)
    (held.parent / "99999999.ckpt").write_bytes(held.read_bytes()[:1000])
    assert newest(tmp_path) == held
    with pytest.raises(InputError, match="has no checkpoint to resume from"):
        newest(tmp_path / "nowhere")


def test_threads_and_checkpoints_change_nothing(tmp_path: Path, whole: Trained) -> None:
    other = train(RECIPE, data(), Run(tmp_path, every=4, progress=False, num_workers=3))
    assert all(map(torch.equal, weights(other), weights(whole)))


def test_the_network_given_back_is_that_of_the_best_epoch(whole: Trained) -> None:
    held = score(whole.network, data().validation, data(), RECIPE, num_workers=0)
    assert held == whole.validation
    best = whole.history[whole.best_epoch]["validation/loss"]
    assert held.loss == pytest.approx(best, rel=1e-5)
    assert all("train/accuracy" in row for row in whole.history)
    assert best == min(row["validation/loss"] for row in whole.history)


class Seen(Callback):
    """Keeps the mean loss of each epoch, as the steps give it."""

    def __init__(self) -> None:
        self.losses: list[list[float]] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.losses.append([])

    def on_train_batch_end(
        self, trainer: Trainer, module: Any, out: Any, batch: Any, i: int
    ) -> None:
        self.losses[-1].append(float(out["loss"]))


def test_the_history_has_the_means_of_its_own_epochs() -> None:
    seen = Seen()
    recipe = Recipe(model="mlp", epochs=3, batch_size=61)
    done = train(recipe, data(), Run(progress=False, num_workers=0), callbacks=(seen,))
    means = [sum(losses) / len(losses) for losses in seen.losses]
    assert [row["train/loss"] for row in done.history] == pytest.approx(means, rel=1e-5)


def test_training_learns_digits() -> None:
    parts = open_data("digits")
    trained = train(Recipe(model="mlp", epochs=6), parts, Run(progress=False, num_workers=0))
    tested = score(trained.network, parts.test, parts, trained.recipe, num_workers=0)
    assert tested.accuracy > 0.9 and tested.count == len(parts.test)


RANKS = """
import json, sys
import torch
from lightning.pytorch import Callback
from augfeed_trainer.data import open_data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.train import Run, train
from tests.augfeed.scripts import leave, on_ranks

devices, folder = int(sys.argv[1]), sys.argv[2]

class Gradients(Callback):
    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == 0 and trainer.global_rank == 0:
            torch.save([p.grad.clone() for p in pl_module.network.parameters()],
                       f"{folder}/gradients-{devices}.pt")

def main():
    recipe = Recipe(model="mlp", norm="layer", mixup=0.4, epochs=1, batch_size=64 // devices,
                    policy="random_crop(8, padding=1) | gaussian_noise(0.1)", label_smoothing=0.1)
    data = open_data("digits").few(0.4)
    train(recipe, data, Run(progress=False, num_workers=1, accelerator="cpu", devices=devices),
          callbacks=(Gradients(),))

if devices > 1:
    on_ranks(lambda: (main(), leave()))
else:
    main()
"""


def test_two_processes_take_the_gradient_of_one_with_the_same_global_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["-c", "1", str(tmp_path)])
    exec(RANKS, {"__name__": "__main__"})
    run_script(RANKS, "2", str(tmp_path), imports=[__name__]).check_returncode()
    one, two = (torch.load(tmp_path / f"gradients-{devices}.pt") for devices in (1, 2))
    for alone, shared in zip(one, two, strict=True):
        torch.testing.assert_close(alone, shared, rtol=1e-4, atol=1e-6)


def command(*arguments: str) -> "Result":
    return CliRunner().invoke(app, arguments)


def test_the_command_trains_writes_curves_and_a_recipe_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = "--data digits --model mlp --norm layer --dropout 0.1 --weight-noise 0.05"
    done = command("train", *options.split(), "--patience", "2", "--epochs", "3", "--every", "5")
    assert done.exit_code == 0, done.output
    assert "test:" in done.stdout and "right" in done.stdout
    out = tmp_path / "augfeed-run"
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    recipe = Recipe.load(out / "recipe.json")
    assert recipe.norm == "layer" and recipe.weight_noise is not None
    assert recipe.weight_noise.std == 0.05 and recipe.patience == 2
    given = ("--recipe", str(out / "recipe.json"), "--epochs", "4", "--resume")
    again = command("train", *given)
    assert again.exit_code == 0, again.output
    assert "4 epochs" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--norm", "weight"], "norm='weight'"),
        (["--data", "nowhere"], "'nowhere' does not exist"),
        (["--policy", "hflip"], "changes labels of 'digits'"),
        (["--resume"], "no checkpoint to resume from"),
        (["--recipe", "absent.json"], "cannot be read as a recipe"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command("train", *arguments)
    assert done.exit_code == 2 and said in done.stderr


def test_a_recipe_in_a_file_is_checked(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({"epochs": 0}))
    with pytest.raises(InputError, match="epochs=0"):
        Recipe.load(tmp_path / "recipe.json")
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        Recipe.load(tmp_path / "recipe.json")


def test_mixed_precision_learns_and_keeps_weights_in_float32() -> None:
    recipe = Recipe(model="cnn", norm="batch", epochs=4, batch_size=64, precision="bf16-mixed")
    trained = train(recipe, data(), Run(progress=False, num_workers=0, accelerator="cpu"))
    assert all(item.dtype == torch.float32 for item in trained.network.parameters())
    assert trained.train.accuracy > 0.6
    plain = train(recipe.with_(precision="32-true"), data(),
                  Run(progress=False, num_workers=0, accelerator="cpu"))  # fmt: skip
    assert not torch.equal(weights(trained)[0], weights(plain)[0]), "bfloat16 was in it"
