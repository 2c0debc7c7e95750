"""Several replicas of a service: whom to ask, whom to leave alone for a while, when to give up."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from urllib3 import Retry
from urllib3.exceptions import InvalidHeader

from augfeed.errors import InputError
from augfeed_client.connection import Connection
from augfeed_client.errors import Problem, RemoteError
from augfeed_client.replica import Answer, HttpRequest, Replica, ReplicaError, allocate

FIRST, LONGEST = 0.05, 5.0  # seconds that a replica is left alone after a failure
OTHER = 10.0  # and one that makes other bytes, or whose certificate is not trusted
ASKED = 30.0  # seconds that a replica may ask to be left alone, by `Retry-After`
MOST = 1 << 32  # bytes of an answer
FINGERPRINT, EXPECT = "Augfeed-Fingerprint", "Augfeed-Expect-Fingerprint"

# All that are alive: a forked process has the sockets of its parent, and locks as they stood.
FORKED: "WeakSet[Replicas]" = WeakSet()


@dataclass(slots=True)
class Stats:
    """What was asked and how it went, in one process."""

    requests: int = 0
    bytes: int = 0
    waited: float = 0.0
    retries: dict[str, int] = field(default_factory=dict)

    def retry(self, reason: str) -> None:
        """Count a request that had to be made again."""
        self.retries[reason] = self.retries.get(reason, 0) + 1


@dataclass(slots=True)
class _State:
    failures: int = 0
    until: float = 0.0
    other: str | None = None  # the fingerprint of a replica that makes other bytes
    lasting: str | None = None  # why it will fail again


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of whichever replica answers; `key` spreads requests over them.

    `check` looks at an answer, and raises `ValueError` for one that is not what it should be; what
    numbers and nesting of JSON can raise counts as that.
    `prepare`, of a replica that does not know the plan, tells it.
    """

    method: str
    path: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    check: Callable[[Answer], Any] = lambda answer: answer
    prepare: "Callable[[Replica, HttpRequest], None] | None" = None
    most: int = MOST
    room: Callable[[int], memoryview] = allocate


