"""Batches and augmentation from an augfeed service, over HTTP."""

from augfeed_client.client import Client
from augfeed_client.connection import Connection
from augfeed_client.errors import RemoteError
from augfeed_client.loader import RemoteLoader

__all__ = ["Client", "Connection", "RemoteError", "RemoteLoader"]
