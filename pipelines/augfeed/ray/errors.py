"""What a cluster does that is not a batch."""

from augfeed.errors import AugfeedError


class ClusterError(AugfeedError, RuntimeError):
    """A batch that no actor of the cluster made; the message says what was tried."""
