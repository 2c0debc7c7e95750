"""Bounds on what describes work: texts are short, however large the work may be."""

from starlette.requests import Request

from augfeed_service.parameters import integer_of
from augfeed_service.problems import Problem

LONGEST_POLICY = 64 << 10  # characters
LONGEST_TEXT = 64 << 10  # bytes of a description, or of what asks for a preview


def check_length(request: Request, most: int = LONGEST_TEXT) -> None:
    """Raise `Problem` for a body that declares to be longer than a description may be."""
    declared = integer_of(request.headers.get("content-length", "0"))
    if declared is not None:
        check_text(declared, most)


def check_text(length: int, most: int = LONGEST_TEXT) -> None:
    """Raise `Problem` for a description that is too long."""
    if length > most:
        raise Problem(
            413, "too-large",
            f"a description of {length:,} bytes is above {most:,}: leave operations out of its "
            "policy, or values out of their lists",
        )  # fmt: skip
