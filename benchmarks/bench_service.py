"""The batch service on loopback: `python -m benchmarks.bench_service`."""

import argparse
import io
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from rich.console import Console
from rich.progress import track

from augfeed import DataLoader, parse_policy
from augfeed.bench.machine import commit_here, machine_here, now, versions_of
from augfeed.bench.result import Spread
from augfeed.errors import CheckError
from augfeed.wire import Description, decode, encode
from augfeed_client import Connection, RemoteLoader
from augfeed_client.replica import HttpRequest, Replica
from benchmarks.common import RESULTS
from benchmarks.result import Ratio, slug
from benchmarks.result_service import PACKAGES, Row, ServiceResult, render

POLICY = "random_crop(32, padding=4) | hflip | one_of([mixup(1.0), cutmix]) | cutout(8)"
ROOT = Path(__file__).resolve().parents[1]
SAMPLES, BATCH = 20_480, 256
LARGE = (128, 3, 224, 224)  # of float16: 38.5 MB
STREAM, WIRE, LOADER = "one stream", "encode and decode a batch", "a loader"
FOUR, STREAMS = "four streams", 4
# The service, and beside it the same bytes from memory, sent by the same server.
SERVER = """
import os
import sys
import uvicorn
from augfeed_service import Settings, make_app
try:
    from augfeed_service.responses import BytesResponse
except ImportError:  # the name of an older checkout
    from augfeed_service.sending import BytesResponse
try:
    from augfeed_service.server import config_of
except ImportError:  # an older checkout, which is compared with this one
    def config_of(app, **given):
        return uvicorn.Config(app, port=0, timeout_keep_alive=75, **given)
app = make_app(Settings(datasets={"small": sys.argv[1], "large": sys.argv[2]}, port=0))
memory = os.urandom(int(sys.argv[3]))  # zeros would be one page, read again and again

@app.get("/memory")
async def of_memory():
    return BytesResponse([memory], {}, "application/octet-stream", seconds=60)

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)

Server(config_of(app, log_level="error")).run()
"""


@dataclass(frozen=True)
class Entry:
    """One way to do something; `amount` of `unit` are done in one call."""

    question: str
    title: str
    run: Callable[[], Any]
    amount: float
    unit: str


