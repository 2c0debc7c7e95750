"""The actors of a rank: started, asked, replaced where they are lost."""

import math
import pickle
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from augfeed.errors import AugfeedError, InputTypeError, StateError
from augfeed.ray.actors import DEPTH, Actors, wanted_actors
from augfeed.ray.errors import ClusterError
from augfeed.ray.feeder import Feeder, Info
from augfeed.ray.head import Head, reachable
from augfeed.ray.jobs import Address, Job
from augfeed.ray.room import room_for
from augfeed.read.read_errors import LOG

SLICE = 0.5  # seconds after which a thread that waits looks up
TOLD = 10.0  # seconds that an actor waits for room before it is said
MEASURED = 32  # batches over which it is decided how many actors there should be


@dataclass(slots=True)
class Stats:
    """What happened so far in this process.

    `waited` seconds were spent waiting for batches; `received` are the bytes of the images that
    came; `lost` actors were replaced; `retried` batches were asked for once more.
    """

    batches: int = 0
    waited: float = 0.0
    received: int = 0
    lost: int = 0
    retried: int = 0


@dataclass(eq=False, slots=True)
class Member:
    """An actor: `info` is None until it has opened the dataset."""

    handle: Any
    info: Info | None = None
    under_way: int = 0


@dataclass(slots=True)
class Load:
    """What the last batches took, for `wanted_actors`."""

    batches: int = 0
    waited: float = 0.0
    made: float = 0.0
    begun: float = field(default_factory=time.perf_counter)


