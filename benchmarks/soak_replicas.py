"""Replicas of the soak: started at once, ended by signals, watched: memory, answers, log."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

MIB = 1 << 20
BOUNDS = {"cache_bytes": 4 * MIB, "inflight_bytes": 64 * MIB, "max_batch_bytes": 16 * MIB,
          "max_body_bytes": 16 * MIB, "max_request_pixels": 16 * MIB, "decode_bytes": 300 * MIB,
          "plan_bytes": 16 * MIB, "idle_bytes": 16 * MIB, "send_seconds": 20,
          "drain": 0.2, "grace": 3, "threads": 2}  # fmt: skip
BUDGET = re.compile(r"^augfeed_memory_limit_bytes\{.*\} ([0-9.e+]+)$", re.MULTILINE)
STATUS = re.compile(
    r'^http_server_request_duration_seconds_count\{.*status="(\w+)".*\} ([0-9.e+]+)$', re.MULTILINE
)
STRIKE = 4  # times its bound: a replica that takes so much is killed, for the machine's sake
EVERY = 0.1  # seconds between two looks at memory
# Loads all once; forks a replica for each line, which runs what `augfeed serve` runs.
TEMPLATE = """
import json, os, signal, sys
import torch
torch.set_num_threads(1)
from augfeed_service import Settings, make_app
from augfeed_service.server import serve_until_ended

given = json.loads(sys.argv[1])
make_app(Settings(**given, port=0)).state.service.warm()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    port, log = json.loads(line)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        for kept in (1, 2):
            os.dup2(out, kept)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = 1
        try:
            serve_until_ended(Settings(**given, port=port))
            code = 0
        finally:
            os._exit(code)
    print(pid, flush=True)
"""


@dataclass
class Life:
    """One process of a replica: its memory over time, and what it took when it was ready."""

    pid: int
    base: int = 0
    budget: int = 0  # bytes that it may take besides
    points: list[tuple[float, int]] = field(default_factory=list)  # seconds of the soak, bytes
    statuses: Counter[str] = field(default_factory=Counter)
    struck: bool = False

    @property
    def peak(self) -> int:
        """The most memory that was seen, in bytes."""
        return max((size for _, size in self.points), default=self.base)


class Herd:
    """Replicas on ports of their own, and a thread that looks at them."""

    def __init__(self, data: dict[str, Path], count: int, folder: Path) -> None:
        """Start all of them; they are ready when this returns."""
        self.data, self.folder, self.begun = data, folder, time.monotonic()
        self.budget = 0
        given = {"datasets": {name: str(path) for name, path in data.items()}, **BOUNDS}
        self._template = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", TEMPLATE, json.dumps(given)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        self._lock = threading.Lock()
        self._line()
        self.ports = [_free_port() for _ in range(count)]
        self.lives: list[list[Life]] = [[] for _ in range(count)]
        self._ended, self.hurry = threading.Event(), threading.Event()
        for k in range(count):
            self.start(k)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def urls(self) -> list[str]:
        """The addresses of all replicas."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def _line(self) -> str:
        assert self._template.stdout is not None
        return self._template.stdout.readline().strip()

    def start(self, k: int) -> None:
        """Start a replica and wait until it is ready."""
        with self._lock:
            assert self._template.stdin is not None
            self._template.stdin.write(json.dumps([self.ports[k], str(self.log(k))]) + "\n")
            self._template.stdin.flush()
            life = Life(int(self._line()))
        while psutil.pid_exists(life.pid) and not self.hurry.is_set():
            if ask(self.ports[k], "/readyz")[0] == 200:
                break
            time.sleep(0.02)
        if not self.hurry.is_set():
            self._warm(k)
        self.budget = self.budget or self._budget(k)  # all have the same
        life.base, life.budget = resident(life.pid), self.budget
        self.lives[k].append(life)

    def _warm(self, k: int) -> None:
        # Have a replica do each kind of work once: what it takes by itself is seen after that.
        for name in self.data:
            plan = {"dataset": name, "policy": "random_resized_crop(8) | cutmix", "batch_size": 8}
            status, text = ask(self.ports[k], "/v1/plans", json.dumps(plan))
            if status in (200, 201):
                ask(self.ports[k], f"/v1/plans/{json.loads(text)['id']}/epochs/0/batches/0")
            shown = {"dataset": name, "policy": "resize(8)", "indices": [0], "epochs": [0]}
            ask(self.ports[k], "/v1/preview", json.dumps(shown))
        image = {"name": "IMAGES", "shape": [1, 8, 8, 3], "datatype": "UINT8", "data": [0] * 192}
        ask(self.ports[k], "/v2/models/hflip/infer", json.dumps({"inputs": [image]}))

    def _budget(self, k: int) -> int:
        # The bounds of all parts of the memory.
        return sum(int(float(part)) for part in BUDGET.findall(ask(self.ports[k], "/metrics")[1]))

    def end(self, k: int, sig: int) -> None:
        """Send a replica a signal, and wait until it has gone."""
        pid = self.lives[k][-1].pid
        self._probe(k)
        with suppress(ProcessLookupError):
            os.kill(pid, sig)
        until = time.monotonic() + 3 * BOUNDS["grace"]
        while psutil.pid_exists(pid):
            if time.monotonic() > until or self.hurry.is_set():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def log(self, k: int) -> Path:
        """Return the file that a replica writes its log to."""
        return self.folder / f"replica{k}.log"

    def _watch(self) -> None:
        turn = 0
        while not self._ended.wait(EVERY):
            turn += 1
            for k, lives in enumerate(self.lives):
                life = lives[-1]
                size = resident(life.pid)
                if not size:
                    continue
                life.points.append((round(time.monotonic() - self.begun, 2), size))
                if size > STRIKE * (life.base + life.budget):
                    life.struck = True
                    with suppress(ProcessLookupError):
                        os.kill(life.pid, signal.SIGKILL)
                if turn % 10 == 0:
                    self._probe(k)

    def _probe(self, k: int) -> None:
        # Counters of a process that is killed are those that were seen last.
        status, text = ask(self.ports[k], "/metrics")
        if status == 200:
            found: Counter[str] = Counter()
            for name, value in STATUS.findall(text):
                found[name] += int(float(value))
            self.lives[k][-1].statuses = found

    def close(self) -> None:
        """End all of them."""
        self._ended.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for k, lives in enumerate(self.lives):
            self._probe(k)
            with suppress(ProcessLookupError):
                os.kill(lives[-1].pid, signal.SIGKILL)
        self._template.kill()
        self._template.wait()
        for pipe in (self._template.stdin, self._template.stdout):
            if pipe is not None:
                pipe.close()


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes, 0 if there is none."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def ask(port: int, path: str, text: str | None = None) -> tuple[int, str]:
    """Return status and text of a page, or of the answer to a JSON text; 0 where nobody answers."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0 if text is None else 20.0)
    try:
        kind = {} if text is None else {"Content-Type": "application/json"}
        line.request("GET" if text is None else "POST", path, text, kind)
        answer: Any = line.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        line.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port
