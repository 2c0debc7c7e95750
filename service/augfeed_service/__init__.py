"""The HTTP batch service: data sets by name, batches by address, pictures to augment."""

from augfeed_service.app import make_app
from augfeed_service.settings import Settings

__all__ = ["Settings", "make_app"]
