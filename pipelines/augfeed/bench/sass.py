"""Machine code of a kernel as text: its instructions, and how often each of them is carried out."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError

_LABEL = re.compile(r"^\s*\.?([.\w$]+):\s*$")
_INSTRUCTION = re.compile(
    r"/\*([0-9a-f]{4,})\*/\s+(?:\{\s*)?(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)\s*([^;]*?)\s*;"
)
_LINE = re.compile(r'^\s*//## File "(.+?)", line (\d+)')
_TARGET = re.compile(r"`\(\.?([.\w$]+)\)|\b0x([0-9a-f]+)\b")
_PREDICATE = re.compile(r"!?U?P\d")
_JUMPS, _ENDS = ("BRA", "JMP"), ("EXIT", "RET", "KILL")
_ANYWHERE = ("BRX", "JMX", "BRXU", "JMXU")  # their targets are not in the text


class Line(NamedTuple):
    """A line of source that an instruction comes from."""

    file: str
    number: int


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; `guard` is the predicate that it is carried out under, as `!P0`."""

    address: int
    guard: str | None
    opcode: str
    operands: str
    line: Line | None = None

    @property
    def name(self) -> str:
        """The opcode without what modifies it, `LDG` of `LDG.E.64`."""
        return self.opcode.partition(".")[0]

    @property
    def jumps(self) -> bool:
        """Whether it goes elsewhere than to the next one."""
        return self.name in _JUMPS

    @property
    def ends(self) -> bool:
        """Whether it ends the thread."""
        return self.name in _ENDS

    @property
    def conditional(self) -> bool:
        """Whether a jump or an end may not happen: by its guard, or by a predicate it reads."""
        return self.guard is not None or _PREDICATE.match(self.operands) is not None


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop: its first block, all of them, and the block whose last instruction leaves it."""

    head: int
    body: frozenset[int]
    exit: int


@dataclass(frozen=True)
class Listing:
    """The instructions of one kernel, in blocks that are carried out from first to last.

    `next[b]` are the blocks that may follow block `b`: where its last instruction jumps to, None
    if it does not jump, and the block behind it, None if that is not reached from it.
    """

    blocks: tuple[tuple[Instruction, ...], ...]
    next: tuple[tuple[int | None, int | None], ...]

    @classmethod
    def parse(cls, text: str) -> "Listing":
        """Return the listing of what nvdisasm or cuobjdump says about a single kernel."""
        found, labels = _parsed(text)
        targets = {
            k: _target(instruction, labels, found)
            for k, instruction in enumerate(found)
            if instruction.jumps
        }
        firsts = {0, *targets.values()}
        firsts |= {k + 1 for k, each in enumerate(found) if each.jumps or each.ends}
        starts = sorted(first for first in firsts if first < len(found))
        number = {start: b for b, start in enumerate(starts)}
        blocks, following = [], []
        for start, end in zip(starts, [*starts[1:], len(found)], strict=True):
            last = found[end - 1]
            leaves = (last.jumps or last.ends) and not last.conditional
            blocks.append(tuple(found[start:end]))
            to = targets.get(end - 1)
            following.append((
                None if to is None else number[to],
                None if leaves or end == len(found) else number[end],
            ))  # fmt: skip
        return cls(tuple(blocks), tuple(following))

    @cached_property
    def instructions(self) -> tuple[Instruction, ...]:
        """All instructions in their order."""
        return tuple(instruction for block in self.blocks for instruction in block)

    @cached_property
    def reached(self) -> frozenset[int]:
        """The blocks that are carried out at all: not what pads the end."""
        return frozenset(self._from(0))

    @cached_property
    def choices(self) -> tuple[int, ...]:
        """The blocks after which one of two ways is taken."""
        return tuple(
            b for b in sorted(self.reached)
            if (self.blocks[b][-1].jumps or self.blocks[b][-1].ends)
            and self.blocks[b][-1].conditional
        )  # fmt: skip

    @cached_property
    def loops(self) -> tuple[Loop, ...]:
        """The loops, those inside of others first."""
        bodies: dict[int, set[int]] = {}
        for tail, head in self._back_edges():
            bodies.setdefault(head, {head}).update(self._behind(tail, head))
        loops = [Loop(head, frozenset(body), self._exit(body)) for head, body in bodies.items()]
        return tuple(sorted(loops, key=lambda loop: len(loop.body)))

    def counts(
        self, trips: Mapping[int, float], taken: Mapping[int, float] | None = None
    ) -> NDArray[np.float64]:
        """Return how often each block is carried out by a thread.

        `trips` says, by its first block, how often a loop's body is carried out each time that it
        is reached; `taken` how likely the jump or end of a block is that may happen or not: half
        where it says nothing.
        """
        chance = {b: 0.5 for b in self.choices} | dict(taken or {})
        for loop in self.loops:
            on = self.next[loop.exit][0] in loop.body
            last = 1.0 / trips[loop.head]
            chance[loop.exit] = 1.0 - last if on else last
        flow = np.eye(len(self.blocks))
        for b in self.reached:
            jump, behind = self.next[b]
            share = chance.get(b, 1.0)
            if jump is not None:
                flow[jump, b] -= share
            if behind is not None:
                flow[behind, b] -= 1.0 - share if b in chance else 1.0
        start = np.zeros(len(self.blocks))
        start[0] = 1.0
        counts: NDArray[np.float64] = np.linalg.solve(flow, start).astype(np.float64)
        return counts

    def _ways(self, b: int) -> list[int]:
        return [to for to in self.next[b] if to is not None]

    def _from(self, b: int) -> set[int]:
        seen, waiting = set[int](), [b]
        while waiting:
            at = waiting.pop()
            if at not in seen:
                seen.add(at)
                waiting += self._ways(at)
        return seen

    def _behind(self, tail: int, head: int) -> set[int]:
        # What leads to a loop's tail without passing its head again.
        seen, waiting = set[int](), [tail]
        while waiting:
            at = waiting.pop()
            if at not in seen and at != head:
                seen.add(at)
                waiting += [b for b in self.reached if at in self._ways(b)]
        return seen

    def _back_edges(self) -> list[tuple[int, int]]:
        # Edges to a block that is still on the way from the first one.
        on_way, done, found = {0}, set[int](), []
        stack: list[tuple[int, Iterator[int]]] = [(0, iter(self._ways(0)))]
        while stack:
            b, following = stack[-1]
            to = next(following, None)
            if to is None:
                stack.pop()
                on_way.discard(b)
                done.add(b)
            elif to in on_way:
                found.append((b, to))
            elif to not in done:
                on_way.add(to)
                stack.append((to, iter(self._ways(to))))
        return found

    def _exit(self, body: set[int]) -> int:
        # The last way out is where the trips are counted.
        ways = [b for b in self.choices if b in body
                and (self.blocks[b][-1].ends or not set(self._ways(b)) <= body)]  # fmt: skip
        if not ways:
            first = self.blocks[min(body)][0].address
            raise InputError(f"the loop at {first:#x} of the machine code has no end")
        return max(ways)


def _parsed(text: str) -> tuple[list[Instruction], dict[str, int]]:
    found: list[Instruction] = []
    labels: dict[str, int] = {}
    line = None
    for row in text.splitlines():
        if match := _LINE.match(row):
            line = Line(match[1], int(match[2]))
        elif match := _LABEL.match(row):
            labels[match[1]] = len(found)
        elif match := _INSTRUCTION.search(row):
            found.append(Instruction(int(match[1], 16), match[2], match[3], match[4], line))
    if not found:
        raise InputError("there is no instruction in the machine code: give what nvdisasm prints")
    for each in found:
        if each.name in _ANYWHERE:
            raise InputError(f"{each.opcode} at {each.address:#x} of the machine code may go "
                             "anywhere: how often what follows is done is not known")  # fmt: skip
    return found, labels


def _target(instruction: Instruction, labels: Mapping[str, int], found: list[Instruction]) -> int:
    match = _TARGET.search(instruction.operands)
    if match and match[1] in labels:
        return labels[match[1]]
    if match and match[2]:
        for k, each in enumerate(found):
            if each.address == int(match[2], 16):
                return k
    raise InputError(
        f"{instruction.opcode} {instruction.operands} at {instruction.address:#x} of the machine "
        "code goes to a place that is not in it"
    )
