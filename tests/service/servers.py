"""Real servers on loopback, in a thread of the tests or in a process of their own."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import uvicorn
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from augfeed import Order, Pipeline, parse_policy
from augfeed.wire import Description
from augfeed_service import Settings, make_app
from augfeed_service.server import config_of
from augfeed_service.service import Service
from tests.template import template
from tests.waiting import HANG, eventually

# What `augfeed serve` runs, and what that imports.
SERVE = """
import sys
from augfeed.cli import main
sys.argv[1:1] = ["serve"]
main()
"""
SERVED = ("uvicorn", "augfeed.cli", "augfeed_service.cli", "augfeed_service.server")
MIXED = "hflip | one_of([mixup(1.0), cutmix]) | label_smoothing(0.1)"


def digits(folder: Path, count: int = 120) -> Path:
    """Write a small dataset of arrays; return its file."""
    found = load_digits()
    path = folder / "digits.npz"
    images = (found.images[:count, :, :, None] * 15.9).astype(np.uint8)
    np.savez(path, images=images, labels=found.target[:count])
    return path


def photos(folder: Path, count: int = 18) -> Path:
    """Write a small folder of photographs; return it."""
    photo = load_sample_image("flower.jpg")
    for k in range(count):
        path = folder / "photos" / "ab"[k % 2] / f"{k:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo[k * 5 : k * 5 + 90, k * 7 : k * 7 + 120]).save(path, quality=92)
    return folder / "photos"


def described(dataset: str = "digits", policy: str = MIXED, **given: Any) -> Description:
    return Description(dataset=dataset, policy=parse_policy(policy), **{"batch_size": 16, **given})


def local(plan: Description, data: Any, *, rank: int = 0, world: int = 1, form: Any) -> Pipeline:
    """Return the pipeline of a plan in this process."""
    order = Order(plan.batch_size // world, plan.shuffle, plan.drop_last, rank, world)
    return Pipeline(
        data, plan.policies[0], order=order, seed=plan.seed, output=plan.output, targets=form
    )


class Reply(NamedTuple):
    """An answer, with the names of its headers in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        said = json.loads(self.body)
        assert said["status"] == self.status and said["detail"] and said["title"]
        return str(said["type"].rsplit("/", 1)[1])

    @property
    def detail(self) -> str:
        said = json.loads(self.body)
        return str(said["error"] if "error" in said else said["detail"])


def ask(
    port: int, method: str, path: str, body: Any = None, timeout: float = HANG, **headers: str
) -> Reply:
    """Return the answer to one request, on a connection of its own."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        line.request(method, path, body, named)
        answer = line.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, answer.read())
    finally:
        line.close()


class Running:
    """A service in a thread."""

    def __init__(self, **given: Any) -> None:
        self.app = make_app(Settings(**{"threads": 2, "port": 0, **given}))
        config = config_of(self.app, log_level="error", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        assert eventually(lambda: self._server.started or not self._thread.is_alive())
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def service(self) -> Service:
        found: Service = self.app.state.service
        return found

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return ask(self.port, method, path, body, HANG, **headers)

    def register(self, plan: Description) -> str:
        """Tell the service a plan; return the path of its batches."""
        answer = self.ask("PUT", f"/v1/plans/{plan.id}", plan.canonical())
        assert answer.status in (200, 201), answer.body
        return f"/v1/plans/{plan.id}/epochs"

    def metric(self, name: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(HANG)


@contextmanager
def serving(**given: Any) -> Iterator[Running]:
    """A service in a thread for a while."""
    made = Running(**given)
    try:
        yield made
    finally:
        made.stop()


class Process:
    """`augfeed serve` in a process of its own: forked from one that has imported all, or `new`."""

    def __init__(self, *arguments: str, code: str = "", new: bool = False, **environment: str
                 ) -> None:  # fmt: skip
        """Run the command with these arguments, or `code`, until it says where it serves."""
        paths = os.pathsep.join(path for path in sys.path if path)
        given = {"PYTHONPATH": paths, "COLUMNS": "300", "AUGFEED_DRAIN": "0", **environment}
        if new:
            command = [sys.executable, "-m", "augfeed.cli", "serve", *arguments]
            self.process: Any = subprocess.Popen(
                command, stderr=subprocess.PIPE, text=True, env={**os.environ, **given}
            )
        else:
            self.process = template().fork(
                code or SERVE, arguments, {**os.environ, **given}, name="serve", imports=SERVED
            )
        self.lines: list[str] = []
        self.port = 0
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"serving on http://\S*:(\d+)", line):
                self.port = int(found[1])
                break
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def end(self, sig: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        self.process.send_signal(sig)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end; return the exit status."""
        code: int = self.process.wait(HANG)
        self._reader.join(HANG)
        assert self.process.stderr is not None
        self.process.stderr.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code
