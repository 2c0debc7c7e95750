"""The service as an application of Ray Serve: https://docs.ray.io/en/latest/serve.

`serve run augfeed_service.ray:app` and config files name `app`; `augfeed serve --engine ray` runs
it too. Settings are those of the service: arguments of the application, or variables AUGFEED_...
"""

import json
import math
import signal
import threading
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from augfeed.errors import InputError, MissingExtraError
from augfeed_service.app import make_app
from augfeed_service.cli import settings_of
from augfeed_service.logs import LOG
from augfeed_service.settings import Settings

try:
    from ray import serve
except ImportError as error:
    raise MissingExtraError("ray[serve]", "ray") from error

APPLICATION = "augfeed"
# Of a replica; Serve sends it no more. Beyond these a request waits, and then is refused with 503.
ONGOING, QUEUED = 64, 256
AUTOSCALING = {
    "min_replicas": 1, "max_replicas": 8, "target_ongoing_requests": 4, "downscale_delay_s": 300,
}  # fmt: skip
SCALING = ("num_replicas", "min_replicas", "max_replicas", "target_ongoing_requests")


def app(arguments: Mapping[str, Any]) -> Any:
    """Return the application for `serve run` and config files.

    `arguments` are settings of the service by name; `num_replicas`, or `min_replicas`,
    `max_replicas` and `target_ongoing_requests` of Serve's autoscaling. Raises `InputError` for
    others. Serve's own configuration of the deployment "augfeed" overrides these. Datasets are
    opened by each replica, on its node.
    """
    given = dict(arguments)
    for name in ("datasets", "dataset_options"):
        if isinstance(text := given.get(name), str):  # from a command line
            try:
                given[name] = json.loads(text)
            except ValueError:
                raise InputError(
                    f"{name}={text!r} is not a JSON object: write it as "
                    """'datasets={"flowers": "/photos"}'"""
                ) from None
    scaling = {name: int(given.pop(name)) for name in SCALING if name in given}
    return application(settings_of(given), **scaling)


def application(settings: Settings, **scaling: int) -> Any:
    """Return the application under some settings, which replicas share."""
    # A replica has another working directory.
    found = {name: path.expanduser() for name, path in settings.datasets.items()}
    paths = {name: path.absolute() if path.exists() else path for name, path in found.items()}
    settings = settings.model_copy(update={"datasets": paths})
    count = scaling.pop("num_replicas", None)
    options: dict[str, Any] = {"num_replicas": count}
    if count is None:
        options = {"autoscaling_config": {**AUTOSCALING, **scaling}}
    gpu = 1 if settings.device.startswith("cuda") else 0
    deployment: Any = serve.deployment(
        name=APPLICATION, max_ongoing_requests=ONGOING, max_queued_requests=QUEUED,
        graceful_shutdown_timeout_s=math.ceil(settings.grace),
        ray_actor_options={"num_cpus": settings.threads, "num_gpus": gpu}, **options,
    )  # fmt: skip

    def build() -> FastAPI:
        # In each replica: threads, caches and metrics belong to a process.
        made = make_app(settings)
        made.add_middleware(PlainBodies)
        return made

    return deployment(serve.ingress(build)()).bind()


class PlainBodies:
    """Sends bodies as bytes: what Serve's proxy is sent is pickled, and a view of memory is not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry a request out."""

        async def sent(message: Message) -> None:
            body = message.get("body")
            if isinstance(body, memoryview | bytearray):
                message = {**message, "body": bytes(body)}
            await send(message)

        await self.app(scope, receive, sent)


def serve_on_ray(settings: Settings) -> None:
    """Serve on the Ray cluster until a signal ends it; starts a local one if there is none.

    Other applications of the cluster go on. Raises `InputError` for what keeps it from starting.
    """
    settings.check_address()
    serve.start(http_options={
        "host": settings.host, "port": settings.port, "keep_alive_timeout_s": 75,
    })  # fmt: skip
    serve.run(application(settings), name=APPLICATION, route_prefix="/")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # Ray has set its own
        signal.signal(number, lambda *_: ended.set())
    LOG.info("serving on http://%s:%s", settings.host, settings.port)
    while not ended.wait(1.0):  # a wait without an end would keep the signal from its handler
        pass
    serve.delete(APPLICATION)
