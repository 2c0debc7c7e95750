"""Routes of KServe's v2 protocol, and of the extensions of it that Triton's clients ask for."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from augfeed.operation.describe import shown
from augfeed.policy import Policy
from augfeed_service import kserve, kserve_models
from augfeed_service.kserve_models import VERSION, Clock, Statistics
from augfeed_service.memory_cost import BINARY_CURE, infer_read_bytes, infer_written_bytes
from augfeed_service.openapi_bodies import answer, infer_body, problems
from augfeed_service.parameters import json_object
from augfeed_service.problems import Problem
from augfeed_service.push import Ask, Push
from augfeed_service.responses import BytesResponse
from augfeed_service.routes_push import counted, made_of
from augfeed_service.service import Service, service_of

router = APIRouter(prefix="/v2", tags=["kserve"])
MEMORIES = ("systemsharedmemory", "cudasharedmemory")
Name = Annotated[str, Path(description="a preset, as 'imagenet', or a policy in one line")]


async def known_version(
    version: Annotated[str, Path(description=f"{VERSION!r}: a policy has one version")],
) -> None:
    """Raise `Problem` for a version that no policy has."""
    if version != VERSION:
        detail = f"version={shown(version)} is not {VERSION!r}, the only one: leave it out"
        raise Problem(404, "unknown-policy", detail)


def _route(method: str, tail: str = "", **given: Any) -> Callable[[Any], Any]:
    # A route about a model, with and without a version.
    def added(function: Any) -> Any:
        own, versions = "/models/{model}", "/models/{model}/versions/{version}"
        router.add_api_route(own + tail, function, methods=[method], **given)
        checked = [Depends(known_version)]
        router.add_api_route(
            versions + tail, function, methods=[method], dependencies=checked, **given
        )
        return function

    return added


@router.get("", responses=problems())
async def server() -> dict[str, Any]:
    """Return the metadata of the server."""
    return kserve_models.server()


@router.get("/health/live", responses=problems())
async def live() -> dict[str, bool]:
    """Answer: the event loop runs."""
    return {"live": True}


@router.get("/health/ready", responses=problems(503))
async def ready(request: Request) -> dict[str, bool]:
    """Answer whether requests should come here: not while it starts or shuts down."""
    service_of(request).check_ready()
    return {"live": True, "ready": True}


@router.get("/models/stats", responses=problems())
async def all_statistics(request: Request) -> dict[str, Any]:
    """Return what was asked of policies so far: of those asked for last."""
    service_of(request).allow(request, "push")
    found = _statistics(request)
    return {"model_stats": [found.of(name) for name in found.names()]}


@_route("GET", responses=problems(404))
async def model_metadata(model: Name, request: Request) -> dict[str, Any]:
    """Return the metadata of a policy as a model."""
    return kserve_models.metadata(model, await _policy(model, request))


@_route("GET", "/config", responses=problems(404))
async def model_config(model: Name, request: Request) -> dict[str, Any]:
    """Return the configuration of a policy as a model, as Triton's clients ask for it."""
    return kserve_models.configuration(model, await _policy(model, request))


@_route("GET", "/stats", responses=problems(404))
async def model_statistics(model: Name, request: Request) -> dict[str, Any]:
    """Return what was asked of a policy so far, and how long it took."""
    await _policy(model, request)
    return {"model_stats": [_statistics(request).of(model)]}


@_route("GET", "/ready", responses=problems(404, 503))
async def model_ready(model: Name, request: Request) -> dict[str, Any]:
    """Answer whether a policy can be asked for."""
    service_of(request).check_ready()
    await _policy(model, request)
    return {"name": model, "ready": True}


@_route(
    "POST", "/infer", openapi_extra=infer_body(), response_class=Response,
    responses={**answer("The outputs", {"application/json": kserve.ANSWER,
                                        "application/octet-stream": None}),
               **problems(404, 408, 422, 429, 503)},
)  # fmt: skip
async def infer(model: Name, request: Request) -> Response:
    """Augment images under a policy; with binary tensors behind the JSON, either way."""
    service, clock = service_of(request), Clock()
    policy = await _policy(model, request)
    try:
        response, count = await _inferred(service, request, model, policy, clock)
    except BaseException:
        _statistics(request).note(model, clock, None)
        raise
    _statistics(request).note(model, clock, count)
    return response