class Replicas:
    """The replicas of one service; threads may ask side by side."""

    def __init__(self, urls: str | list[str] | tuple[str, ...], connection: Connection) -> None:
        """Connect to nothing yet; raise `InputError` for what is not an address."""
        listed = [urls] if isinstance(urls, str) else list(urls)
        if not listed:
            raise InputError("urls=[] names no service: give one address at least")
        self.all = [Replica(url, connection) for url in dict.fromkeys(listed)]
        self.connection, self.stats = connection, Stats()
        self.fingerprint: str | None = None
        self._renew()

    def _renew(self) -> None:
        self._states = {replica.url: _State() for replica in self.all}
        self._lock, self._closed = threading.Lock(), threading.Event()
        FORKED.add(self)

    def __getstate__(self) -> dict[str, Any]:
        gone = {"_states": None, "_lock": None, "_closed": None}
        return {**self.__dict__, **gone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._renew()

    def begin(self) -> None:
        """Be ready to ask again after `close`."""
        if self._closed.is_set():
            self.reopen()

    def reopen(self) -> None:
        """Forget connections and what is known of replicas; in a forked process both are those of
        the parent."""
        for replica in self.all:
            replica.reopen()
        self._renew()

    def close(self) -> None:
        """End whatever is under way; threads that ask give up at once."""
        self._closed.set()
        for replica in self.all:
            replica.close()

    def ask(self, request: Request) -> Any:
        """Return what `request.check` makes of an answer; raise `RemoteError` in time."""
        until = time.monotonic() + self.connection.deadline
        closed = self._closed  # `begin` makes another one: who was ended before stays so
        order = self._order(request.key)
        tried: dict[str, str] = {}
        attempt = 0
        while True:
            replica = self._next(order, until, tried, closed)
            attempt += 1
            try:
                return self._once(replica, request, until)
            except ReplicaError as error:
                if closed.is_set():
                    raise RemoteError("the loader was closed") from None
                self._failed(replica, attempt, error)
                tried[replica.url] = str(error)
            except _Refused as error:
                self._leave(replica, error)
                tried[replica.url] = f"{replica.url}: {error.problem}"

    def _once(self, replica: Replica, request: Request, until: float) -> Any:
        answer = self._answer(replica, request, until)
        problem = None
        if answer.status not in (200, 201):
            problem = Problem.of(answer.status, bytes(answer.body))
        if problem and problem.name == "unknown-plan" and request.prepare is not None:
            with self._lock:
                self.stats.retry("unknown-plan")
            told = HttpRequest(
                "PUT", "", self._headers(until), None, until, self.connection.timeout, 0
            )
            request.prepare(replica, told)
            answer = self._answer(replica, request, until)
            problem = None
            if answer.status != 200:
                problem = Problem.of(answer.status, bytes(answer.body))
        if problem is not None:
            if problem.passes or problem.name == "unknown-plan":
                raise _Refused(problem, answer)
            raise problem.error(f"{replica.url}{request.path}", answer.headers.get("Location"))
        try:
            result = request.check(answer)
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise ReplicaError(f"{replica.url}: {error}") from error
        self._worked(replica, answer)
        return result

    def _answer(self, replica: Replica, request: Request, until: float) -> Answer:
        connection = self.connection
        headers = {**request.headers, **self._headers(until)}
        return replica.ask(HttpRequest(
            request.method, request.path, headers, request.body, until, connection.timeout,
            request.most, request.room,
        ))  # fmt: skip

    def _headers(self, until: float) -> dict[str, str]:
        left = max(1, int(1000 * (until - time.monotonic())))
        headers = {"Augfeed-Deadline-Ms": str(min(left, 10**9 - 1))}
        if self.connection.key is not None:
            headers["Authorization"] = f"Bearer {self.connection.key}"
        return headers

    # Whom to ask

    def _order(self, key: str) -> list[Replica]:
        # Rendezvous hashing: equal jobs ask the same replica for the same batch, whose cache has it
        # then, and the batches of one that is gone are spread over all others.
        def weight(replica: Replica) -> bytes:
            return hashlib.blake2b(f"{replica.url}\n{key}".encode(), digest_size=8).digest()

        return sorted(self.all, key=weight)

    def _next(
        self, order: list[Replica], until: float, tried: dict[str, str], closed: threading.Event
    ) -> Replica:
        while True:
            now = time.monotonic()
            if closed.is_set():
                raise RemoteError("the loader was closed")
            if now >= until:
                raise self._gave_up(tried)
            with self._lock:
                states = [(self._states[replica.url], replica) for replica in order]
                hopeless = all(state.other or state.lasting for state, _ in states)
            if hopeless and len(tried) >= len(order):
                raise self._all_other(states)
            for state, replica in states:
                if state.until <= now:
                    return replica
            soonest = min(state.until for state, _ in states)
            closed.wait(max(0.001, min(soonest, until) - now))

    def _gave_up(self, tried: dict[str, str]) -> RemoteError:
        reasons = "; ".join(tried.values()) or "no replica was asked"
        return RemoteError(
            f"no whole answer within deadline={self.connection.deadline:g} seconds ({reasons}): "
            "check that a replica runs, or give more time"
        )

    def _all_other(self, states: list[tuple[_State, Replica]]) -> RemoteError:
        distrusted = [state.lasting for state, _ in states if state.lasting]
        if len(distrusted) == len(states):
            return RemoteError("; ".join(distrusted))
        others = ", ".join(f"{replica.url} has {state.other!r}"
                           for state, replica in states if state.other)  # fmt: skip
        return RemoteError(
            f"batches so far have the fingerprint {self.fingerprint!r}, and {others}: their bytes "
            "would be others; go on with replicas of the same versions and data, or begin again"
            + "".join(f"; {reason}" for reason in distrusted),
            412, "fingerprint-mismatch",
        )  # fmt: skip

    def _worked(self, replica: Replica, answer: Answer) -> None:
        with self._lock:
            self.stats.requests += 1
            self.stats.bytes += answer.body.nbytes
            state = self._states[replica.url]
            state.failures, state.until, state.other, state.lasting = 0, 0.0, None, None

    def _failed(self, replica: Replica, attempt: int, error: ReplicaError) -> None:
        with self._lock:
            self.stats.retry("connection")
            state = self._states[replica.url]
            state.failures += 1
            state.lasting = str(error) if error.lasting else None
            pause = min(LONGEST, FIRST * 2 ** min(state.failures - 1, 10))
            pause = OTHER if error.lasting else pause
            state.until = time.monotonic() + pause * jitter(replica.url, attempt)

    def _leave(self, replica: Replica, refused: "_Refused") -> None:
        with self._lock:
            self.stats.retry(refused.problem.name or str(refused.problem.status))
            state = self._states[replica.url]
            state.lasting = None
            pause = refused.pause
            if refused.problem.status == 412:
                state.other = refused.answer.headers.get(FINGERPRINT) or _other(refused.answer)
                pause = OTHER
            state.until = time.monotonic() + 2 * pause * jitter(replica.url, state.failures)


class _Refused(Exception):
    # An answer that another replica, or the same later, may not give.

    def __init__(self, problem: Problem, answer: Answer) -> None:
        super().__init__(str(problem))
        self.problem, self.answer = problem, answer
        self.pause = asked_pause(answer.headers.get("Retry-After"))


def asked_pause(text: str | None) -> float:
    """Return the seconds, at least, to leave a replica alone; `text` is `Retry-After`: seconds or a
    date (RFC 9110, section 10.2.3), or nothing that can be read. It counts up to `ASKED`."""
    try:
        seconds = 2 * FIRST if text is None else float(Retry().parse_retry_after(text))
    except (InvalidHeader, ValueError, OverflowError):
        seconds = 2 * FIRST
    return min(max(seconds, FIRST), ASKED)


def _other(answer: Answer) -> str:
    try:
        return str(json.loads(bytes(answer.body))["fingerprint"])
    except (ValueError, KeyError, TypeError):
        return "another"


def jitter(url: str, attempt: int) -> float:
    """Return a factor in [0.5, 1), other for each process and moment, so that clients which failed
    together do not come back together."""
    text = f"{os.getpid()}\n{time.monotonic_ns()}\n{url}\n{attempt}".encode()
    return 0.5 + int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()) / 2**33


def _forked() -> None:
    for replicas in list(FORKED):
        replicas.reopen()


os.register_at_fork(after_in_child=_forked)
