"""Whether it lives, what it holds, what it has done."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from augfeed import __version__, format_policy
from augfeed.presets import PRESETS
from augfeed_service.openapi import document
from augfeed_service.openapi_bodies import problems
from augfeed_service.service import service_of

router = APIRouter()
LIMITS = ("max_batch_bytes", "max_body_bytes", "max_images", "max_pixels", "max_request_pixels",
          "max_plans")  # fmt: skip


@router.get("/livez", tags=["health"], responses=problems(), response_class=PlainTextResponse)
async def live() -> str:
    """Answer: the event loop runs."""
    return "live\n"


@router.get("/readyz", tags=["health"], responses=problems(503), response_class=PlainTextResponse)
async def ready(request: Request) -> str:
    """Answer whether requests should come here: not while it starts or shuts down."""
    service_of(request).check_ready()
    return "ready\n"


@router.get("/metrics", tags=["health"], responses=problems(), response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return what is measured, for Prometheus."""
    service = service_of(request)
    service.allow(request, "metrics")
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.api_route("/openapi.json", methods=["GET", "HEAD"], include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    """Return what the interface says of itself."""
    service, root = service_of(request), request.scope.get("root_path", "")
    return JSONResponse(document(request.app, asked=service.keys.asked, root=root))


@router.get("/v1/info", tags=["pull"], responses=problems())
async def info(request: Request) -> dict[str, Any]:
    """Return the version, the device and the limits."""
    service = service_of(request)
    service.allow(request, "pull")
    settings = service.settings
    return {
        "version": __version__, "device": settings.device, "engine": service.engine.name,
        "fingerprint": service.fingerprint, "kornia": list(settings.kornia),
        "limits": {name: getattr(settings, name) for name in LIMITS},
    }  # fmt: skip


@router.get("/v1/datasets", tags=["pull"], responses=problems())
async def datasets(request: Request) -> list[dict[str, Any]]:
    """Return the datasets that are mounted."""
    service = service_of(request)
    service.allow(request, "pull")
    return [mounted.as_json() for mounted in service.datasets]


@router.get("/v1/policies", tags=["pull"], responses=problems())
async def policies(request: Request) -> dict[str, str]:
    """Return the presets, each as a line of the notation."""
    service_of(request).allow(request, "pull")
    return {name: format_policy(make()) for name, make in PRESETS.items()}
