"""The engine alone, and others at the same work: `python -m benchmarks.bench_kernel`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from augfeed.bench.kernel import Options
from augfeed.bench.report import progress
from augfeed.errors import AugfeedError, InputError
from benchmarks.kernel_contest import PEERS, PORTABLE
from benchmarks.kernel_peer import Peer
from benchmarks.kernel_result import KernelContest, LeftOut
from benchmarks.kernel_run import earlier, run
from benchmarks.kernel_table import render
from benchmarks.result import slug

RESULTS = Path(__file__).parent / "results"
ROUNDS, REPEATS = 9, 20
QUICK = {"shapes": ["16x3x32x32"], "chains": ["seed_chain", "convert", "flip_jitter_normalize"]}
QUICK_ROUNDS = QUICK_REPEATS = 3
MODULES = {"torchvision": "torchvision", "triton_augment": "triton_augment",
           "triton_ready": "triton_augment"}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.bench_kernel")
    made.add_argument("--device", default="auto", help="'cuda', 'cpu'; 'auto' takes a GPU")
    made.add_argument("--engine", default="auto", help="of augfeed, default the device's own")
    made.add_argument("--dtype", help="of the output; default bfloat16, float32 on a CPU")
    made.add_argument("--shape", action="append", help="as 64x3x224x224; may be repeated")
    made.add_argument("--chain", action="append", help="this chain only; may be repeated")
    made.add_argument("--channels-last", action="store_true", help="channels last in memory")
    made.add_argument("--repeats", type=int, help=f"of augfeed alone, default {REPEATS}")
    made.add_argument("--rounds", type=int, help=f"with the others, default {ROUNDS}")
    made.add_argument("--only", help="names of peers, with commas; augfeed always runs")
    made.add_argument("--quick", action="store_true", help="few rounds, small images, no file")
    made.add_argument("--machine", help="name of this machine in the file's name")
    made.add_argument("--commit", help="of the code, where it is not a repository")
    made.add_argument("--out", type=Path, help="file of the result, written after each chain")
    made.add_argument("--resume", action="store_true", help="leave out chains that --out has")
    return made


def options_of(given: argparse.Namespace) -> Options:
    """Return what is measured."""
    quick = QUICK if given.quick else {}
    return Options.of(
        given.device,
        given.engine,
        given.dtype,
        shapes=given.shape or quick.get("shapes"),
        chains=given.chain or quick.get("chains"),
        repeats=given.repeats or (QUICK_REPEATS if given.quick else REPEATS),
        channels_last=given.channels_last,
    )


def command_of(given: argparse.Namespace) -> str:
    """Return the command that was given, without the name of a file."""
    words = ["python -m benchmarks.bench_kernel"]
    for name, value in vars(given).items():
        option = f"--{name.replace('_', '-')}"
        if name in ("out", "machine", "commit", "resume") or value in (None, False, "auto"):
            continue
        for item in value if isinstance(value, list) else [value]:
            words.append(option if item is True else f"{option} {item}")
    return " ".join(words)


def peers_of(only: str | None) -> tuple[list[Peer], list[LeftOut]]:
    """Return the peers that were asked for and are installed, and the others with the reason."""
    names = None if only is None else set(only.split(","))
    known = {peer.name for peer in PEERS}
    if names and (unknown := sorted(names - known - {PORTABLE})):
        raise SystemExit(f"--only names {unknown}: there are {sorted(known)}")
    peers, left_out = [], []
    for peer in PEERS:
        if peer.wished if names is None else peer.name not in names:
            continue
        if reason := _missing(MODULES.get(peer.name)):
            left_out.append(LeftOut(name=peer.name, reason=reason))
        else:
            peers.append(peer)
    return peers, left_out


def _missing(module: str | None) -> str | None:
    if module is None:
        return None
    try:
        __import__(module)
    except Exception as error:  # a broken installation is as good as none
        return f"{module} cannot be imported ({type(error).__name__}: {error})".splitlines()[0]
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the file; return the exit status."""
    console = Console(stderr=True)
    given = parser().parse_args(arguments)
    try:
        options = options_of(given)
        peers, absent = peers_of(given.only)
        rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
        if given.resume and given.out is None:
            raise InputError("--resume goes on with a file: name it with --out")
        known = earlier(given.out, options) if given.resume else None
        chains = options.steps - 2
        with progress(console, chains * (4 + len(peers)), "kernel") as tick:
            result, wrong = run(
                options, peers, rounds, command_of(given), known=known, tick=tick,
                keep=lambda found: _write(_finished(found, absent, given.commit), given.out),
            )  # fmt: skip
    except AugfeedError as error:
        console.print(f"[red]no figures:[/] {error}", highlight=False)
        return 1
    for item in (*absent, *(result.left_out if result else ())):
        where = f" at {item.chain}, {item.shape.name}" if item.shape else ""
        console.print(f"left out: {item.name}{where}: {item.reason}", markup=False)
    for item in wrong:
        console.print(f"[red]no figures:[/] {item.reason}", highlight=False)
    if result is not None:
        result = _finished(result, absent, given.commit)
        sys.stdout.write(render(result))
        _write(result, given.out or (None if given.quick else _default_out(result, given.machine)))
    return int(bool(wrong) or result is None)


def _finished(
    result: KernelContest, absent: Sequence[LeftOut], commit: str | None
) -> KernelContest:
    more = tuple(item for item in absent if item not in result.left_out)
    engine = result.engine.model_copy(update={"commit": commit or result.engine.commit})
    return result.model_copy(update={"engine": engine, "left_out": (*more, *result.left_out)})


def _write(result: KernelContest, out: Path | None) -> None:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_suffix(".part")
        part.write_text(result.model_dump_json(indent=1) + "\n")
        part.replace(out)  # whole or not at all, whenever this process is ended


def _default_out(result: KernelContest, machine: str | None) -> Path:
    found = result.engine
    cpu = f"{found.device.name} {found.machine.cores} cores"
    name = machine or (cpu if found.device.kind == "cpu" else found.device.name)
    return RESULTS / f"kernel--{slug(name)}.json"


if __name__ == "__main__":
    raise SystemExit(main())