class Pool:
    """Actors that make batches of one job; `ask` may be called by several threads."""

    def __init__(self, job: Job, actors: Actors) -> None:
        """Start nothing yet."""
        self.job, self.actors, self.stats = job, actors, Stats()
        self._changed = threading.Condition()
        self._members: list[Member] = []
        self._job: Any = None  # in the object store
        self._wanted, self._tickets = actors.least, count()
        self._waiting: list[int] = []  # tickets of threads without an actor: the first is served
        self._failed_starts: list[str] = []  # since an actor last opened the dataset
        self._error: Exception | None = None
        self._load, self._closed, self._head = Load(), False, Head()
        self._session, self._told = "", False
        self.info: Info | None = None

    # What the threads of a pass ask

    def ask(self, at: Address, *, crops: bool = False) -> Any:
        """Return a batch, from whichever actor makes it; with `crops` what it is made of.

        Raises what the making of the batch raises, and `ClusterError` if no actor makes it within
        the deadline and the retries.
        """
        until, ticket = time.monotonic() + self.actors.deadline, next(self._tickets)
        lost: list[str] = []
        while True:
            member = self._taken(ticket, until, f"{at}")
            try:
                make = member.handle.crops if crops else member.handle.batch
                came = self._result(make.remote(at), until, f"{at}")
                self._count(came)
                return came
            except RayTaskError as error:
                raise _cause(error) from None
            except RayError as error:
                lost.append(_said(error))
                self._replace(member)
            finally:
                with self._changed:
                    member.under_way -= 1
                    self._changed.notify_all()
            if len(lost) > self.actors.retries:
                raise ClusterError(
                    f"{at}: {len(lost)} actors were lost while they made this batch (retries="
                    f"{self.actors.retries}): look for lack of memory, or for a file that ends "
                    f"the process that reads it. The last one: {lost[-1]}"
                )
            self.stats.retried += 1

    def known(self) -> Info:
        """Return what actors know of the job, once one has opened the dataset."""
        if self.info is not None:
            return self.info
        until, ticket = time.monotonic() + self.actors.deadline, next(self._tickets)
        member = self._taken(ticket, until, "the dataset")
        with self._changed:
            member.under_way -= 1
            self._changed.notify_all()
        assert self.info is not None
        return self.info

    def waited(self, seconds: float) -> None:
        """Count how long the training waited for a batch; let there be more actors, or fewer."""
        self.stats.waited += seconds
        self.stats.batches += 1
        with self._changed:
            load = self._load
            load.batches += 1
            load.waited += seconds
            if load.batches < MEASURED:
                return
            taken, running = time.perf_counter() - load.begun, len(self._ready)
            busy = load.made / max(taken * running * DEPTH, 1e-9)
            self._load = Load()
            if running == len(self._members):
                self._wanted = wanted_actors(running, load.waited / taken, busy, self.actors)
            spare = self._spare()
            self._start_missing()
        for member in spare:
            _end(member)

    def begin(self) -> None:
        """Forget what was measured, as time passed between two passes; serve again if closed."""
        with self._changed:
            if self._session != _session():  # Ray was started again: those of before are gone
                self._session, self._members, self._job = _session(), [], None
            self._load, self._closed, self._error, self._head = Load(), False, None, Head()
            self._failed_starts.clear()

    def close(self) -> None:
        """End the actors; threads that wait for one end with an error."""
        with self._changed:
            self._closed, members = True, self._members
            self._members, self._job = [], None
            self._changed.notify_all()
        for member in members:
            _end(member)

    def __len__(self) -> int:
        return len(self._ready)

    def __reduce__(self) -> tuple[type["Pool"], tuple[Job, Actors]]:
        return Pool, (self.job, self.actors)  # a copy has actors of its own

    @property
    def handles(self) -> list[Any]:
        """The actors that have opened the dataset, as Ray's handles."""
        with self._changed:
            return [member.handle for member in self._ready]

    @property
    def _ready(self) -> list[Member]:
        return [member for member in self._members if member.info is not None]

    # How an actor is found

    def _taken(self, ticket: int, until: float, what: str) -> Member:
        # Threads are served in the order of their batches: the next one to be given out is first.
        with self._changed:
            self._waiting.append(ticket)
            try:
                while True:
                    self._check(until, what)
                    self._start_missing()
                    free = [one for one in self._ready if one.under_way < DEPTH]
                    if free and ticket == min(self._waiting):
                        member = min(free, key=lambda one: one.under_way)
                        member.under_way += 1
                        return member
                    self._changed.wait(SLICE)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _check(self, until: float, what: str) -> None:
        if self._closed:
            raise ClusterError(f"{what}: the loader was closed: begin a new pass")
        if self._error is not None:
            raise self._error
        if time.monotonic() > until:
            raise ClusterError(self._late(what))
        self._head.check(what)

    def _late(self, what: str) -> str:
        starting = len(self._members) - len(self._ready)
        room = f"; {room_for(self.actors)[1]}" if starting else ""
        return (
            f"{what}: no actor made it in deadline={self.actors.deadline:g} seconds; "
            f"{len(self._ready)} are ready and {starting} are starting, or wait for "
            f"{self.actors.options()}{room}: look at `ray status`, give less to reserve, or a "
            "longer deadline"
        )

    def _result(self, ref: Any, until: float, what: str) -> Any:
        while True:
            try:
                return _got(ref)
            except GetTimeoutError:
                with self._changed:
                    self._check(until, what)

    def _count(self, came: Any) -> None:
        with self._changed:
            self._head.answered()
            self.stats.received += came.nbytes
            self._load.made += came.seconds

    # How actors come and go

    def _start_missing(self) -> None:
        while len(self._members) < self._wanted and not self._closed and self._error is None:
            if ray.is_initialized() and not reachable():
                return  # Ray would wait for the head with the lock held, so that nobody says so
            if self._job is None:
                self._job = _put(self.job)
                self._session = _session()
            kind: Any = ray.remote(Feeder)
            options = self.actors.options()
            handle = kind.options(**options).remote(self.actors.threads, self.actors.device)
            member = Member(handle)
            self._members.append(member)
            opened = handle.open.remote(self._job)
            threading.Thread(
                target=self._greet, args=(member, opened), name="augfeed-actor", daemon=True
            ).start()

    def _greet(self, member: Member, opened: Any) -> None:
        # Waits until an actor has opened the dataset.
        told = time.monotonic() + TOLD
        try:
            while member in self._members:
                try:
                    info = _got(opened)
                    break
                except GetTimeoutError:
                    if time.monotonic() > told:
                        told = math.inf
                        self._tell()
            else:
                return
        except RayTaskError as error:
            self._fail(member, _cause(error))
        except RayError as error:
            with self._changed:
                self._failed_starts.append(_said(error))
                tried = len(self._failed_starts)
            if tried > self.actors.retries:
                self._fail(member, ClusterError(
                    f"{tried} actors ended before they had opened the dataset: {_said(error)}"
                ))  # fmt: skip
            else:
                self._replace(member)
        except Exception as error:  # Ray itself was ended
            self._fail(member, ClusterError(f"Ray cannot be asked any more ({_said(error)})"))
        else:
            self._welcome(member, info)

    def _tell(self) -> None:
        # An autoscaler may add a node, so that it is an error only after the deadline.
        fits, has = room_for(self.actors)
        with self._changed:
            if fits or self._told or self._closed:
                return
            self._told = True
        LOG.warning(
            "no node has room for an actor that reserves %s: %s. Waiting for another node, up to "
            "deadline=%g seconds: give less to reserve (Actors(num_cpus=...)) if none comes",
            self.actors.reserved, has, self.actors.deadline,
        )  # fmt: skip

    def _welcome(self, member: Member, info: Info) -> None:
        with self._changed:
            self.info = self.info or info
            if info == self.info:
                member.info = info
                self._failed_starts.clear()
                self._changed.notify_all()
                return
        self._fail(member, StateError(
            f"an actor has {info}, and others have {self.info}: give all nodes the same data and "
            "the same versions, as by one image"
        ))  # fmt: skip

    def _fail(self, member: Member, error: Exception) -> None:
        with self._changed:
            if member in self._members:  # else it was given up
                self._members.remove(member)
                self._error = self._error or error
            self._changed.notify_all()
        _end(member)

    def _replace(self, member: Member) -> None:
        with self._changed:
            known = member in self._members
            if known:
                self._members.remove(member)
                self.stats.lost += 1
            self._changed.notify_all()
        if known:
            _end(member)

    def _spare(self) -> list[Member]:
        # Called with the lock held. Those that make a batch stay.
        idle = [member for member in self._ready if not member.under_way]
        spare = idle[: max(0, len(self._members) - self._wanted)]
        for member in spare:
            self._members.remove(member)
        return spare


