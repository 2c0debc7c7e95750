"""Whether it lives, what it holds, what it has done."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from augfeed import __version__, format_policy
from augfeed.presets import PRESETS
from augfeed_service.documents import problems
from augfeed_service.service import service_of

router = APIRouter()
OPENAPI, TITLE = "/openapi.json", "augfeed"
LIMITS = ("max_batch_bytes", "max_body_bytes", "max_images", "max_pixels", "max_request_pixels",
          "max_plans")  # fmt: skip


@router.get("/livez", tags=["health"], response_class=PlainTextResponse)
async def live() -> str:
    """Answer: the event loop runs."""
    return "live\n"


@router.get("/readyz", tags=["health"], responses=problems(503), response_class=PlainTextResponse)
async def ready(request: Request) -> str:
    """Answer whether requests should come here: not while it starts or shuts down."""
    service_of(request).check_ready()
    return "ready\n"


@router.get("/metrics", tags=["health"], response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return what is measured, for Prometheus."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.api_route(OPENAPI, methods=["GET", "HEAD"], include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    """Return what the interface says of itself."""
    document: dict[str, Any] = request.app.openapi()
    return JSONResponse(document)


@router.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """Return a page to try the interface with."""
    return get_swagger_ui_html(openapi_url=_below(request, OPENAPI), title=TITLE)


@router.api_route("/redoc", methods=["GET", "HEAD"], include_in_schema=False)
async def redoc(request: Request) -> HTMLResponse:
    """Return a page to read about the interface."""
    return get_redoc_html(openapi_url=_below(request, OPENAPI), title=TITLE)


def _below(request: Request, path: str) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/") + path


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
    """Return the data sets that are mounted."""
    service = service_of(request)
    service.allow(request, "pull")
    return [mounted.told() for mounted in service.datasets]


@router.get("/v1/policies", tags=["pull"], responses=problems())
async def policies(request: Request) -> dict[str, str]:
    """Return the presets, each as a line of the notation."""
    service_of(request).allow(request, "pull")
    return {name: format_policy(make()) for name, make in PRESETS.items()}
