"""The OpenAPI document: what routes say of themselves, and what is true of all."""

from copy import deepcopy
from typing import Any

from fastapi import FastAPI

from augfeed_service.openapi_bodies import SCHEMAS
from augfeed_service.problems import MEDIA_TYPE, is_kserve

OPEN = ("/livez", "/readyz", "/v2", "/v2/health/live", "/v2/health/ready")  # without a key
SCOPES = {"pull": "pull", "push": "push", "kserve": "push", "health": "metrics"}  # by tag
KEY = {
    "type": "http", "scheme": "bearer",
    "description": "A key of the file that the service was started with; each is for some of the "
    "scopes `pull`, `push` and `metrics`, or for all of them (`admin`).",
}  # fmt: skip


def document(app: FastAPI, *, asked: bool, root: str) -> dict[str, Any]:
    """Return the document of an application; `asked` says whether it asks for keys, and `root` is
    the path that it is mounted at."""
    found: dict[str, Any] = deepcopy(app.openapi())
    found["servers"] = [{"url": root.rstrip("/") or "/", "description": "this service"}]
    components = found.setdefault("components", {})
    components["schemas"] = {
        **{name: schema for name, schema in components.get("schemas", {}).items()
           if name not in ("HTTPValidationError", "ValidationError")}, **SCHEMAS,
    }  # fmt: skip
    components["securitySchemes"] = {"key": KEY}
    for path, operations in found["paths"].items():
        for operation in operations.values():
            _correct(path, operation, asked=asked)
    return found


def _correct(path: str, operation: dict[str, Any], *, asked: bool) -> None:
    responses = operation["responses"]
    # FastAPI adds this wherever there are parameters; here they are refused with 400.
    added = responses.get("422", {}).get("content", {}).get("application/json", {})
    if added.get("schema", {}).get("$ref", "").endswith("/HTTPValidationError"):
        del responses["422"]
    if path in OPEN:
        for status in ("401", "403"):
            responses.pop(status, None)
        operation["security"] = []
    else:
        scope = SCOPES[operation["tags"][0]]
        needed: list[dict[str, list[str]]] = [{"key": [scope]}]
        operation["security"] = needed if asked else [*needed, {}]
        text = f"Takes a key for `{scope}`, where keys are asked for."
        operation["description"] = f"{operation.get('description', '')}\n\n{text}".strip()
    if is_kserve(path):
        for response in responses.values():
            if response.get("content", {}).pop(MEDIA_TYPE, None) is not None:
                response["content"]["application/json"] = {
                    "schema": {"$ref": "#/components/schemas/Error"}
                }
