"""The page `/docs`, with all that it needs: it asks nobody else, so it works without a network."""

import gzip
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from augfeed.operation.describe import shown
from augfeed_service.problems import Problem

router = APIRouter(include_in_schema=False)
READ = ["GET", "HEAD"]
KINDS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css",
         "start.js": "text/javascript", "favicon.png": "image/png"}  # fmt: skip
# A browser that keeps to this fetches nothing from elsewhere, whatever the page says.
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
          "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
          "frame-ancestors 'none'")  # fmt: skip


@router.api_route("/", methods=READ)
async def root(request: Request) -> RedirectResponse:
    """Lead to the page."""
    below: str = request.scope.get("root_path", "")
    return RedirectResponse(f"{below.rstrip('/')}/docs")


@router.api_route("/docs", methods=READ)
async def docs() -> Response:
    """Return a page to try the interface with."""
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    return Response(_packed("index.html")[0], headers=headers, media_type="text/html")


@router.api_route("/docs/{name}", methods=READ)
async def part(name: str, request: Request) -> Response:
    """Return a file that the page needs."""
    if name not in KINDS:
        raise Problem(404, "not-found", f"there is nothing at {shown(f'/docs/{name}')}: GET /docs")
    body, packed = _packed(name)
    headers = {"Cache-Control": "public, max-age=3600", "Vary": "Accept-Encoding",
               "X-Content-Type-Options": "nosniff"}  # fmt: skip
    if packed and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
    elif packed:
        body = gzip.decompress(body)
    return Response(body, headers=headers, media_type=KINDS[name])


@cache
def _packed(name: str) -> tuple[bytes, bool]:
    # The bytes of a file, and whether they are packed.
    folder = files("augfeed_service") / "viewer"
    packed = folder / f"{name}.gz"
    if packed.is_file():
        return packed.read_bytes(), True
    return (folder / name).read_bytes(), False
