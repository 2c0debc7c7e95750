"""The command `augfeed`."""

import gc
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from typer.core import TyperGroup

from augfeed import __version__
from augfeed.commands import Later, added
from augfeed.errors import AugfeedError, InputError
from augfeed.image_file import check_image_path, write_image

if TYPE_CHECKING:
    from augfeed.pipeline import Pipeline
    from augfeed.read.sources import Source
    from augfeed.view_pipeline import ViewPipeline
    from augfeed.views import Views

FAILED, REFUSED = 1, 2  # exit codes


class Commands(TyperGroup):
    """The commands of this module and those that other distributions add."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, the own ones first."""
        own = super().list_commands(ctx)
        return [*own, *sorted(added().keys() - own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; one of another distribution is imported when it is run."""
        own = super().get_command(ctx, cmd_name)
        found = added().get(cmd_name) if own is None else None
        return own if found is None else Later(found)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what is raised on purpose, or by files, is printed without a traceback."""
        try:
            return super().invoke(ctx)
        except (AugfeedError, OSError) as error:
            if ctx.params.get("debug") or isinstance(error, BrokenPipeError):
                raise
            message = Text.assemble(("error: ", "bold red"), str(error))
            Console(stderr=True).print(message, soft_wrap=True)
            raise typer.Exit(REFUSED if isinstance(error, AugfeedError) else FAILED) from None


app = typer.Typer(
    name="augfeed",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

bench = typer.Typer(
    name="bench", help="Measure what augfeed reaches on this machine.", no_args_is_help=True
)
app.add_typer(bench)

Data = Annotated[
    str,
    typer.Option(
        help="Image folder, folder of idx files, .npz file; or 'digits', 'photos' (embedded)."
    ),
]
POLICIES = "A preset, as 'imagenet(176)'; a line, as 'hflip | cutmix'; or JSON."
PolicyText = Annotated[str, typer.Option(help=POLICIES)]
Seed = Annotated[int, typer.Option(help="Seed of every decision.")]
Epoch = Annotated[int, typer.Option(help="Epoch, from 0.")]
Split = Annotated[str, typer.Option(help="'train' or 'test', of idx folders and .npz files.")]
Shuffle = Annotated[
    bool, typer.Option(help="Whether the loader shuffles: who is mixed with whom depends on it.")
]
Allow = Annotated[
    list[str] | None, typer.Option(metavar="RULE", help="Break this rule; may be repeated.")
]

JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write raw times, as JSON.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"augfeed {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="AUGFEED_DEBUG", help="Show errors with a traceback.")
    ] = False,
) -> None:
    """Augmented image batches on the device, each one reproducible."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the images.")] = Path("augfeed-demo"),
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each rate is measured.")] = 3.0,
) -> None:
    """Show on this machine what augfeed does, in under a minute."""
    from augfeed.demo import run_demo

    if out.exists() and not out.is_dir():
        raise InputError(f"out={str(out)!r} is a file: give a folder, or a new name")
    run_demo(Console(), out, seconds=seconds)


@app.command()
def preview(
    data: Data,
    policy: Annotated[str | None, typer.Option(help=POLICIES)] = None,
    out: Annotated[Path, typer.Option(help="PNG or JPEG file to write.")] = Path("preview.png"),
    seed: Seed = 0,
    epoch: Epoch = 0,
    count: Annotated[int, typer.Option(min=1, max=100, help="Samples, a row each.")] = 8,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=20, help="Successive epochs, side by side.", show_default="4"),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(help="Views, side by side: a set, as 'dino', or a number by --policy."),
    ] = None,
    index: Annotated[
        list[int] | None, typer.Option(help="Show this sample; may be repeated. Excludes --count.")
    ] = None,
    split: Split = "train",
    shuffle: Shuffle = True,
    allow: Allow = None,
) -> None:
    """Draw samples beside what becomes of them, with their labels."""
    check_image_path(out)
    if views is not None:
        if epochs is not None:
            raise InputError(
                f"epochs={epochs} and views={views!r} are both side by side: leave one of them out"
            )
        made = _views(views, policy)
    elif policy is None:
        raise InputError("neither --policy nor --views says what to show: give one of them")
    else:
        _check_policy(policy)
    from augfeed.demo import opened
    from augfeed.show import preview as draw
    from augfeed.show import preview_views
    from augfeed.show.terminal import patience

    with patience(Console(stderr=True), "drawing"), opened(data, split) as source:
        total = len(source)
        # Spread over the dataset, which is often sorted by class.
        spread = sorted({(2 * k + 1) * total // (2 * count) for k in range(count)})
        order: dict[str, Any] = {"seed": seed, "shuffle": shuffle, "allow": allow}
        if views is not None:
            whole = _view_pipeline(source, made, **order)
            picture = preview_views(whole, indices=index or spread, epoch=epoch)
        else:
            pipeline = _pipeline(source, policy or "", **order)
            shown = range(epoch, epoch + (epochs or 4))
            picture = draw(pipeline, indices=index or spread, epochs=shown)
    typer.echo(write_image(picture, out))


def _views(text: str, policy: str | None) -> "Views":
    from augfeed.views import resolve_views

    return resolve_views(int(text) if text.strip().lstrip("-").isdecimal() else text, policy)


def _view_pipeline(
    source: "Source", views: "Views", *, seed: int, shuffle: bool, allow: list[str] | None
) -> "ViewPipeline":
    from augfeed.pipeline import Order
    from augfeed.view_pipeline import ViewPipeline

    made = ViewPipeline(source, views, order=Order(shuffle=shuffle), seed=seed)
    made.check(None, allow or ())
    return made


@app.command()
def explain(
    data: Data,
    policy: PolicyText,
    index: Annotated[int, typer.Option(help="The sample: its place in the dataset.")],
    seed: Seed = 0,
    epoch: Epoch = 0,
    out: Annotated[
        Path | None, typer.Option(help="Image to write.", show_default="explain-INDEX.png")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    split: Split = "train",
    shuffle: Shuffle = True,
    allow: Allow = None,
    view: Annotated[
        int | None, typer.Option(min=0, help="POLICY is a set of views, as 'dino': this one of it.")
    ] = None,
) -> None:
    """Tell every decision about one sample; nothing needs to have been logged."""
    path = check_image_path(out or Path(f"explain-{index}.png"))
    _check_explained(policy, view)
    from augfeed.demo import opened
    from augfeed.show import draw_sample, explain_sample
    from augfeed.show.terminal import explanation_table, patience

    with patience(Console(stderr=True), "recomputing"), opened(data, split) as source:
        if view is None:
            pipeline = _pipeline(source, policy, seed=seed, shuffle=shuffle, allow=allow)
        else:
            pipeline = _pipeline_of_view(source, policy, view, seed=seed, shuffle=shuffle)
        explanation = explain_sample(pipeline, index, epoch)
        picture = draw_sample(pipeline, explanation)
    if as_json:
        typer.echo(json.dumps({**explanation.as_dict(), "picture": str(path)}, indent=2))
    else:
        Console().print(explanation_table(explanation))
    write_image(picture, path)
    if not as_json:
        typer.echo(path)


def _pipeline_of_view(
    source: "Source", views: str, view: int, *, seed: int, shuffle: bool
) -> "Pipeline":
    from augfeed.pipeline import Order, Pipeline
    from augfeed.views import resolve_views

    part = resolve_views(views).part_of(view)
    made = Pipeline(source, part.policy, order=Order(shuffle=shuffle), seed=seed)
    return made.of_view(view, part.sharing)


@app.command()
def doctor(
    samples: Annotated[int, typer.Option(help="Samples drawn in the self-test.")] = 40_000,
    seed: Annotated[int, typer.Option(help="Seed of the self-test.")] = 0,
) -> None:
    """Tell what this machine can do, and test the draws against their laws."""
    from augfeed.doctor import report

    if not report(Console(), samples=samples, seed=seed):
        raise typer.Exit(FAILED)


@bench.command()
def kernel(
    device: Annotated[str, typer.Option(help="'cuda', 'cpu'; 'auto' takes a GPU.")] = "auto",
    engine: Annotated[str, typer.Option(help="'auto', or the name of an engine.")] = "auto",
    dtype: Annotated[
        str | None, typer.Option(help="Of the output.", show_default="bfloat16; float32 on a CPU")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="BATCHxCxHxW", help="As 64x3x224x224; may be repeated."),
    ] = None,
    chain: Annotated[
        list[str] | None, typer.Option(help="Measure this chain only; may be repeated.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="How often each is timed, at least 3.")] = 20,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Give channels out last in memory.")
    ] = False,
    predict: Annotated[
        bool, typer.Option("--predict", help="Tell from the machine code; needs Triton, no GPU.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Measure an engine against the copy bandwidth of the device that it runs on."""
    from augfeed.bench import Options, Wanted, run_kernel, run_prediction
    from augfeed.bench.machine import command_here

    if predict:
        if (device, engine, repeats) != ("auto", "auto", 20):
            raise InputError("--predict measures nothing: leave out --device, --engine, --repeats")
        wanted = Wanted.of(shape, dtype, chain, channels_last=channels_last)
        run_prediction(Console(), wanted, command_here(), json_file)
        return
    options = Options.of(
        device, engine, dtype, shapes=shape, chains=chain, repeats=repeats,
        channels_last=channels_last,
    )  # fmt: skip
    run_kernel(Console(), options, command_here(), json_file)


@bench.command()
def loader(
    data: Annotated[str, typer.Option(help="As elsewhere; files or arrays.")] = "photos",
    policy: Annotated[
        str | None, typer.Option(help="As elsewhere.", show_default="imagenet, or fashion")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples of a batch.")] = 64,
    num_workers: Annotated[
        int | None,
        typer.Option(help="Threads of the loader, and of the limit.", show_default="all cores"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Of each row in each round.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.")] = 5,
    split: Split = "train",
    json_file: JsonFile = None,
) -> None:
    """Measure a loader against this machine's limit: decoding alone, or gathering alone."""
    from augfeed.bench.loader import LoaderOptions, default_policy, run_loader, sized
    from augfeed.bench.machine import command_here, cores
    from augfeed.demo import opened
    from augfeed.presets import resolve_policy

    with opened(data, split) as found:
        source = sized(found, batch_size)
        chosen = default_policy(source) if policy is None else resolve_policy(policy)
        asked = LoaderOptions(source, chosen, batch_size, num_workers or cores(), seconds, rounds)
        run_loader(Console(), asked, command_here(), json_file)


@app.command()
def policies() -> None:
    """List the presets: what they do, and the rules that they keep."""
    from augfeed.invariances import RULES, Invariances
    from augfeed.notation import format_policy
    from augfeed.presets import PRESETS

    console, free = Console(highlight=False), Invariances()
    for name, make in PRESETS.items():
        policy = make()
        console.print(Text(name, style="bold"))
        console.print(Padding(Text(format_policy(policy)), (0, 0, 0, 2)))
        if rules := policy.invariances:
            kept = (f"{rule}={getattr(rules, rule)!r}" for rule in RULES
                    if getattr(rules, rule) != getattr(free, rule))  # fmt: skip
            line = Text(f"rules of {rules.name}: {', '.join(kept)}", style="dim")
            console.print(Padding(line, (0, 0, 0, 2)))


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names that its encoding lacks, or that are not text, are written as \\u732b.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    finally:
        gc.freeze()  # else the interpreter looks through all modules several times on its way out


def _pipeline(
    source: "Source", policy: str, *, seed: int, shuffle: bool, allow: list[str] | None
) -> "Pipeline":
    from augfeed.pipeline import Order, Pipeline
    from augfeed.presets import resolve_policy

    pipeline = Pipeline(source, resolve_policy(policy), order=Order(shuffle=shuffle), seed=seed)
    pipeline.check(None, allow or ())
    return pipeline


def _check_policy(policy: str) -> None:
    # Before what opens the data is imported, which takes seconds.
    from augfeed.presets import resolve_policy

    resolve_policy(policy)


def _check_explained(policy: str, view: int | None) -> None:
    from augfeed.view_presets import VIEW_PRESETS

    views = policy.partition("(")[0].strip() in VIEW_PRESETS
    if views and view is None:
        raise InputError(f"policy={policy!r} is a set of views: say which of it, as --view 0")
    if not views and view is None:
        _check_policy(policy)


if __name__ == "__main__":
    main()
