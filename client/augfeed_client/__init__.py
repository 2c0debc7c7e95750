"""Batches and augmentation from an augfeed service, over HTTP."""

from augfeed_client.client import Client
from augfeed_client.connection import Connection
from augfeed_client.errors import BrokenImage, RemoteError
from augfeed_client.loader import RemoteLoader

__all__ = ["BrokenImage", "Client", "Connection", "RemoteError", "RemoteLoader"]
