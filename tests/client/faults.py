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
import json, os, signal, sys
import torch, uvicorn
torch.set_num_threads(1)
from augfeed_service import Settings, make_app
from augfeed_service.service import Service

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
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", timeout_keep_alive=75,
                    timeout_graceful_shutdown=5)
        os._exit(0)
    print(pid, flush=True)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


class Herd:
    """Replicas on fixed ports, forked from a process that has all loaded, so they start at once."""

    def __init__(self, count: int, data: dict[str, Path]) -> None:
        given = json.dumps({"datasets": {name: str(path) for name, path in data.items()}})
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", TEMPLATE, given], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        assert self._line() == "ready"
        self.ports = [free_port() for _ in range(count)]
        self.pids = [self.start(k) for k in range(count)]
        for port in self.ports:
            self.wait(port)

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(self, k: int) -> int:
        """Start replica k; return its process number."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{self.ports[k]}\n")
        self.process.stdin.flush()
        return int(self._line())

    def wait(self, port: int) -> None:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.01)

    def end(self, k: int, sig: int = signal.SIGKILL) -> None:
        """Send a replica a signal, and start another one in its place."""
        pid = self.pids[k]
        os.kill(pid, sig)
        while sig != signal.SIGKILL:  # its port is free when it has gone
            try:
                os.kill(pid, 0)
                time.sleep(0.01)
            except ProcessLookupError:
                break
        self.pids[k] = self.start(k)

    def close(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
