"""Errors as `application/problem+json` (RFC 9457)."""

from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
BASE = "https://augfeed.dev/problems/"
TITLES = {
    "malformed": "The request cannot be read",
    "unauthorized": "A key is needed",
    "forbidden": "The key is not for this",
    "unknown-plan": "This replica does not know the plan",
    "unknown-dataset": "No such dataset is mounted",
    "unknown-batch": "The plan has no such batch",
    "unknown-policy": "There is no such policy",
    "not-found": "There is nothing here",
    "not-acceptable": "Batches do not come in this format",
    "unsupported-media-type": "Bodies of this type are not read",
    "plan-id-mismatch": "The plan has another id",
    "fingerprint-mismatch": "This replica makes other bytes",
    "too-large": "The request is too large",
    "invalid-description": "The plan cannot be carried out",
    "invalid-policy": "The policy cannot be carried out",
    "invalid-images": "Some images cannot be used",
    "uneven-ranks": "The batch cannot be shared out evenly",
    "too-many-requests": "Too many requests at once",
    "overloaded": "The service is busy",
    "draining": "The service is shutting down",
    "deadline": "There was no time left",
    "unreadable": "A file of the dataset cannot be read",
    "internal": "Something is wrong in the service",
}


class Problem(Exception):
    """An answer that is an error; `name` is one of `TITLES`."""

    def __init__(
        self, status: int, name: str, detail: str, *, retry_after: int | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.name, self.detail, self.more = status, name, detail, more
        self.retry_after = retry_after

    def response(self, instance: str) -> JSONResponse:
        """Return the answer; `instance` is the path that was asked for.

        Below /v2 it is `{"error": ...}`, as KServe's protocol has it.
        """
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if is_kserve(instance):
            return JSONResponse({"error": self.detail}, self.status, headers)
        content = {
            "type": BASE + self.name, "title": TITLES[self.name], "status": self.status,
            "detail": self.detail, "instance": instance, **self.more,
        }  # fmt: skip
        return JSONResponse(content, self.status, headers, MEDIA_TYPE)


def is_kserve(path: str) -> bool:
    """Return whether a path is one of KServe's protocol, whose errors have a form of their own."""
    return path == "/v2" or path.startswith("/v2/")


def overloaded(detail: str) -> Problem:
    """Return the answer of a service that is busy."""
    return Problem(503, "overloaded", detail, retry_after=1)
