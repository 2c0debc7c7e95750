"""What is measured, in the names of Prometheus."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from augfeed_service.problems import Problem

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: Any = {"registry": self.registry}
        self.request_seconds = Histogram(
            "http_server_request_duration_seconds", "Duration of requests, bodies included",
            ["route", "method", "status"], buckets=SECONDS, **own,
        )  # fmt: skip
        self.batches = Counter(
            "augfeed_batches", "Batches given out: made for it, from the cache, or joined to one "
            "that was being made", ["source"], **own,
        )  # fmt: skip
        self.ahead = Counter("augfeed_batches_ahead", "Batches made before anyone asked", **own)
        self.images = Counter("augfeed_images", "Images augmented", **own)
        self.queue_seconds = Histogram(
            "augfeed_queue_seconds", "Wait before a batch is made", buckets=SECONDS, **own
        )
        self.make_seconds = Histogram(
            "augfeed_make_seconds", "Reading and augmenting a batch", buckets=SECONDS, **own
        )
        self.encode_seconds = Histogram(
            "augfeed_encode_seconds", "Putting a batch into bytes", buckets=SECONDS, **own
        )
        self.response_bytes = Counter("augfeed_response_bytes", "Bytes of batches sent", **own)
        self.inflight_bytes = Gauge(
            "augfeed_inflight_bytes", "Bytes of batches being made or sent, and of requests", **own
        )
        self.connections = Gauge(
            "augfeed_connections", "Connections that are open, idle ones included", **own
        )
        self.waiting = Gauge("augfeed_waiting", "Batches waiting to be made", **own)
        self.cache_bytes = Gauge("augfeed_cache_bytes", "Bytes of batches kept", **own)
        self.rejected = Counter("augfeed_rejected", "Requests refused", ["reason"], **own)
        self.microbatch = Histogram(
            "augfeed_microbatch_size", "Images augmented together for POST /v1/augment",
            buckets=IMAGES, **own,
        )  # fmt: skip
        self.decode_errors = Counter(
            "augfeed_decode_errors", "Images that could not be decoded", ["reason"], **own
        )
        self.ready = Gauge("augfeed_ready", "1 if the service takes requests", **own)
        self.info = Gauge(
            "augfeed_info", "What it is", ["version", "dataset", "fingerprint"], **own
        )

    def note(self, problem: Problem) -> None:
        """Count the images that a request failed by: those that were sent, or the dataset's."""
        if problem.name == "unreadable":
            self.decode_errors.labels("dataset").inc()
        elif images := problem.more.get("images"):
            self.decode_errors.labels("sent").inc(len(images))

    def text(self) -> bytes:
        """Return all of it, as Prometheus reads it."""
        return generate_latest(self.registry)
