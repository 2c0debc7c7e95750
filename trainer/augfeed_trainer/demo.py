"""The end of `augfeed demo`: a small network on few digits, plain and regularized."""

import logging
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from augfeed.demo import digits_policy
from augfeed.notation import format_policy
from augfeed.policy import Normalize, Policy, Rotate, Translate
from augfeed.replaced_file import replaced
from augfeed_trainer.curves import figure
from augfeed_trainer.data import Data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.images import StudyData
from augfeed_trainer.train import Run, Trained, score, train

SHARE = 0.2  # of the training part: few images are what regularizers are for
SEEDS = (0, 1)
COLORS = {"plain": "#7f7f7f", "regularized": "#1f77b4"}


def recipes() -> dict[str, Recipe]:
    """Return the two recipes; both stop early, on the same rule."""
    normalize = digits_policy().find(Normalize)
    assert normalize is not None
    plain = Recipe(model="cnn", epochs=60, batch_size=32, patience=10)
    shifts = format_policy(Policy([Rotate(10), Translate(0.12), normalize]))
    return {
        "plain": plain,
        "regularized": plain.with_(
            policy=shifts, norm="batch", label_smoothing=0.1, weight_decay=0.02
        ),
    }


def run_demo(console: Console, out: Path, *, seeds: Sequence[int] = SEEDS) -> list[Path]:
    """Train with both recipes and show what the regularizers brought; return the image."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    data = StudyData("digits", SHARE, 0.1).open()
    console.rule("training: what do regularizers bring?")
    console.print(
        f"digits, {len(data.train)} to train on, {len(data.validation)} for early stopping, "
        f"{len(data.test)} for the test; plain: a small CNN; regularized: the same with "
        "rotation and shifts, batch norm, label smoothing and weight decay",
        highlight=False,
    )
    made: dict[str, list[Trained]] = {name: [] for name in recipes()}
    with Progress(console=console, transient=True) as bar:
        jobs = [(name, recipe, seed) for seed in seeds for name, recipe in recipes().items()]
        for name, recipe, seed in bar.track(jobs, description="training"):
            run = Run(num_workers=1, accelerator="cpu", progress=False)
            made[name].append(train(recipe.with_(seed=seed), data, run))
    console.print(_table(made, data, f"means of {len(seeds)} seeds"))
    return [_draw(made, out / "training.png")]


def _table(made: dict[str, list[Trained]], data: Data, title: str) -> Table:
    table = Table(
        "", "training", "validation", "test", "epochs to stop", title=title, title_justify="left"
    )
    for name, runs in made.items():
        tested = [score(run.network, data.test, data, run.recipe, num_workers=1) for run in runs]
        columns = (
            [run.train for run in runs], [run.validation for run in runs], tested
        )  # fmt: skip
        shares = [f"{mean(scores.accuracy for scores in column):.1%}" for column in columns]
        table.add_row(name, *shares, ", ".join(str(len(run.history)) for run in runs))
    return table


def _draw(made: dict[str, list[Trained]], path: Path) -> Path:
    drawn, axis = figure(8, 4)
    for name, runs in made.items():
        for k, run in enumerate(runs):
            epochs = [row["epoch"] + 1 for row in run.history]
            shares = [row["validation/accuracy"] for row in run.history]
            axis.plot(epochs, shares, color=COLORS[name], label=name if k == 0 else None)
            kept = run.best_epoch
            axis.plot(epochs[kept], shares[kept], "o", color=COLORS[name], markersize=8,
                      label=f"{name}: weights that are kept" if k == 0 else None)  # fmt: skip
    axis.set_ylim(0.75, 1)
    axis.set_xlabel("epoch")
    axis.set_ylabel("accuracy on held-out digits")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, loc="lower right")
    with replaced(path) as part:
        drawn.savefig(part, dpi=120)
    return path
