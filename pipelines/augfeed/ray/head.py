"""Whether the head of the cluster is there: without it Ray waits, then ends the process."""

import socket
import threading
import time

import ray

from augfeed.ray.errors import ClusterError

QUIET = 5.0  # seconds without a batch after which the head is looked at, and between two looks
GONE = 30.0  # seconds without the head after which it is an error; Ray ends the process after 60


class Head:
    """Looks at the head where no batch comes; may be asked by several threads."""

    def __init__(self) -> None:
        """Take the head to be there."""
        self._answered = self._seen = time.monotonic()
        self._lock = threading.Lock()  # held while one thread looks

    def answered(self) -> None:
        """Note that a batch came: actors that run need no head."""
        self._answered = self._seen = time.monotonic()

    def check(self, what: str) -> None:
        """Raise `ClusterError` if no batch came for a while, and the head is gone as long."""
        now = time.monotonic()
        if now - self._answered > QUIET and self._lock.acquire(blocking=False):
            threading.Thread(target=self._probe, name="augfeed-head", daemon=True).start()
        if now - self._seen > GONE + QUIET:
            raise ClusterError(
                f"{what}: the head of the Ray cluster has not answered for {GONE:g} seconds: "
                "start the cluster again, call ray.shutdown() and ray.init() or start the training "
                "again, and load_state_dict() goes on after the last batch"
            )

    def _probe(self) -> None:
        try:
            if reachable():
                self._seen = time.monotonic()
            time.sleep(QUIET / 5)
        finally:
            self._lock.release()


def reachable() -> bool:
    """Return whether the head takes connections; Ray itself would wait for it, all threads with it,
    and then end the process."""
    try:
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=QUIET):
            return True
    except OSError:
        return False
