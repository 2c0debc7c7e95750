"""A server in this process, until a signal ends it."""

import signal
from typing import Any

import uvicorn
from rich.console import Console

from augfeed_service.app import make_app
from augfeed_service.logs import LOG
from augfeed_service.settings import Settings

KEEP_ALIVE = 75  # seconds; a trainer that validates in between keeps its connections


def serve_until_ended(settings: Settings) -> None:
    """Serve until a signal ends it; raise `InputError` for what keeps it from starting."""
    # The status draws on a terminal alone.
    with Console(stderr=True).status("opening data sets and compiling ...") as status:
        app = make_app(settings, lambda name: status.update(f"opening {name} ..."))
    for mounted in app.state.service.datasets:
        LOG.info("%s: %s samples from %s", mounted.name, f"{len(mounted.source):,}", mounted.root)
    config = uvicorn.Config(
        app, settings.host, settings.port, timeout_keep_alive=KEEP_ALIVE, access_log=False,
        log_level="warning", log_config=None,
        timeout_graceful_shutdown=max(1, round(settings.grace)),
        server_header=False, h11_max_incomplete_event_size=64 << 10,
    )  # fmt: skip
    _Server(config).run()


class _Server(uvicorn.Server):
    # Says when it is ready, and lets /readyz tell at once that it goes.

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            for server in self.servers:
                for socket in server.sockets:
                    host, port = socket.getsockname()[:2]
                    named = f"[{host}]" if ":" in host else host
                    LOG.info("serving on http://%s:%s", named, port)

    def handle_exit(self, sig: int, frame: Any) -> None:
        state: Any = self.config.app
        state.state.service.drain()
        # As uvicorn does, which then would also raise the signal again when all is done: who asks
        # a service to end, and waits until it has, is told that it went well.
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
