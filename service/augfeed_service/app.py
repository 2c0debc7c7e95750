"""The application: routes, errors, and what every request goes through."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from augfeed import __version__
from augfeed.operation.describe import shown
from augfeed_service import docs_page, routes_info, routes_kserve, routes_pull, routes_push
from augfeed_service.kserve_models import Statistics
from augfeed_service.logs import Named
from augfeed_service.middleware import Caught, RequestLog
from augfeed_service.parameters import check_parameters
from augfeed_service.problems import Problem, is_kserve
from augfeed_service.request_guard import Edge, allowed_methods
from augfeed_service.service import Service
from augfeed_service.settings import Settings

TEXT = "Augmented batches of datasets by address, and images of clients augmented."


def make_app(
    settings: Settings | None = None, tell: Callable[[str], None] = lambda _: None
) -> FastAPI:
    """Return the application under some settings, those of the environment by default.

    Datasets are opened here; `tell` is called with the name of each. Raises `InputError` for what
    cannot be opened.
    """
    service = Service(settings or Settings(), tell)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.in_pool(service.warm)
        yield
        service.drain()
        service.close()

    app = FastAPI(
        title="augfeed", version=__version__, description=TEXT, lifespan=lifespan,
        dependencies=[Depends(check_parameters)],
        redirect_slashes=False,
        openapi_url=None,  # FastAPI's own routes have no dependencies; `routes_info` has these
    )  # fmt: skip
    app.state.service = service
    app.state.statistics = Statistics()
    for routes in (routes_pull, routes_info, routes_push, routes_kserve, docs_page):
        app.include_router(routes.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Caught)  # of routes: `Edge` ends the connection if a body is still to come
    app.add_middleware(Edge, service=service)
    app.add_middleware(Caught)  # of `Edge` itself
    app.add_middleware(Named)
    app.add_middleware(RequestLog, metrics=service.metrics)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    request.app.state.service.metrics.note(error)
    return error.response(request.url.path)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:5]]
    return Problem(400, "malformed", "; ".join(parts)).response(request.url.path)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, name, detail = request.url.path, "malformed", str(error.detail)
    match error.status_code:
        case 404:
            where = "GET /v2 lists the extensions" if is_kserve(path) else "GET /docs says what is"
            name, detail = "not-found", f"there is nothing at {shown(path)}: {where}"
        case 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            detail = f"{shown(request.method)} is not for {shown(path)}: use {allowed}"
    response = Problem(error.status_code, name, detail).response(path)
    response.headers.update(error.headers or {})
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(allowed_methods(request))
    return response
