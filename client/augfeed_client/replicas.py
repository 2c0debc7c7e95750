"""Several replicas of a service: whom to ask, whom to leave alone for a while, when to give up."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from augfeed.errors import InputError
from augfeed_client.connection import Answer, Broken, Connection, Replica, Wish, allocate
from augfeed_client.errors import Problem, RemoteError

FIRST, LONGEST = 0.05, 5.0  # seconds that a replica is left alone after a failure
OTHER = 10.0  # and one that makes other bytes
MOST = 1 << 32  # bytes of an answer
FINGERPRINT, EXPECT = "Augfeed-Fingerprint", "Augfeed-Expect-Fingerprint"


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


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of whichever replica answers; `key` spreads requests over them.

    `check` looks at an answer, and raises `ValueError` for one that is not what it should be.
    `prepare`, of a replica that does not know the plan, tells it.
    """

    method: str
    path: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    check: Callable[[Answer], Any] = lambda answer: answer
    prepare: "Callable[[Replica, Wish], None] | None" = None
    most: int = MOST
    room: Callable[[int], memoryview] = allocate


class Replicas:
    """The replicas of one service; threads may ask side by side."""

    def __init__(self, urls: str | list[str] | tuple[str, ...], connection: Connection) -> None:
        """Connect to nothing yet; raise `InputError` for what is no address."""
        listed = [urls] if isinstance(urls, str) else list(urls)
        if not listed:
            raise InputError("urls=[] names no service: give one address at least")
        self.all = [Replica(url) for url in dict.fromkeys(listed)]
        self.connection, self.stats = connection, Stats()
        self.fingerprint: str | None = None
        self._renew()

    def _renew(self) -> None:
        self._states = {replica.url: _State() for replica in self.all}
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        gone = {"_states": None, "_lock": None, "_closed": None}
        return {**self.__dict__, **gone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._renew()

    def begin(self) -> None:
        """Be ready to ask: after `close`, and in a process that was forked."""
        if self._closed.is_set() or self._process != os.getpid():
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
        order = self._order(request.key)
        tried: dict[str, str] = {}
        attempt = 0
        while True:
            replica = self._next(order, until, tried)
            attempt += 1
            try:
                return self._once(replica, request, until)
            except Broken as error:
                if self._closed.is_set():
                    raise RemoteError("the loader was closed") from None
                self._failed(replica, attempt)
                self.stats.retry("connection")
                tried[replica.url] = str(error)
            except _Refused as error:
                self._leave(replica, error)
                self.stats.retry(error.problem.name or str(error.problem.status))
                tried[replica.url] = f"{replica.url}: {error.problem}"

    def _once(self, replica: Replica, request: Request, until: float) -> Any:
        answer = self._answer(replica, request, until)
        problem = None
        if answer.status not in (200, 201):
            problem = Problem.of(answer.status, bytes(answer.body))
        if problem and problem.name == "unknown-plan" and request.prepare is not None:
            self.stats.retry("unknown-plan")
            told = Wish("PUT", "", self._headers(until), None, until, self.connection.timeout, 0)
            request.prepare(replica, told)
            answer = self._answer(replica, request, until)
            problem = None
            if answer.status != 200:
                problem = Problem.of(answer.status, bytes(answer.body))
        if problem is not None:
            if problem.passes or problem.name == "unknown-plan":
                raise _Refused(problem, answer)
            raise problem.error(f"{replica.url}{request.path}")
        try:
            result = request.check(answer)
        except ValueError as error:
            raise Broken(f"{replica.url}: {error}") from error
        self._worked(replica)
        self.stats.requests += 1
        self.stats.bytes += answer.body.nbytes
        return result

    def _answer(self, replica: Replica, request: Request, until: float) -> Answer:
        connection = self.connection
        headers = {**request.headers, **self._headers(until)}
        return replica.ask(Wish(
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

    def _next(self, order: list[Replica], until: float, tried: dict[str, str]) -> Replica:
        while True:
            now = time.monotonic()
            if now >= until:
                raise self._gave_up(tried)
            with self._lock:
                states = [(self._states[replica.url], replica) for replica in order]
            if len(tried) >= len(order) and all(state.other for state, _ in states):
                raise self._all_other(states)
            for state, replica in states:
                if state.until <= now:
                    return replica
            soonest = min(state.until for state, _ in states)
            if self._closed.wait(max(0.001, min(soonest, until) - now)):
                raise RemoteError("the loader was closed")

    def _gave_up(self, tried: dict[str, str]) -> RemoteError:
        reasons = "; ".join(tried.values()) or "no replica was asked"
        return RemoteError(
            f"no whole answer within deadline={self.connection.deadline:g} seconds ({reasons}): "
            "check that a replica runs, or give more time"
        )

    def _all_other(self, states: list[tuple[_State, Replica]]) -> RemoteError:
        others = ", ".join(f"{replica.url} has {state.other!r}" for state, replica in states)
        return RemoteError(
            f"batches so far have the fingerprint {self.fingerprint!r}, and {others}: their bytes "
            "would be others; go on with replicas of the same versions and data, or begin anew",
            412, "fingerprint-mismatch",
        )  # fmt: skip

    def _worked(self, replica: Replica) -> None:
        with self._lock:
            state = self._states[replica.url]
            state.failures, state.until, state.other = 0, 0.0, None

    def _failed(self, replica: Replica, attempt: int) -> None:
        with self._lock:
            state = self._states[replica.url]
            state.failures += 1
            pause = min(LONGEST, FIRST * 2 ** min(state.failures - 1, 10))
            state.until = time.monotonic() + pause * jitter(replica.url, attempt)

    def _leave(self, replica: Replica, refused: "_Refused") -> None:
        with self._lock:
            state = self._states[replica.url]
            pause = refused.pause
            if refused.problem.status == 412:
                state.other = refused.answer.headers.get(FINGERPRINT) or _other(refused.answer)
                pause = OTHER
            state.until = time.monotonic() + pause * jitter(replica.url, state.failures)


class _Refused(Exception):
    # An answer that another replica, or the same later, may not give.

    def __init__(self, problem: Problem, answer: Answer) -> None:
        super().__init__(str(problem))
        self.problem, self.answer = problem, answer
        given = answer.headers.get("Retry-After") or ""
        seconds = float(given) if given.isascii() and given.isdigit() else 4 * FIRST
        self.pause = min(max(seconds, FIRST), LONGEST)


def _other(answer: Answer) -> str:
    import json

    try:
        return str(json.loads(bytes(answer.body))["fingerprint"])
    except (ValueError, KeyError, TypeError):
        return "another"


def jitter(url: str, attempt: int) -> float:
    """Return a factor in [0.5, 1), other for each process and moment, so that clients which failed
    together do not come back together."""
    text = f"{os.getpid()}\n{time.monotonic_ns()}\n{url}\n{attempt}".encode()
    return 0.5 + int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()) / 2**33
