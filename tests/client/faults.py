"""A proxy that does to answers what networks do; replicas that are killed and start at once."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Fault = Callable[[int], str]


class Proxy:
    """Passes connections on to a port; `fault` names what happens to the n-th large answer.

    "cut" ends the connection in mid-body, "reset" resets it, "stall" sends no more, "flip" changes
    a bit, "refuse" ends it before anything is sent; "" passes it on.
    """

    def __init__(self, port: int, fault: Fault = lambda n: "", at: int = 2000) -> None:
        self.target, self.fault, self.at = port, fault, at
        self.count, self.faults = 0, 0
        self._lock, self._open = threading.Lock(), [True]
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._sockets: list[socket.socket] = [self._socket]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while self._open[0]:
            try:
                near, _ = self._socket.accept()
                far = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                continue
            self._sockets += [near, far]
            threading.Thread(target=self._pass, args=(near, far), daemon=True).start()
            threading.Thread(target=self._spoil, args=(far, near), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _spoil(self, source: socket.socket, target: socket.socket) -> None:
        # Of one connection: each answer begins with its head.
        sent, fault = 0, ""
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if data.startswith(b"HTTP/1.1 ") and b"safetensors" in data[:2000]:
                    with self._lock:
                        fault, sent = self.fault(self.count), 0
                        self.count += 1
                if fault and (fault == "refuse" or sent + len(data) > self.at):
                    self._do(fault, target, bytearray(data), max(0, self.at - sent))
                    if fault != "flip":
                        break
                    fault = ""
                else:
                    target.sendall(data)
                sent += len(data)
        # Nothing ends while another thread waits for it: `_pass` waits for the target.
        end = socket.SHUT_RD if fault == "reset" else socket.SHUT_RDWR
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(end)
            with suppress(OSError):
                one.close()

    def _do(self, fault: str, target: socket.socket, data: bytearray, at: int) -> None:
        self.faults += 1
        if fault == "flip":
            data[min(at, len(data) - 1)] ^= 4
            target.sendall(data)
            return
        if fault != "refuse":
            target.sendall(data[:at])
        if fault == "stall":
            time.sleep(30)
        if fault == "reset":
            target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        self._open[0] = False
        for one in self._sockets:
            with suppress(OSError):
                one.close()


TEMPLATE = """
import json, os, signal, socket, sys
import torch, uvicorn
torch.set_num_threads(1)
from augfeed_service import Settings, make_app
from augfeed_service.server import config_of

given = json.loads(sys.argv[1])
app = make_app(Settings(threads=1, **given))
app.state.service.warm()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    port = int(line)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        own = socket.socket()
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            own.setsockopt(socket.SOL_SOCKET, option, 1)
        own.bind(("127.0.0.1", port))
        config = config_of(app, log_level="error", timeout_graceful_shutdown=5)
        uvicorn.Server(config).run(sockets=[own])
        os._exit(0)
    print(pid, flush=True)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


def reserved() -> socket.socket:
    """Return a socket that keeps a port for those who share it, and takes no connections."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", 0))
    return one


class Template:
    """A process that has all loaded, from which replicas are forked, so that they start at once."""

    def __init__(self, data: dict[str, Path]) -> None:
        given = json.dumps({"datasets": {name: str(path) for name, path in data.items()}})
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", TEMPLATE, given], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def fork(self, port: int) -> int:
        """Start a replica on a port; return its process number."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{port}\n")
        self.process.stdin.flush()
        return int(self._line())

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Herd:
    """Replicas on ports of their own, all of which answer when this is made."""

    def __init__(self, template: Template, count: int) -> None:
        self.template = template
        self._reserved = [reserved() for _ in range(count)]
        self.ports: list[int] = [one.getsockname()[1] for one in self._reserved]
        self.pids = [template.fork(port) for port in self.ports]
        for k in range(count):
            self._wait(k)

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def _wait(self, k: int) -> None:
        # A replica listens once it has started; one that cannot start ends.
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.ports[k]), 1).close()
                return
            os.kill(self.pids[k], 0)
            time.sleep(0.01)

    def send(self, k: int, sig: int) -> None:
        """Send a replica a signal."""
        os.kill(self.pids[k], sig)

    def replace(self, k: int) -> None:
        """Wait until a replica has gone, and until another one answers in its place."""
        with suppress(ProcessLookupError):
            while True:
                os.kill(self.pids[k], 0)
                time.sleep(0.01)
        self.pids[k] = self.template.fork(self.ports[k])
        self._wait(k)

    def close(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for one in self._reserved:
            one.close()