def wire_entries() -> list[Entry]:
    """Return the ways to turn a batch into bytes and back."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "images": torch.randn(LARGE, generator=generator).half(),
        "ids": torch.arange(LARGE[0]), "lam": torch.rand(LARGE[0], generator=generator),
    }  # fmt: skip
    received = bytearray(bytes(encode(tensors, {})))
    arrays: Any = {name: tensor.numpy() for name, tensor in tensors.items()}

    def ours() -> Any:
        encode(tensors, {})
        return decode(received)[0]["images"]

    def library() -> Any:
        return safetensors.torch.load(safetensors.torch.save(tensors))["images"]

    def npz() -> Any:
        file = io.BytesIO()
        np.savez(file, **arrays)
        file.seek(0)
        return torch.from_numpy(np.load(file)["images"])

    def pickled() -> Any:
        return torch.from_numpy(pickle.loads(pickle.dumps(arrays, 5))["images"])

    for way in (ours, library, npz, pickled):
        if not torch.equal(way(), tensors["images"]):
            raise CheckError(f"{way.__name__} gives other values: nothing is timed")
    size = len(received) / 1e9
    return [Entry(WIRE, title, way, size, "GB/s") for title, way in (
        ("augfeed: no copy, a checksum each way", ours), ("the safetensors library", library),
        ("numpy's npz", npz), ("pickle 5", pickled))]  # fmt: skip


def stream_entries(replica: Replica) -> tuple[list[Entry], int]:
    """Return a batch from the service's cache, and as many bytes from its memory."""
    plan = Description(
        dataset="large", policy=parse_policy("hflip"), batch_size=LARGE[0], dtype="float16"
    )

    def ask(method: str, path: str, body: Any = None) -> Any:
        wish = HttpRequest(method, path, {}, body, time.monotonic() + 60, 30.0, 1 << 30)
        answer = replica.ask(wish)
        if answer.status not in (200, 201):
            raise CheckError(f"{path} answered {answer.status}: nothing is timed")
        return answer.body

    ask("PUT", f"/v1/plans/{plan.id}", plan.canonical())
    path = f"/v1/plans/{plan.id}/epochs/0/batches/0"
    size = len(ask("GET", path))
    ways = (("augfeed, a batch that is kept", path),
            ("the same server, as many bytes from memory", "/memory"))  # fmt: skip

    def four(of: str) -> None:
        threads = [threading.Thread(target=ask, args=("GET", of)) for _ in range(STREAMS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    made = [Entry(STREAM, title, partial(ask, "GET", of), size / 1e9, "GB/s") for title, of in ways]
    made += [Entry(FOUR, f"{title}, {FOUR}", partial(four, of), STREAMS * size / 1e9, "GB/s")
             for title, of in ways]  # fmt: skip
    return made, size


def loader_entries(url: str, path: Path, threads: int) -> list[Entry]:
    """Return the loader over HTTP, each epoch a new one, and the one in process."""
    shared: dict[str, Any] = {"policy": POLICY, "batch_size": BATCH, "shuffle": True, "seed": 0,
                              "dtype": torch.uint8}  # fmt: skip
    connection = Connection(workers=threads, ahead=2 * threads)
    far = RemoteLoader(url, dataset="small", connection=connection, **shared)
    near: Any = DataLoader(path, num_workers=threads, **shared)
    for one, other in zip(far, near, strict=True):
        if not (torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])):
            raise CheckError("the loaders give different batches: nothing is timed")

    def read(loader: Any) -> Callable[[], int]:
        return lambda: sum(len(images) for images, _ in loader)

    return [
        Entry(LOADER, "augfeed over HTTP, each batch made for it", read(far), SAMPLES, "images/s"),
        Entry(LOADER, "augfeed.DataLoader in process", read(near), SAMPLES, "images/s"),
    ]


