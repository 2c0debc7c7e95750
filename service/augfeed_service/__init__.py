"""The HTTP batch service: datasets by name, batches by address, images to augment."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import augfeed  # noqa: F401  # first: what imports Rich draws from Python's generator

if TYPE_CHECKING:
    from augfeed_service.app import make_app as make_app
    from augfeed_service.settings import Settings as Settings

# Imported on first use: the options of the command are known without a server.
_HOMES = {"Settings": "augfeed_service.settings", "make_app": "augfeed_service.app"}
__all__ = ["Settings", "make_app"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'augfeed_service' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
