"""A server in this process, until a signal ends it."""

import asyncio
import logging
import os
import resource
import signal
import time
from typing import Any

import uvicorn
from fastapi import FastAPI
from rich.console import Console

from augfeed_service.app import make_app
from augfeed_service.connections import Connections
from augfeed_service.hard_exit import end_hard
from augfeed_service.logs import LOG
from augfeed_service.protocol import bounded_protocol
from augfeed_service.reload import Reload
from augfeed_service.settings import Settings

KEEP_ALIVE = 75  # seconds; a trainer that validates in between keeps its connections
UNWIND = 3.0  # seconds that requests have to end when their time is up
FILES = 512  # that are open beside connections: images, shards, caches


def serve_until_ended(settings: Settings) -> None:
    """Serve until a signal ends it; raise `InputError` for what keeps it from starting."""
    early: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _: early.append(number))
    allow_files(settings.max_connections + FILES)
    # The status draws on a terminal alone.
    with Console(stderr=True).status("opening datasets and compiling ...") as status:
        app = make_app(settings, lambda name: status.update(f"opening {name} ..."))
    for mounted in app.state.service.datasets:
        LOG.info("%s: %s samples from %s", mounted.name, f"{len(mounted.source):,}", mounted.root)
    _Server(config_of(app), early).run()


def config_of(app: FastAPI, **given: Any) -> uvicorn.Config:
    """Return how uvicorn serves an application, with the bounds of its settings on connections."""
    service = app.state.service
    settings: Settings = service.settings
    protocol: Any = bounded_protocol(settings, Connections(settings, service.metrics))
    defaults: dict[str, Any] = {
        "log_level": "warning", "log_config": None,
        "timeout_graceful_shutdown": max(1, round(settings.grace)),
    }  # fmt: skip
    return uvicorn.Config(
        app, settings.host, settings.port, http=protocol, ws="none", access_log=False,
        timeout_keep_alive=KEEP_ALIVE, server_header=False, **{**defaults, **given},
    )  # fmt: skip


def allow_files(count: int) -> None:
    """Let the process have so many files open, as far as its hard limit goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < count:
            LOG.warning("%d files may be open, and %d connections with their files need %d: "
                        "raise `ulimit -n`", most, count - FILES, count)  # fmt: skip


class _Server(uvicorn.Server):
    # Says when it is ready. A signal has /readyz say at once that it goes, and the socket close
    # when a balancer has seen that. Who types Ctrl-C twice, or before it serves, waits for nothing.

    def __init__(self, config: uvicorn.Config, early: list[int]) -> None:
        super().__init__(config)
        self.early = early
        self.service = config.app.state.service  # type: ignore[union-attr]
        self._until = 0.0
        self._reloads: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        self._reload_on_hangup()
        for server in self.servers:
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                named = f"[{host}]" if ":" in host else host
                LOG.info("serving on http://%s:%s", named, port)

    def _reload_on_hangup(self) -> None:
        loop, reload = asyncio.get_running_loop(), Reload(self.service)

        def begin() -> None:
            task = asyncio.create_task(reload.run())
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, begin)
        if self.early:
            begin()  # asked for while datasets were opened

    def handle_exit(self, sig: int, frame: Any) -> None:
        # uvicorn's own would also raise the signal again when all is done: who asks a service to
        # end, and waits until it has, is reported that it went well.
        settings: Settings = self.service.settings
        if not self.started:
            os._exit(128 + sig)  # compiling is under way, which cannot be interrupted
        if self.should_exit:
            self._until = 0.0
            self.force_exit = self.force_exit or sig == signal.SIGINT
            return
        self.service.drain()
        drain = 0.0 if sig == signal.SIGINT else settings.drain  # who types it waits for nothing
        self._until = time.monotonic() + drain
        end_hard(drain + max(1, round(settings.grace)) + UNWIND)
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        done = await super().on_tick(counter)
        return done and time.monotonic() >= self._until

    async def shutdown(self, sockets: Any = None) -> None:
        if (running := len(self.server_state.tasks)) and not self.force_exit:
            LOG.info("requests under way: %d; they have up to %d s, Ctrl-C again cuts them off",
                     running, self.config.timeout_graceful_shutdown)  # fmt: skip
        await super().shutdown(sockets)
        if self.force_exit:
            LOG.warning("ended at once; requests cut off: %d", len(self.server_state.tasks))
            logging.shutdown()
            os._exit(128 + signal.SIGINT)  # the interpreter would wait for their threads