class Side:
    """A checkout, with a server and a client of its own in processes of their own."""

    def __init__(self, root: Path, data: Sequence[Path], threads: int) -> None:
        """Start both; raise `CheckError` for a folder that is not a checkout."""
        roots = [root / name for name in ("pipelines", "service", "client")]
        if missing := [str(path) for path in roots if not path.is_dir()]:
            raise CheckError(f"{missing} are missing: give the folder of a checkout")
        given = {
            "server": SERVER, "arguments": [*map(str, data), "1000"], "batch": LARGE[0],
            "threads": threads, "loader": {"policy": POLICY, "batch_size": BATCH, "shuffle": True,
                                           "seed": 0},
        }  # fmt: skip
        script = str(Path(__file__).with_name("service_side.py"))
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", script, json.dumps(given)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))},
        )  # fmt: skip
        self._expect("ready")

    def run(self, what: str) -> None:
        """Have it do something; return when it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        self._expect("done")

    def _expect(self, word: str) -> None:
        assert self.process.stdout is not None
        if (said := self.process.stdout.readline().strip()) != word:
            raise CheckError(f"a checkout said {said!r}, not {word!r}: nothing is timed")

    def close(self) -> None:
        """End both."""
        self.process.communicate()


def against_entries(sides: dict[str, Side], size: int) -> list[Entry]:
    """Return the same work by each checkout: streams that are warm, and loaders."""
    works = (("one", "one stream, warm", size / 1e9, "GB/s"),
             ("four", "four streams, warm", STREAMS * size / 1e9, "GB/s"),
             ("far", "a loader over HTTP", SAMPLES, "images/s"),
             ("near", "a loader in process", SAMPLES, "images/s"))  # fmt: skip
    return [
        Entry(question, f"{question}: {name}", partial(side.run, what), amount, unit)
        for what, question, amount, unit in works for name, side in sides.items()
    ]  # fmt: skip


def shared(url: str) -> tuple[int, int]:
    """Return how many batches were made for four loaders side by side, and how many each read."""
    loaders = [
        RemoteLoader(url, dataset="small", policy=POLICY, batch_size=BATCH, shuffle=True, seed=99)
        for _ in range(4)
    ]

    def made() -> int:
        replica = Replica(url)
        wish = HttpRequest("GET", "/metrics", {}, None, time.monotonic() + 30, 30.0, 1 << 24)
        text = bytes(replica.ask(wish).body).decode()
        replica.close()
        names = ('augfeed_batches_total{source="made"} ', "augfeed_batches_ahead_total ")
        return sum(
            int(float(line.removeprefix(name)))
            for line in text.splitlines() for name in names if line.startswith(name)
        )  # fmt: skip

    before = made()
    threads = [threading.Thread(target=lambda one=one: list(one)) for one in loaders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made() - before, len(loaders[0])


def timed(entries: list[Entry], rounds: int) -> tuple[Row, ...]:
    """Return the rows of all entries, measured in turns."""
    seconds: dict[str, list[float]] = {entry.title: [] for entry in entries}
    for _ in track(range(rounds), "rounds", console=Console(stderr=True)):
        for entry in entries:
            if entry.question != LOADER:
                entry.run()  # what came before it in the round must not decide
            begun = time.perf_counter()
            entry.run()
            seconds[entry.title].append(time.perf_counter() - begun)
    first = {entry.question: entry for entry in reversed(entries)}
    return tuple(
        Row(
            question=entry.question, title=entry.title, seconds=tuple(seconds[entry.title]),
            rate=Spread.of([entry.amount / one for one in seconds[entry.title]]), unit=entry.unit,
            slower=Ratio.of(seconds[entry.title], seconds[first[entry.question].title]),
        )
        for entry in entries
    )  # fmt: skip


def write_data(folder: Path) -> tuple[Path, Path]:
    """Write the datasets: many small images, and one batch of large ones."""
    rng = np.random.default_rng(0)
    paths = folder / "small.npz", folder / "large.npz"
    for path, count, side in zip(paths, (SAMPLES, LARGE[0]), (32, 224), strict=True):
        images = rng.integers(0, 256, (count, side, side, 3), np.uint8)
        np.savez(path, images=images, labels=np.arange(count) % 10)
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the result; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_service")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--num-workers", dest="threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT",
                        help="another checkout, measured by turns with this one")  # fmt: skip
    options = parser.parse_args(arguments)
    machine, sides = machine_here(options.threads), dict[str, Side]()
    with tempfile.TemporaryDirectory() as name:
        small, large = write_data(Path(name))
        size = int(np.prod(LARGE)) * 2
        command = [sys.executable, "-W", "ignore", "-c", SERVER, str(small), str(large), str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            replica = Replica(url)
            try:
                streams, body = stream_entries(replica)
                entries = [*streams, *wire_entries(), *loader_entries(url, small, options.threads)]
                if options.against is not None:
                    for name, root in (("this checkout", ROOT), ("the other", options.against)):
                        sides[name] = Side(root.resolve(), (small, large), options.threads)
                    entries += against_entries(sides, body)
                rows = timed(entries, options.rounds)
                computed, batches = shared(url)
            finally:
                for side in sides.values():
                    side.close()
                replica.close()
                server.terminate()
    result = ServiceResult(
        title="The batch service on loopback", date=now(),
        command=f"python -m benchmarks.bench_service --rounds {options.rounds}"
        + (" --against CHECKOUT" if options.against else ""),
        commit=commit_here(), machine=machine, versions=versions_of(PACKAGES), body=body,
        computed=computed, batches=batches, rounds=options.rounds, rows=rows,
    )  # fmt: skip
    out = options.out or RESULTS / f"service--{slug(f'{machine.cpu} {machine.cores} cores')}.json"
    out.write_text(result.model_dump_json(indent=1) + "\n")
    print(render(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
