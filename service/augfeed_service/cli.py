"""The command `augfeed serve`."""

import logging
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console

from augfeed.errors import InputError
from augfeed.policy.describe import describe
from augfeed_service.app import make_app
from augfeed_service.settings import Settings

KEEP_ALIVE = 75  # seconds; a trainer that validates in between keeps its connections


def serve(
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Data set; may be repeated.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 8000 by default, 0: a free one.")] = None,
    keys: Annotated[Path | None, typer.Option(help="File of keys.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let everyone in, on any address.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="'cpu' or 'cuda'.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Any setting of augfeed_service.Settings."
        ),
    ] = None,
) -> None:
    """Serve batches of data sets, and augment images, over HTTP.

    Every setting is also an environment variable, AUGFEED_ and its name in capitals.
    """
    given: dict[str, Any] = dict(_pair("set", text) for text in setting or ())
    if dataset:
        given["datasets"] = dict(_pair("dataset", text) for text in dataset)
    for name, value in (("host", host), ("port", port), ("keys", keys), ("device", device)):
        if value is not None:
            given[name] = value
    if insecure:
        given["insecure"] = True
    run(settings_of(given))


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    form = "NAME=PATH" if option == "dataset" else "NAME=VALUE"
    if not equals or not name or not value:
        raise InputError(f"--{option} {text!r} is not {form}: write it so")
    return name, value


def settings_of(given: dict[str, Any]) -> Settings:
    """Return settings: those given, and the environment's; raise `InputError` for a wrong one."""
    if unknown := sorted(set(given) - set(Settings.model_fields)):
        raise InputError(f"settings {unknown} are unknown: use some of {[*Settings.model_fields]}")
    if isinstance(given.get("kornia"), str):
        given["kornia"] = tuple(filter(None, given["kornia"].split(",")))
    try:
        return Settings(**given)
    except ValidationError as error:
        raise InputError(describe(error, Settings)) from None


def run(settings: Settings) -> None:
    """Serve until a signal ends it; raise `InputError` for what keeps it from starting."""
    settings.check_address()
    console = Console(stderr=True)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with console.status("opening data sets and compiling ...") as status:
        app = make_app(settings, lambda name: status.update(f"opening {name} ..."))
    for mounted in app.state.service.datasets:
        console.print(f"{mounted.name}: {len(mounted.source):,} samples from {mounted.root}",
                      highlight=False, soft_wrap=True)  # fmt: skip
    config = uvicorn.Config(
        app, settings.host, settings.port, timeout_keep_alive=KEEP_ALIVE, access_log=False,
        log_level="warning", timeout_graceful_shutdown=max(1, round(settings.grace)),
        server_header=False, h11_max_incomplete_event_size=64 << 10,
    )  # fmt: skip
    _Server(config, console).run()


class _Server(uvicorn.Server):
    # Says when it is ready, and lets /readyz tell at once that it goes.

    def __init__(self, config: uvicorn.Config, console: Console) -> None:
        super().__init__(config)
        self.console = console

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            for server in self.servers:
                for socket in server.sockets:
                    host, port = socket.getsockname()[:2]
                    self.console.print(f"serving on http://{host}:{port}", highlight=False)

    def handle_exit(self, sig: int, frame: Any) -> None:
        state: Any = self.config.app
        state.state.service.drain()
        # As uvicorn does, which then would also raise the signal again when all is done: who asks
        # a service to end, and waits until it has, is told that it went well.
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
