"""The connections to one address, by urllib3: kept, over TLS, through a proxy, ended at once."""

import os
import socket
import ssl
import sys
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult
from weakref import WeakSet

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from augfeed.errors import InputError
from augfeed_client.connection import Connection
from augfeed_client.proxies import proxy_of


class Pool:
    """Connections to one address; urllib3 keeps as many as `connection.workers` of them.

    Raises `InputError` for certificates that cannot be read, and for proxies that cannot be used.
    """

    _ending = staticmethod(sys.is_finalizing)  # found even where globals are gone

    def __init__(self, address: SplitResult, connection: Connection) -> None:
        """Connect to nothing yet."""
        self.lines = Lines()
        proxy = proxy_of(address)
        self.through = "" if proxy is None else f" (through the proxy {proxy.url})"
        options: dict[str, Any] = {"maxsize": connection.workers, "block": False}
        if address.scheme == "https":
            options["ssl_context"] = tls_context(connection)
        if proxy is None:
            self.manager = urllib3.PoolManager(**options)
        else:
            if proxy.secure:
                options["proxy_ssl_context"] = tls_context(connection)
            login = None
            if proxy.login is not None:
                login = urllib3.make_headers(proxy_basic_auth=proxy.login)
            self.manager = urllib3.ProxyManager(proxy.url, proxy_headers=login, **options)
        self.manager.pool_classes_by_scheme = _pools(self.lines)

    @property
    def inherited(self) -> bool:
        """Whether the connections are those of a process that this one was forked from."""
        return self.lines.process != os.getpid()

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self.lines.ended

    def end(self) -> None:
        """End all connections; threads that wait for one wake up with an error."""
        if self._ending():
            return  # the process closes them; modules lie in pieces
        self.lines.end()
        for key in self.manager.pools.keys():  # noqa: SIM118  (cannot be iterated over)
            with suppress(KeyError):
                self.manager.pools[key].close()


class Lines:
    """Connections that are there, those in use too: urllib3 knows only the idle ones."""

    def __init__(self) -> None:
        self.process, self.ended = os.getpid(), False
        self._lock = threading.Lock()
        self._all: WeakSet[HTTPConnection] = WeakSet()

    def add(self, line: HTTPConnection) -> None:
        """Note a connection, for as long as it is there."""
        with self._lock:
            self._all.add(line)

    def check(self, line: HTTPConnection) -> None:
        """Raise `ConnectionAbortedError` if `end` came before the connection had a socket."""
        if self.ended:
            line.close()
            raise ConnectionAbortedError("closed")

    def end(self) -> None:
        """Wake all threads that wait for a connection."""
        self.ended = True
        with self._lock:
            lines = list(self._all)
        for line in lines:
            held = line.sock
            if held is not None:
                with suppress(OSError):
                    # Of the class: that of an SSLSocket takes from it what its reader reads by.
                    socket.socket.shutdown(held, socket.SHUT_RDWR)


def _pools(lines: Lines) -> dict[str, Any]:
    class Plain(HTTPConnection):
        """A connection that `lines` knows."""

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            lines.add(self)

        def connect(self) -> None:
            """Connect, unless all connections were ended."""
            super().connect()
            lines.check(self)

    class Secure(HTTPSConnection):
        """A connection by TLS that `lines` knows."""

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            lines.add(self)

        def connect(self) -> None:
            """Connect, unless all connections were ended."""
            super().connect()
            lines.check(self)

    class PlainPool(urllib3.HTTPConnectionPool):
        """Those that are idle."""

        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        """Those by TLS that are idle."""

        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def tls_context(connection: Connection) -> ssl.SSLContext:
    """Return what verifies a server; raise `InputError` for files that are not certificates."""
    bundle, certificate = connection.ca_bundle, connection.client_certificate
    folder = bundle is not None and os.path.isdir(bundle)
    try:
        context = ssl.create_default_context(
            cafile=None if folder else bundle, capath=bundle if folder else None
        )
    except OSError as error:
        raise InputError(
            f"ca_bundle={str(bundle)!r} holds no certificates ({error}): give a PEM file"
        ) from None
    if certificate is not None:
        try:
            # With a password OpenSSL never asks for one at a terminal.
            context.load_cert_chain(certificate, connection.client_key, password="")
        except OSError as error:
            names = f"client_certificate={str(certificate)!r}"
            if connection.client_key is not None:
                names += f", client_key={str(connection.client_key)!r}"
            raise InputError(
                f"{names}: not a certificate with its private key, without a password ({error})"
            ) from None
    return context
