"""Batches made on the machines of a Ray cluster: https://docs.ray.io."""

from augfeed.errors import MissingExtraError

try:
    import ray  # noqa: F401  # the extra; its modules here need it
except ImportError as error:
    raise MissingExtraError("ray >= 2.50", "ray") from error

from augfeed.ray.actors import Actors
from augfeed.ray.errors import ClusterError
from augfeed.ray.loader import RayLoader
from augfeed.ray.map_batches import MapBatches

__all__ = ["Actors", "ClusterError", "MapBatches", "RayLoader"]
