"""One run of the kernel's benchmark, chain by chain; what is measured is kept after each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from augfeed.bench.kernel import Options, Tick, measure
from augfeed.bench.machine import device_here, versions_of
from augfeed.errors import CheckError, InputError
from benchmarks.kernel_contest import contest
from benchmarks.kernel_peer import Peer
from benchmarks.kernel_result import WHOLE, KernelContest, LeftOut

PACKAGES = ("torch", "triton", "numpy", "numba", "kornia", "torchvision", "triton-augment")
TITLE = "The engine alone, on images that lie on its device"
Keep = Callable[[KernelContest], None]


def run(
    options: Options, peers: Sequence[Peer], rounds: int, command: str, *,
    known: KernelContest | None = None, keep: Keep = lambda _: None, tick: Tick = lambda _: None,
) -> tuple[KernelContest | None, list[LeftOut]]:  # fmt: skip
    """Return the result of all chains, None if there is none, and the chains whose pixels differ.

    `known` is what an earlier run left behind, whose chains are not measured again; `keep` is
    given what there is after each chain.
    """
    found, wrong = known, list[LeftOut]()
    for part in _each(options, known):
        ((shape, policies),) = part.wanted.items()
        (chain,) = policies
        try:
            engine = measure(part, command, tick, found.engine.copied if found else None)
        except CheckError as error:
            wrong.append(LeftOut(name=WHOLE, reason=str(error), chain=chain, shape=shape))
            continue
        rows, left_out = contest(part, peers, rounds, tick)
        made = KernelContest(
            title=TITLE, rounds=rounds, versions=versions_of(PACKAGES), engine=engine, rows=rows,
            left_out=left_out,
        )  # fmt: skip
        found = joined(found, made) if found else made
        keep(found)
    return found, wrong


def joined(one: KernelContest, other: KernelContest) -> KernelContest:
    """Return two results as one; what was measured once is that of the first."""
    engine = one.engine.model_copy(update={"rows": one.engine.rows + other.engine.rows})
    return one.model_copy(update={
        "engine": engine, "rows": one.rows + other.rows,
        "left_out": one.left_out + other.left_out,
    })  # fmt: skip


def earlier(path: Path, options: Options) -> KernelContest | None:
    """Return what an earlier run left in a file, None without one.

    Raises `InputError` if it was measured on something else, as rows of one file are compared.
    """
    if not path.exists():
        return None
    found = KernelContest.model_validate_json(path.read_text())
    here = {
        "device": device_here(options.device), "versions": versions_of(PACKAGES),
        "dtype": str(options.output.dtype).removeprefix("torch."),
        "channels_last": options.output.channels_last,
    }  # fmt: skip
    there = {
        "device": found.engine.device, "versions": found.versions, "dtype": found.engine.dtype,
        "channels_last": found.engine.channels_last,
    }  # fmt: skip
    for name, value in here.items():
        if value != there[name]:
            raise InputError(
                f"{path.name} has {name} {there[name]!r}, and here it is {value!r}: rows of one "
                "file are compared, so name another file, or leave out --resume"
            )
    return found


def _each(options: Options, known: KernelContest | None) -> Iterator[Options]:
    done = {(row.shape, row.chain) for row in known.engine.rows} if known else set()
    for shape, policies in options.wanted.items():
        for chain, policy in policies.items():
            if (shape, chain) not in done:
                yield replace(options, wanted={shape: {chain: policy}})
