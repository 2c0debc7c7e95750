"""Requests of a hostile client. Each takes seconds at most, and returns what came of it."""

import io
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import quote

import numpy as np
from PIL import Image

Rng = np.random.Generator
Attack = Callable[[int, Rng], str]
SECONDS = 2.0  # that one of them waits for an answer
HELD = 64  # connections that are kept half-open at a time
MIB = 1 << 20


def exchange(port: int, parts: Iterator[bytes] | list[bytes], *, reads: bool = True) -> str:
    """Send parts until the other side ends; return the status of its answer, or how it ended."""
    try:
        with socket.create_connection(("127.0.0.1", port), SECONDS) as line:
            line.settimeout(SECONDS)
            cut = False
            try:
                for part in parts:
                    line.sendall(part)
            except OSError:
                cut = True
            if not reads:
                return "left"
            head = line.recv(64)
            if head.startswith(b"HTTP/1."):
                return head.split(b" ")[1].decode("ascii", "replace")
            return "cut off" if cut or not head else "no HTTP"
    except TimeoutError:
        return "no answer"
    except OSError:
        return "cut off"


def request(method: str, path: str, body: bytes, kind: str = "application/json") -> list[bytes]:
    """Return a request that is well-formed as HTTP."""
    head = (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n")  # fmt: skip
    return [head.encode(), body]


class Halves:
    """Heads of requests that never end, on connections that are kept."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def __call__(self, port: int, rng: Rng) -> str:
        """Begin one more, and let the oldest go."""
        if len(self._held) >= HELD:
            self._held.pop(0).close()
        try:
            line = socket.create_connection(("127.0.0.1", port), SECONDS)
            line.sendall(
                b"GET /v1/info HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "[: rng.integers(5, 50)]
            )
        except OSError:
            return "cut off"
        self._held.append(line)
        return "held"

    def close(self) -> None:
        """Let all of them go."""
        for line in self._held:
            line.close()


def endless_headers(port: int, rng: Rng) -> str:
    """Send a MiB of headers and no end."""
    line = b"X-%d: " % rng.integers(1 << 30) + b"a" * 8000 + b"\r\n"
    head = [b"GET /v1/info HTTP/1.1\r\nHost: 127.0.0.1\r\n"]
    return exchange(port, head + [line] * 128)


def endless_path(port: int, rng: Rng) -> str:
    """Send a MiB of address and no end."""
    return exchange(port, [b"GET /v1/" + b"a" * 8000] + [b"b" * 8000] * 128)


def lying_length(port: int, rng: Rng) -> str:
    """Promise a large body, send some of it, wait a while, leave."""
    kind = [b"application/vnd.safetensors", b"multipart/form-data; boundary=x", b"application/json"]
    head = (b"POST /v1/augment?policy=hflip HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\n"
            b"Content-Length: %d\r\n\r\n--x\r\n" % (kind[rng.integers(3)], 15 * MIB))  # fmt: skip

    def parts() -> Iterator[bytes]:
        yield head
        for _ in range(rng.integers(1, 4)):
            time.sleep(0.2)
            yield b"a"

    return exchange(port, parts(), reads=False)


def framing(port: int, rng: Rng) -> str:
    """Send two lengths, a length and chunks, or a length that is not a number."""
    wrong = (b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: -1",
             b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Content-Length: 1e3",
             b"Transfer-Encoding: chunked, chunked", b"Host: other")  # fmt: skip
    head = b"POST /v1/preview HTTP/1.1\r\nHost: 127.0.0.1\r\n" + wrong[rng.integers(len(wrong))]
    return exchange(port, [head + b"\r\n\r\n0\r\n\r\nx"])


def garbage(port: int, rng: Rng) -> str:
    """Send random bytes, as HTTP or as images."""
    noise = rng.bytes(int(rng.integers(1, 4096)))
    if rng.integers(2):
        return exchange(port, [noise + b"\r\n\r\n"])
    kinds = ("application/vnd.safetensors", "application/octet-stream", "application/json",
             "multipart/form-data; boundary=x", "text/plain")  # fmt: skip
    kind = kinds[rng.integers(len(kinds))]
    path = ("/v1/augment?policy=hflip", "/v1/preview", "/v2/models/hflip/infer")[rng.integers(3)]
    return exchange(port, request("POST", path, noise, kind))


def leaving(port: int, rng: Rng) -> str:
    """Leave in the middle of an upload."""
    whole = b"".join(upload([b"x" * 100_000], "hflip"))
    return exchange(port, [whole[: rng.integers(200, len(whole))]], reads=False)


def bombs(port: int, rng: Rng) -> str:
    """Send images whose pixels are far more than their bytes."""
    side = int(rng.choice([4_000, 12_000, 30_000]))
    return exchange(port, upload([bomb(side)] * int(rng.integers(1, 5)), "resize(32)"))


def bomb(side: int) -> bytes:
    """Return a PNG of so many pixels a side, all of them gray; few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(min(side, 4000)))
    return b"".join((
        b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)),
        chunk(b"IDAT", rows + packer.flush()), chunk(b"IEND", b""),
    ))  # fmt: skip


