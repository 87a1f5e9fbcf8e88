"""Where tensors lie in a runtime's memory, under a greedy planner.

Tensors are placed in the order of execution: each in the smallest gap that holds it (best fit), at the end where none does. A
tensor lives from the step that makes it to the last one that reads it; what enters lives from the start, what leaves to the
end, and so does what nobody reads.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Tensors begin at multiples of this many bytes.
ALIGNMENT = 16


class Reuse(enum.Enum):
    """Whether a step's only output may lie where an input lies."""

    NONE = "none"
    VIEW = "view"  # the bytes stay as they are
    OVERWRITE = "overwrite"  # nobody may read the input afterwards


@dataclass(frozen=True)
class Step:
    """An operation as memory sees it.

    Args:
        inputs: names of the tensors that it reads, constants left out.
        outputs: names of the tensors that it makes.
        reuse: whether its only output may take the place of an input that is as large or larger.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reuse: Reuse = Reuse.NONE


@dataclass(frozen=True)
class MemoryPlan:
    """The result.

    Args:
        offsets: of each tensor from the start of the memory, in bytes.
        live: bytes of the tensors that are alive during each step.
        peak: bytes of memory that all of it takes, gaps included.
    """

    offsets: Mapping[str, int]
    live: tuple[int, ...]
    peak: int


def plan_memory(
    steps: Sequence[Step], sizes: Mapping[str, int], inputs: Iterable[str], outputs: Iterable[str]
) -> MemoryPlan:
    """Place the tensors of a program.

    Args:
        steps: in the order of execution.
        sizes: bytes of each tensor.
        inputs: names of the tensors that enter.
        outputs: names of the tensors that leave.
    """
    buffers = _buffers(steps, sizes, tuple(dict.fromkeys(inputs)), frozenset(outputs))
    arena, live = _Arena(), []
    for index in range(len(steps)):
        for buffer in buffers:
            if buffer.end == index - 1:
                arena.release(buffer.offset, buffer.size)
        for buffer in buffers:
            if buffer.begin == index:
                buffer.offset = arena.allocate(buffer.size)
        live.append(sum(buffer.size for buffer in buffers if buffer.begin <= index <= buffer.end))
    offsets = {name: buffer.offset for buffer in buffers for name in buffer.names}
    return MemoryPlan(offsets, tuple(live), arena.size)


@dataclass
class _Buffer:
    """Bytes that one tensor or several in turn have."""

    names: list[str]
    size: int
    begin: int
    end: float
    offset: int = 0


def _buffers(
    steps: Sequence[Step], sizes: Mapping[str, int], inputs: Sequence[str], outputs: frozenset[str]
) -> list[_Buffer]:
    """Which bytes there are and when, by the step that first needs them."""
    last = {name: index for index, step in enumerate(steps) for name in step.inputs}
    ends: dict[str, float] = {name: math.inf if name in outputs else last.get(name, math.inf) for name in sizes}
    owner = {name: _Buffer([name], _aligned(sizes[name]), 0, ends[name]) for name in inputs}
    made = list(owner.values())
    for index, step in enumerate(steps):
        for name in step.outputs:
            host = _host(step, sizes, owner, outputs, index) if len(step.outputs) == 1 else None
            if host is None:
                host = _Buffer([], _aligned(sizes[name]), index, ends[name])
                made.append(host)
            host.names.append(name)
            host.end = max(host.end, ends[name])
            owner[name] = host
    return made


def _host(
    step: Step, sizes: Mapping[str, int], owner: Mapping[str, _Buffer], outputs: frozenset[str], index: int
) -> _Buffer | None:
    """The bytes of the first input that the step's output may take."""
    if step.reuse is Reuse.NONE:
        return None
    for name in step.inputs:
        buffer = owner[name]
        if sizes[name] < sizes[step.outputs[0]] or outputs.intersection(buffer.names):
            continue
        return buffer if step.reuse is Reuse.VIEW or buffer.end <= index else None
    return None


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass
class _Arena:
    """Memory with gaps."""

    size: int = 0
    gaps: dict[int, int] = field(default_factory=dict)  # offset -> bytes

    def allocate(self, size: int) -> int:
        """Offset of ``size`` bytes: in the smallest gap that holds them, else from the last gap on if that is at the end."""
        fitting = [(bytes_, offset) for offset, bytes_ in self.gaps.items() if bytes_ >= size]
        if fitting:
            bytes_, offset = min(fitting)
            del self.gaps[offset]
            if bytes_ > size:
                self.gaps[offset + size] = bytes_ - size
            return offset
        offset = next((start for start, bytes_ in self.gaps.items() if start + bytes_ == self.size), self.size)
        self.gaps.pop(offset, None)
        self.size = offset + size
        return offset

    def release(self, offset: int, size: int) -> None:
        """Give bytes back; neighbouring gaps become one."""
        size += self.gaps.pop(offset + size, 0)
        before = next((start for start, bytes_ in self.gaps.items() if start + bytes_ == offset), None)
        if before is not None:
            offset, size = before, size + self.gaps.pop(before)
        if size:
            self.gaps[offset] = size
