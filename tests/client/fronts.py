"""What stands before a service: TLS, an HTTP proxy, a server that answers by a script."""

import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

Answering = Callable[[bytes, int], bytes]  # head of a request, its number -> what is sent


class Listener:
    """Takes connections on a port of its own, each in a thread; counts those that are open."""

    def __init__(self) -> None:
        self.taken, self.open = 0, 0
        self._lock, self._ended = threading.Lock(), False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._ended:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self.taken, self.open = self.taken + 1, self.open + 1
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        self._sockets.add(near)
        try:
            with suppress(OSError):
                self.serve(near)
        finally:
            self.end(near)
            with self._lock:
                self.open -= 1

    def serve(self, near: socket.socket) -> None:
        raise NotImplementedError

    def end(self, one: socket.socket) -> None:
        with suppress(OSError):
            socket.socket.shutdown(one, socket.SHUT_RDWR)
        with suppress(OSError):
            one.close()

    def pass_on(self, near: socket.socket, target: int, first: bytes = b"") -> None:
        """Pass bytes both ways between a connection and a port, until one of them ends."""
        far = socket.create_connection(("127.0.0.1", target))
        self._sockets.add(far)
        far.sendall(first)
        back = threading.Thread(target=self._copy, args=(far, near), daemon=True)
        back.start()
        self._copy(near, far)
        self.end(far)
        back.join()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)

    def close(self) -> None:
        self._ended = True
        for one in (self._socket, *list(self._sockets)):
            self.end(one)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Front(Listener):
    """Passes connections on to a port; with a context it is TLS that is spoken to it."""

    def __init__(self, target: int, context: ssl.SSLContext | None = None) -> None:
        self.target, self.context = target, context
        super().__init__()
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    def serve(self, near: socket.socket) -> None:
        if self.context is not None:
            # Left open for the thread that has it: a wrapped socket takes the descriptor along.
            near = self.context.wrap_socket(near, server_side=True)
            self._sockets.add(near)
        try:
            self.pass_on(near, self.target)
        finally:
            self.end(near)


class ForwardProxy(Listener):
    """An HTTP proxy: whatever host is asked for is a port of 127.0.0.1; notes the heads."""

    def __init__(self, target: int) -> None:
        self.target, self.heads = target, list[bytes]()
        super().__init__()
        self.address = f"127.0.0.1:{self.port}"

    def serve(self, near: socket.socket) -> None:
        head = head_of(near)
        self.heads.append(head)
        if head.startswith(b"CONNECT "):
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.pass_on(near, self.target)
        else:
            # The service is asked for a path; what follows on this connection goes on as it is.
            own = re.sub(rb" http://[^/ ]+", b" ", head, count=1)
            own = own.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            self.pass_on(near, self.target, own)


class Scripted(Listener):
    """Answers each request by what a function makes of its head and its number."""

    def __init__(self, answer: Answering, *, reads_bodies: bool = True) -> None:
        self.answer, self.reads_bodies, self.heads = answer, reads_bodies, list[bytes]()
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, near: socket.socket) -> None:
        while head := head_of(near):
            self.heads.append(head)
            length = re.search(rb"(?i)content-length: (\d+)", head)
            left = int(length[1]) if length and self.reads_bodies else 0
            while left > 0:
                left -= len(near.recv(min(left, 1 << 16))) or left
            sent = self.answer(head, len(self.heads) - 1)
            near.sendall(sent)
            if b"connection: close" in sent[:2000].lower():
                near.shutdown(socket.SHUT_WR)
                while not self.reads_bodies and near.recv(1 << 16):
                    pass
                return


def head_of(near: socket.socket) -> bytes:
    """Return the head of a request, to its empty line; empty at the end of the connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = near.recv(1)
        if not byte:
            return b""
        head += byte
    return head


def answered(status: int, body: bytes = b"", *headers: str, chunked: bool = False) -> bytes:
    """Return an answer as it is sent."""
    lines = [f"HTTP/1.1 {status} Said", *headers]
    if chunked:
        pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        lines.append("Transfer-Encoding: chunked")
    else:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