async def _inferred(
    service: Service, request: Request, model: str, policy: Policy, clock: Clock
) -> tuple[BytesResponse, int]:
    service.check_pushes()
    async with service.body(request) as body, service.pushing():
        header = request.headers.get(kserve.HEADER)
        read = infer_read_bytes(len(body), header)
        own = len(body)
        with service.batches.holding(read, "reading the tensors", BINARY_CURE, beside=own):
            images, asked = await service.in_pool(
                kserve.parse, memoryview(body), header, service.settings
            )
        ask = Ask.of({"policy": model, "layout": "NHWC", **kserve.asked_of(asked)})
        ask.check(policy)
        clock.ended("compute_input")
        batch = await made_of(service, Push(images, ask, policy), own)
        clock.ended("compute_infer")
        written = infer_written_bytes(batch, asked)
        with service.batches.holding(written, "an answer in JSON", BINARY_CURE, beside=own):
            text, data = await service.in_pool(kserve.respond, batch, asked, model, ask.layout)
        clock.ended("compute_output")
    headers = {kserve.HEADER: str(len(text))} if data else {}
    kind = "application/octet-stream" if data else "application/json"
    return counted(service, [text, *data], headers, kind), len(images.ids)


async def _policy(model: str, request: Request) -> Policy:
    # The policy of a name; `Problem` 404 if there is none, or none that may be asked for.
    service = service_of(request)
    service.allow(request, "push")
    try:
        found: Policy = await service.in_pool(Ask.of({"policy": model}).resolved, service.settings)
    except Problem as error:
        raise Problem(404, "unknown-policy", error.detail) from None
    return found


def _statistics(request: Request) -> Statistics:
    found: Statistics = request.app.state.statistics
    return found


# The extensions of Triton that there is an answer for, though nothing to do.


@router.post("/repository/index", responses=problems(408, 503))
async def repository_index(request: Request) -> list[dict[str, Any]]:
    """Return the presets: models that need no description; `{"ready": true}` asks for the same."""
    service = service_of(request)
    service.allow(request, "push")
    async with service.body(request) as body:
        asked = json_object(bytes(body), "the request") if body else {}
    if set(asked) - {"ready"} or not isinstance(asked.get("ready", True), bool):
        raise Problem(400, "malformed", f"{shown(asked)} is not {{'ready': true}} or false")
    return kserve_models.index()


@router.post("/repository/models/{model}/load", responses=problems())
@router.post("/repository/models/{model}/unload", responses=problems())
async def load(model: Name, request: Request) -> None:
    """Refuse: policies are there without being loaded, and stay."""
    service_of(request).allow(request, "push")
    raise Problem(
        400, "malformed",
        f"model {shown(model)} is not loaded or unloaded: every policy is there; ask for "
        "/v2/models/NAME, with a preset or a policy as the name",
    )  # fmt: skip


def _add_shared_memory(kind: str) -> None:
    # tritonclient asks for the status, and takes regions back, before and after its requests.
    own = f"/{kind}/region/{{name}}"

    async def status(request: Request) -> list[dict[str, Any]]:
        """Return the regions that are registered: none, as tensors come in the body."""
        service_of(request).allow(request, "push")
        return []

    async def status_of(name: str, request: Request) -> None:
        """Refuse: there are no regions."""
        service_of(request).allow(request, "push")
        raise Problem(404, "not-found", f"region {shown(name)} is not registered: none can be")

    async def register(name: str, request: Request) -> None:
        """Refuse: tensors come in the body, as the client may be on another machine."""
        service_of(request).allow(request, "push")
        raise Problem(
            400, "malformed",
            f"region {shown(name)} cannot be registered: shared memory is not read here; send "
            "tensors in the body, binary ones behind the JSON",
        )  # fmt: skip

    async def unregister(request: Request) -> dict[str, Any]:
        """Answer that no region is registered."""
        service_of(request).allow(request, "push")
        return {}

    async def unregister_one(name: str, request: Request) -> dict[str, Any]:
        """Answer that a region is not registered."""
        return await unregister(request)

    for method, path, function in (
        ("GET", f"/{kind}/status", status), ("GET", f"{own}/status", status_of),
        ("POST", f"{own}/register", register), ("POST", f"/{kind}/unregister", unregister),
        ("POST", f"{own}/unregister", unregister_one),
    ):  # fmt: skip
        given = problems(404) if function is status_of else problems()
        router.add_api_route(path, function, methods=[method], responses=given)


for _kind in MEMORIES:
    _add_shared_memory(_kind)
