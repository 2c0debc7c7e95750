"""The commands `augfeed train` and `augfeed study`."""

import inspect
import json
import logging
import os
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console

from augfeed.errors import InputError
from augfeed.replaced_file import replaced, write_text
from augfeed_trainer.names import check_there
from augfeed_trainer.recipe import Recipe

# Settings that are objects of their own in a recipe have a short form here.
SHORT = {"weight_noise": "standard deviation, relative to each tensor's root mean square"}
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="JSON file to begin with.")]


def _given(
    kind: Any, name: str, default: Any, text: str, *names: str, **bounds: Any
) -> inspect.Parameter:
    annotation = Annotated[kind, typer.Option(*names, help=text, **bounds)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


OUT = "Folder for checkpoints, logs and the curves; --folder is its older name."
# Options that become one object: that of how a run is carried out, that of what a study is asked.
RUN = (
    _given(Path, "out", Path("augfeed-run"), OUT, "--out", "--folder"),
    _given(int, "every", 200, "Steps between checkpoints.", min=1),
    _given(int, "num_workers", 2, "Threads that make batches.", min=0),
    _given(str, "accelerator", "auto", "'cpu', 'gpu', or 'auto'."),
    _given(int, "devices", 1, "Processes on this machine, of one GPU each.", min=1),
    _given(int, "nodes", 1, "Machines.", min=1),
)
SERVED = (
    _given(
        list[str] | None,
        "service",
        None,
        "Address of a replica that gives out the training batches; may be repeated.",
    ),
    _given(str, "dataset", "train", "Its name for the training part of the data."),
)
WHERE = (
    _given(str, "data", "digits", "'digits', a path, or name:path, as fashion-mnist:folder."),
    _given(float, "share", 1.0, "Share of the training part that is used."),
    _given(float, "validation", 0.1, "Share that is held out for validation."),
)
STUDY = (
    _given(float, "minutes", 60.0, "Budget: after so long no run is begun."),
    _given(int, "seeds", 4, "Runs of everything that is compared.", min=2),
    _given(int | None, "parallel", None, "Runs side by side; one for each core.", min=1),
    _given(int | None, "size", None, "Side that images are resized to; 64 for files.", min=1),
)


def with_recipe(
    *options: inspect.Parameter,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options and one for every setting of a recipe.

    It gets the recipe as `recipe` and the options as the mapping `options`. `recipe_file`, a
    parameter of the command, names a file whose settings are changed by those given.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function).parameters
        listed = [item for name, item in own.items() if name not in ("recipe", "options")]
        settings = [_option(name) for name in Recipe.model_fields]

        @wraps(function)
        def command(**given: Any) -> None:
            chosen = {name: given.pop(name) for name in Recipe.model_fields}
            told = {option.name: given.pop(option.name) for option in options}
            path = given["recipe_file"]
            base = Recipe() if path is None else Recipe.load(path)
            changes = {name: value for name, value in chosen.items() if value is not None}
            if "weight_noise" in changes:
                std = changes["weight_noise"]
                changes["weight_noise"] = {"std": std} if std else None
            function(recipe=base.with_(**changes), options=told, **given)

        every = [*options, *listed, *settings]
        command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        command.__annotations__ = {item.name: item.annotation for item in every}
        return command

    return decorate


def _option(name: str) -> inspect.Parameter:
    field = Recipe.model_fields[name]
    kinds = [kind for kind in get_args(field.annotation) if isinstance(kind, type)]
    kind: Any = field.annotation if isinstance(field.annotation, type) else None
    if kind is None:
        plain = [one for one in kinds if one is not type(None)]
        kind = plain[0] if plain and plain[0] in (str, int, float) else str
    if name in SHORT:
        kind = float
    text = SHORT.get(name) or field.description or name.replace("_", " ")
    help_ = f"{text}; default {field.default!r}"
    annotation = Annotated[kind | None, typer.Option(help=help_, show_default=False)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


@with_recipe(*WHERE, *RUN, *SERVED)
def train(
    *,
    recipe: Recipe,
    options: dict[str, Any],
    task: Annotated[
        str, typer.Option(help="'classify' the data; 'segment' or 'detect' shapes drawn here.")
    ] = "classify",
    resume: Annotated[bool, typer.Option(help="Go on from the newest checkpoint there.")] = False,
    recipe_file: RecipeFile = None,
    objective: Annotated[
        str | None, typer.Option(help="'simclr' or 'dino': train on views, without labels.")
    ] = None,
) -> None:
    """Train a network, each regularizer a setting; the test part is measured once, at the end.

    With --objective features are learned without labels, and measured by nearest neighbors and a
    linear classifier.
    """
    _check_where(options)
    _check_run(options)
    if objective is not None:
        _pretrain(objective, recipe, options, resume=resume)
        return
    if task != "classify":
        _train_shapes(task, recipe, options)
        return
    from augfeed_trainer.curves import draw_curves
    from augfeed_trainer.data import open_served
    from augfeed_trainer.models import parameters_of
    from augfeed_trainer.study.images import StudyData
    from augfeed_trainer.train import Run, score
    from augfeed_trainer.train import train as carry_out

    _quiet()
    console = Console()
    served = _served(options)
    where = StudyData(*(options.pop(item.name) for item in WHERE))
    data = where.open() if served is None else open_served(where.data, seed=where.seed)
    run = Run(served=served, **options)
    out = options["out"]
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "recipe.json", json.dumps(recipe.model_dump(mode="json"), indent=1) + "\n")
    console.print(
        f"{data.title}: {len(data.train):,} to train on, {len(data.validation):,} for "
        f"validation, {len(data.test):,} for the test, {data.classes} classes"
    )
    trained = carry_out(recipe, data, run, resume=resume)
    if int(os.environ.get("LOCAL_RANK", "0")):
        return
    test = score(trained.network, data.test, data, recipe, num_workers=run.num_workers)
    title = f"{data.title}: {recipe.model}, {parameters_of(trained.network):,} parameters"
    curves = draw_curves(
        trained.history, trained.best_epoch, out / "curves.png", title, stopped=trained.stopped
    )
    for name, scores in (
        ("training", trained.train), ("validation", trained.validation), ("test", test)
    ):  # fmt: skip
        console.print(f"{name:>10}: {scores.accuracy:.2%} right, loss {scores.loss:.4f}, clean")
    when = "stopped early" if trained.stopped else "trained to the end"
    console.print(
        f"{when}: {len(trained.history)} epochs in {trained.seconds:.1f} s, weights of epoch "
        f"{trained.best_epoch + 1}\n{curves}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _pretrain(objective: Any, recipe: Recipe, options: dict[str, Any], *, resume: bool) -> None:
    for name, given in (("resume", resume), ("service", options["service"])):
        if given:
            raise InputError(f"{name}={given!r} does not go with --objective: leave it out")
    import torch

    from augfeed_trainer.self_supervised import pretrain
    from augfeed_trainer.study.images import StudyData

    data = StudyData(*(options[item.name] for item in WHERE)).open()
    gpu = options["accelerator"] in ("gpu", "cuda") or (
        options["accelerator"] == "auto" and torch.cuda.is_available()
    )
    made = pretrain(
        objective, recipe, data, num_workers=options["num_workers"],
        device="cuda" if gpu else "cpu",
    )  # fmt: skip
    out = options["out"]
    out.mkdir(parents=True, exist_ok=True)
    with replaced(out / "encoder.pt") as part:
        torch.save(made.encoder.state_dict(), part)
    console = Console()
    console.print(f"{data.title}: {objective}, loss {made.losses[0]:.4f} to {made.losses[-1]:.4f}")
    for name, probed in (("untrained", made.before), ("trained", made.after)):
        console.print(
            f"{name:>10}: {probed.nearest:.2%} by nearest neighbors, {probed.linear:.2%} by a "
            "linear classifier"
        )
    console.print(
        f"{len(made.losses)} epochs in {made.seconds:.1f} s\n{out / 'encoder.pt'}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _train_shapes(task: str, recipe: Recipe, options: dict[str, Any]) -> None:
    if task not in ("segment", "detect"):
        raise InputError(f"task={task!r} is unknown: use 'classify', 'segment' or 'detect'")
    known = ("out", "num_workers", "accelerator")
    for item in (*WHERE, *RUN, *SERVED):
        if item.name not in known and options[item.name] != item.default:
            raise InputError(
                f"{item.name}={options[item.name]!r} is for task='classify': shapes are drawn in "
                f"one process, and take of these options {[*known]}"
            )
    from augfeed_trainer.shapes.train import TITLES, save, train_shapes

    console = Console()
    device = "cpu" if options["accelerator"] in ("auto", "cpu") else "cuda"
    measured = train_shapes(
        task, recipe, num_workers=options["num_workers"], device=device,  # type: ignore[arg-type]
        tell=partial(console.print, highlight=False),
    )  # fmt: skip
    path = save(measured, recipe, options["out"])
    console.print(
        f"{TITLES[task]} of the validation part: {measured.score:.3f} (an answer that knows "
        f"nothing: {measured.chance:.3f}), {measured.seconds:.0f} s\n{path}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _check_where(options: dict[str, Any]) -> None:
    # What is wrong is said before Lightning is imported, which takes seconds.
    check_there(options["data"])
    share, validation = options["share"], options["validation"]
    if not 0 < share <= 1:
        raise InputError(f"share={share!r} is not in (0, 1]: give a share of the training part")
    if not 0 < validation < 1:
        raise InputError(f"validation={validation!r} is not in (0, 1): give a share of the data")


def _check_run(options: dict[str, Any]) -> None:
    if options["accelerator"] not in ACCELERATORS:
        raise InputError(
            f"accelerator={options['accelerator']!r} is unknown: use one of {ACCELERATORS}"
        )
    if not options["service"]:
        return
    reasons = {
        "share": "the service gives out all of the training part",
        "validation": "the service gives out all of the training part, so half the test part is it",
    }
    for name, text in reasons.items():
        default = next(item.default for item in WHERE if item.name == name)
        if options[name] != default:
            raise InputError(f"{name}={options[name]!r} does not go with --service: {text}")


def _served(options: dict[str, Any]) -> Any:
    from augfeed_trainer.data import Served

    urls, dataset = options.pop("service"), options.pop("dataset")
    return Served(tuple(urls), dataset) if urls else None


@with_recipe(*WHERE, *STUDY)
def study(
    *,
    recipe: Recipe,
    options: dict[str, Any],
    out: Annotated[Path, typer.Option(help="Folder for runs and report.")] = Path("augfeed-study"),
    curve: Annotated[
        bool, typer.Option(help="Also: a study at each --at share, with the same budget.")
    ] = False,
    at: Annotated[
        list[float] | None, typer.Option(help="Share of the curve; may be repeated.")
    ] = None,
    recipe_file: RecipeFile = None,
) -> None:
    """Find out which regularizers are worth keeping for some data: one by one, then together.

    Steps grow until the plain network fits its training part; strengths are searched. Runs are kept
    in the folder: the same command goes on where it was ended.
    """
    _check_where(options)
    if not options["minutes"] > 0:
        raise InputError(f"minutes={options['minutes']!r} is not above 0: give a budget")
    for share in at or ():
        if not 0 < share <= 1:
            raise InputError(f"at={share!r} is not in (0, 1]: give a share of the training part")
    from augfeed_trainer.study.command import carry_out

    _quiet()
    carry_out(recipe, options, out, (at or [0.01, 0.02, 0.05]) if curve else [])


def _quiet() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
