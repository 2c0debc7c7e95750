"""What augfeed does, shown on this machine in under a minute: decisions, images, rates."""

import importlib.metadata
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from augfeed import presets
from augfeed.demo.data import digits, opened, photos
from augfeed.demo.rates import decode_rate, loader_rate
from augfeed.doctor.environment import cores
from augfeed.errors import InvarianceError, MissingExtraError
from augfeed.loader import DataLoader
from augfeed.notation import format_policy
from augfeed.pipeline import Order, Pipeline
from augfeed.policy import HorizontalFlip, Policy
from augfeed.policy.check import check_policy, findings
from augfeed.read.folder import FolderSource
from augfeed.read.sources import Source
from augfeed.replaced_file import save_image
from augfeed.show import draw_sample, explain_sample, preview
from augfeed.show.terminal import explanation_table, findings_table, patience

GROUP = "augfeed.demo"  # entry points: functions of console and folder that return images
SEED = 0
REPEATS = 16  # of the few photographs in an epoch that is measured
ROUNDS = 3


def run_demo(console: Console, out: Path, *, seconds: float = 3.0) -> list[Path]:
    """Show decisions, images and rates; return the images written to the folder `out`.

    Each rate is measured for `seconds`. Raises `MissingExtraError` without scikit-learn.
    """
    numbers, policy = digits(), digits_policy()
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="augfeed-") as folder:
        pictures, chain = photos(Path(folder)), presets.seed_chain()
        console.rule("digits: which label is still true?")
        _show_safety(console, numbers, policy)
        console.rule("decisions, recomputed from (seed, epoch, sample)")
        written = _show_sample(console, numbers, policy, 22, out / "digit.png")
        written += _show_sample(console, pictures, chain, 28, out / "photo.png")
        console.rule("images")
        written += _draw(console, numbers, policy, range(10, 18), out / "digits.png")
        written += _draw(console, pictures, chain, (3, 12, 20, 31), out / "photos.png")
        for path in written:
            console.print(f"  {path}", highlight=False, soft_wrap=True)
        console.rule("rates")
        console.print(_rates(console, numbers, policy, pictures, chain, seconds))
    return written + _added(console, out)


def _added(console: Console, out: Path) -> list[Path]:
    # The trainer's part, which this library does not import: it is there if the trainer is.
    written: list[Path] = []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda each: each.name):
        try:
            show = entry.load()
        except (ImportError, MissingExtraError) as error:
            console.print(f"no {entry.name}: {error}; pip install 'augfeed[train]'", markup=False)
            continue
        written += show(console, out)
    for path in written:
        console.print(f"  {path}", highlight=False, soft_wrap=True)
    return written


def digits_policy() -> Policy:
    """Return the preset for digits with the size and statistics of the embedded ones."""
    return presets.digits(8, mean=0.3053, std=0.3760)


def _show_safety(console: Console, source: Source, policy: Policy) -> None:
    assert source.name is not None
    console.print(f"policy: {escape(format_policy(policy))}", highlight=False)
    found = findings(policy, source.name, source=source.sizes)
    console.print(findings_table(found, f"held against the rules of {source.name!r}"))
    console.print("the same with horizontal_flip is refused:")
    try:
        check_policy(policy.with_(HorizontalFlip()), source.name, source=source.sizes)
    except InvarianceError as error:
        console.print(f"[red]error:[/] {escape(str(error))}", highlight=False)


def _show_sample(
    console: Console, source: Source, policy: Policy, index: int, path: Path
) -> list[Path]:
    pipeline = _pipeline(source, policy)
    with patience(console, "recomputing a sample"):
        explanation = explain_sample(pipeline, index, 1)
        save_image(path, draw_sample(pipeline, explanation))
    console.print(explanation_table(explanation), "")
    return [path]


def _draw(
    console: Console, source: Source, policy: Policy, indices: Sequence[int], path: Path
) -> list[Path]:
    with patience(console, "drawing"):
        save_image(path, preview(_pipeline(source, policy), indices=indices, epochs=range(4)))
    return [path]


def _rates(
    console: Console,
    numbers: Source,
    policy: Policy,
    pictures: FolderSource,
    chain: Policy,
    seconds: float,
) -> Table:
    threads = cores()
    assert pictures.labels is not None and pictures.classes is not None
    pairs = [(pictures.path(i), int(label)) for i, label in enumerate(pictures.labels)]
    many = FolderSource.of(pairs * REPEATS, pictures.classes, name=pictures.name)
    small = DataLoader(numbers, 256, True, policy=policy, num_workers=threads, seed=SEED)
    large = DataLoader(many, 32, True, policy=chain, num_workers=threads, seed=SEED)
    measures: dict[str, Callable[[float], float]] = {
        "digits, 8 x 8, whole policy, through the loader": partial(loader_rate, small),
        "photos, JPEG, reading and decoding alone": partial(decode_rate, many, threads),
        "photos, whole policy to 224 x 224, through the loader": partial(loader_rate, large),
    }
    totals = dict.fromkeys(measures, 0.0)
    with Progress(console=console, transient=True) as progress:
        # In turns, so that a busy moment of the machine does not hit one of them alone.
        rounds = [name for _ in range(ROUNDS) for name in measures]
        for name in progress.track(rounds, description="measuring"):
            totals[name] += measures[name](seconds / ROUNDS) / ROUNDS
    table = Table("what", "images/s", title=f"{threads} threads", title_justify="left")
    for name, rate in totals.items():
        table.add_row(name, f"{rate:,.0f}")
    _, decoding, whole = totals.values()
    table.add_row("that is, of decoding alone", f"{whole / decoding:.0%}")
    return table


def _pipeline(source: Source, policy: Policy) -> Pipeline:
    pipeline = Pipeline(source, policy, order=Order(shuffle=True), seed=SEED)
    pipeline.check(None)
    return pipeline


__all__ = ["digits", "digits_policy", "opened", "photos", "run_demo"]