def _got(ref: Any) -> Any:
    if not ray.is_initialized():  # else Ray would connect again, from a thread of ours
        raise ClusterError("ray.shutdown() was called while batches were under way")
    return ray.get(ref, timeout=SLICE)


def _put(job: Job) -> Any:
    try:
        return ray.put(job)
    except (TypeError, pickle.PicklingError) as error:
        raise InputTypeError(
            f"the dataset, of type {type(job.dataset.data).__name__!r}, cannot be sent to actors "
            f"({_said(error)}): give a path that their nodes see, a list of files, or arrays"
        ) from error


def _session() -> str:
    return str(ray.get_runtime_context().get_job_id()) if ray.is_initialized() else ""


def _end(member: Member) -> None:
    try:
        # Else Ray would start a cluster to ask it, or wait for the head.
        if ray.is_initialized() and reachable():
            ray.kill(member.handle)
    except Exception:  # it is gone, or Ray is
        return


def _cause(error: RayTaskError) -> Exception:
    # What the actor raised, as in process; the class of Ray's would be another one.
    cause = error.cause
    if isinstance(cause, Exception) and not isinstance(cause, RayError):
        if not isinstance(cause, AugfeedError):
            cause.add_note(str(error))
        return cause
    return ClusterError(_said(error))


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if len(text) > 900:
        text = f"{text[:300]} ... {text[-600:]}"  # the reason is at the end of what Ray says
    return f"{type(error).__name__}: {text}"