def unknown_plans(port: int, rng: Rng) -> str:
    """Ask for batches of plans that are not there, or register one under another id."""
    plan = rng.bytes(16).hex()
    if rng.integers(2):
        return exchange(port, request("GET", f"/v1/plans/{plan}/epochs/0/batches/0", b""))
    body = json.dumps({"dataset": "small", "policy": {"operations": []}, "batch_size": 4}).encode()
    return exchange(port, request("PUT", f"/v1/plans/{plan}", body))


def huge_policies(port: int, rng: Rng) -> str:
    """Send policies of thousands of stages, or nested without end."""
    texts = ("hflip | " * 9_000 + "hflip", "one_of([" * 5_000, "a" * 100_000, "[" * 100_000)
    body = json.dumps({"dataset": "small", "policy": texts[rng.integers(len(texts))]}).encode()
    return exchange(port, request("POST", "/v1/preview", body))


def huge_previews(port: int, rng: Rng) -> str:
    """Ask for a preview of pixels by the billion."""
    asked = {"dataset": "small", "policy": f"random_resized_crop({rng.choice([4_000, 16_000])})",
             "epochs": [*range(8)], "indices": [*range(16)]}  # fmt: skip
    return exchange(port, request("POST", "/v1/preview", json.dumps(asked).encode()))


def dense_labels(port: int, rng: Rng) -> str:
    """Ask for labels of millions of classes for an image of a few bytes."""
    classes = int(rng.choice([10**6, 10**8]))
    told = {"label_values": [0] * 8, "labels": "dense", "num_classes": classes}
    return exchange(port, upload([small_file()] * 8, "mixup(1.0)", told))


def small_file() -> bytes:
    """Return a PNG of 8 x 8 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 99, 199)).save(file, "PNG")
    return file.getvalue()


def upload(files: list[bytes], policy: str, told: dict[str, object] | None = None) -> list[bytes]:
    """Return a request to augment some files."""
    asked = json.dumps({"policy": policy, **(told or {})}).encode()
    head = b"--x\r\nContent-Disposition: form-data; name="
    body = head + b'"request"\r\n\r\n' + asked + b"\r\n"
    for one in files:
        body += head + b'"images"; filename="a"\r\n\r\n' + one + b"\r\n"
    return request("POST", "/v1/augment", body + b"--x--\r\n", "multipart/form-data; boundary=x")


def slow_reader(port: int, rng: Rng, path: str) -> str:
    """Ask for a page, and read it a few bytes at a time."""
    try:
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.settimeout(SECONDS)
            line.connect(("127.0.0.1", port))
            line.sendall(f"GET {quote(path)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            first = line.recv(64)
            for _ in range(rng.integers(1, 40)):
                time.sleep(0.05)
                if not line.recv(16):
                    return "cut off"
            return first.split(b" ")[1].decode() if first.startswith(b"HTTP/1.") else "no HTTP"
    except TimeoutError:
        return "no answer"
    except (OSError, IndexError):
        return "cut off"


ATTACKS: dict[str, Attack] = {
    "endless-headers": endless_headers, "endless-path": endless_path, "lying-length": lying_length,
    "framing": framing, "garbage": garbage, "leaving": leaving, "bombs": bombs,
    "unknown-plans": unknown_plans, "huge-policies": huge_policies, "huge-previews": huge_previews,
    "dense-labels": dense_labels,
}  # fmt: skip
