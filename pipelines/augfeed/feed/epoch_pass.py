"""One pass over an epoch, where it stands, and the state from which it goes on."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch.utils.data import RandomSampler

from augfeed.errors import InputError, InputTypeError, StateError
from augfeed.feed.batch_requests import Ranges
from augfeed.feed.generators import Generators, Packed
from augfeed.feed.shuffle import Replay
from augfeed.philox import check_key
from augfeed.whole_number import whole_number

VERSION = 1


@dataclass(slots=True)
class EpochPass:
    """One pass: `seed` and `epoch` key its draws, `position` is where the next batch begins.

    `position` counts samples over all ranks (batches for an iterable dataset). `replay` knows what
    an order of torch's came from, `token` what it is to come from; so do `generators`, once there
    is an iterator, and `wanted`. `given` is what a state says was given behind `position`, where
    batches come as workers make them. An iterator and its loader share a run, so that a loader need
    not hold an iterator, and its workers, to know where it stands.
    """

    epoch: int
    seed: int | None
    position: int = 0
    check: int | None = None
    token: int | None = None
    replay: Replay | None = None
    done: bool = False
    wanted: list[Packed] | None = None
    generators: Generators | None = None
    given: Ranges = ()
    _behind: dict[int, tuple[int, int | None]] = field(default_factory=dict)

    def begin(self) -> None:
        """Get ready to draw the order."""
        if self.generators is not None:
            self.generators.begin()

    def gave(self, begin: int, end: int, check: int | None) -> None:
        """Count a batch that came before, or after, its turn."""
        self._behind[begin] = (end, check)
        skipped = dict(self.given)
        while True:
            if self.position in self._behind:
                self.position, self.check = self._behind.pop(self.position)
            elif self.position in skipped:
                self.position, self.check = skipped[self.position], None
            else:
                return

    @property
    def ahead(self) -> list[list[int]]:
        """What was given behind `position`, as `[begin, end]`, in order."""
        parts = [*self.given, *((begin, end) for begin, (end, _) in self._behind.items())]
        joined: list[list[int]] = []
        for begin, end in sorted(part for part in parts if part[0] >= self.position):
            if joined and joined[-1][1] == begin:
                joined[-1][1] = end
            else:
                joined.append([begin, end])
        return joined

    def opened(self, sampler: Iterable[Any]) -> Iterator[Any]:
        """Return the iterator of a sampler of torch's loader."""
        return iter(sampler) if self.generators is None else self.generators.opened(sampler)

    def replayed(self, sampler: RandomSampler) -> Replay:
        """Return one pass over a random sampler of torch's, remembered for the state."""
        self.replay = Replay(sampler, self.token)
        return self.replay


def state_of(run: EpochPass, identity: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a run that is not done, as JSON."""
    ahead = {"given": given} if (given := run.ahead) else {}
    return {
        "version": VERSION,
        "epoch": run.epoch,
        "position": run.position,
        "seed": run.seed,
        "order": run.replay.token if run.replay else run.token,
        "check": run.check,
        "generators": run.generators.states if run.generators else run.wanted,
        **ahead,
        **identity,
    }


def run_of(state: Any, seed: int | None, identity: dict[str, Any]) -> EpochPass:
    """Return the run that a state describes, but for its generators.

    Raises `StateError` for a state of other data, policy or seed.
    """
    if not isinstance(state, dict):
        raise InputTypeError(f"state={state!r} is not a state: give what state_dict() returned")
    names = {"version", "epoch", "position", "seed", "order", "check", *identity}
    if missing := sorted(names - state.keys()):
        raise StateError(f"the state lacks {missing}: give what state_dict() returned")
    own = {"version": VERSION, **identity}
    if seed is not None:
        own["seed"] = seed
    for name, value in own.items():
        if state[name] != value:
            raise StateError(
                f"the state is of {name}={state[name]!r} and this loader has {value!r}: "
                f"build the loader with the {name} that the state was taken with"
            )
    try:
        epoch = whole_number("epoch", state["epoch"], 0)
        position = whole_number("position", state["position"], 0)
        check_key(state["seed"] or 0, epoch)
    except InputError as error:
        raise StateError(f"the state is broken: {error}") from None
    order = state["order"]
    if not isinstance(order, int | str | None) or not _is_seed(order):
        raise StateError(f"the state is broken: order={order!r} is not what an order comes from")
    token = order if isinstance(order, int) else None
    given = _ranges(state.get("given", []), position)
    return EpochPass(epoch, state["seed"], position, state["check"], token, given=given)


def _ranges(given: Any, position: int) -> Ranges:
    try:
        found = tuple((whole_number("begin", a, 0), whole_number("end", b, 0)) for a, b in given)
    except (InputError, TypeError, ValueError):
        found = ((1, 0),)
    ends = [position, *(place for part in found for place in part)]
    if ends != sorted(set(ends)):
        raise StateError(f"the state is broken: given={given!r} are not parts behind {position!r}")
    return found


def _is_seed(order: int | str | None) -> bool:
    return not isinstance(order, int) or -(1 << 63) <= order < 1 << 63


def digest_of(*parts: Any) -> str:
    """Return 16 hexadecimal digits that name some values."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]
