"""The curves of a run as an image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from augfeed.errors import MissingExtraError
from augfeed.replaced_file import replaced

TRAIN, HELD, STOP = "#7f7f7f", "#1f77b4", "#d62728"


def figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """Return a figure of matplotlib and its axes, drawn without a screen."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("matplotlib", "train") from error
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    axes = made.subplots(1, columns)
    for axis in [axes] if columns == 1 else axes:
        axis.spines[["top", "right"]].set_visible(False)
    return made, axes


def draw_curves(
    history: Sequence[dict[str, float]], best_epoch: int, path: Path, title: str, *, stopped: bool
) -> Path:
    """Write accuracy and loss of each epoch as PNG; the epoch whose weights are kept is marked."""
    made, axes = figure(10, 4, 2)
    epochs = [row["epoch"] + 1 for row in history]
    parts = (
        (axes[0], "accuracy", (("train/accuracy", "training, augmented", TRAIN),
                               ("validation/accuracy", "validation", HELD))),
        (axes[1], "loss (nats)", (("train/excess", "training, above the targets' entropy", TRAIN),
                                  ("validation/loss", "validation", HELD))),
    )  # fmt: skip
    for axis, label, lines in parts:
        for name, text, color in lines:
            axis.plot(epochs, [row.get(name, float("nan")) for row in history], label=text,
                      color=color, marker="o", markersize=3)  # fmt: skip
        what = "stopped; weights of epoch" if stopped else "weights of epoch"
        axis.axvline(best_epoch + 1, color=STOP, linestyle="--", linewidth=1,
                     label=f"{what} {best_epoch + 1}")  # fmt: skip
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_ylabel(label)
        axis.grid(alpha=0.25)
        axis.legend(frameon=False, fontsize=8)
    made.suptitle(title, fontsize=10)
    with replaced(path) as part:
        made.savefig(part, dpi=120)
    return path
