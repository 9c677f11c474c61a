"""How many tasks of a session are in each stage, by name, counted again only where something has changed.

The rows are looked at in blocks. A block whose stages are what they were costs a comparison of bytes; one whose tasks
have the same name is counted by `bytes.count`; only one of several names is counted row by row.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import add

from rain.server.machine.stages import STAGE_NAMES
from rain.server.machine.tables import TaskTable

#: Rows of a block.
BLOCK = 8192
#: A group's counts stand from this times its number on.
STRIDE = 8
#: What the work takes on a slow machine, in seconds: a block that is looked at, a row that is counted in a block of one
#: name and in one of several, a row whose name is looked up.
LOOK_S = 3e-6
UNIFORM_ROW_S = 8e-9
MIXED_ROW_S = 1.5e-7
NAME_ROW_S = 1e-7

_STAGES = range(len(STAGE_NAMES))


@dataclass(slots=True)
class _Block:
    #: As they were counted.
    stages: bytes = b""
    #: The group of all rows, or `STRIDE` times the group of each.
    groups: int | array[int] = 0
    #: By `STRIDE` times the group, plus the stage.
    counts: Mapping[int, int] = field(default_factory=dict)


class StageCounts:
    """Counts of one session; `update` brings them up to date."""

    __slots__ = ("_blocks", "_cursor", "counts", "is_behind")

    def __init__(self) -> None:
        #: By `STRIDE` times the group, plus the stage.
        self.counts: Counter[int] = Counter()
        #: Not everything was looked at: there is too much of it for one update.
        self.is_behind = False
        self._blocks: list[_Block] = []
        self._cursor = 0

    def update(self, tasks: TaskTable, group_of_spec: array[int], budget_s: float) -> float:
        """Counts what has changed, until the budget is used up; returns what that took, about, in seconds."""
        n_left = n_blocks = -(-len(tasks) // BLOCK)
        spent_s = 0.0
        while n_left and spent_s <= budget_s:
            if self._cursor >= n_blocks:
                self._cursor = 0
            spent_s += self._look(self._cursor, tasks, group_of_spec)
            self._cursor += 1
            n_left -= 1
        self.is_behind = n_left > 0
        return spent_s

    def _look(self, number: int, tasks: TaskTable, group_of_spec: array[int]) -> float:
        """Counts one block where it has changed; returns what that took."""
        while len(self._blocks) <= number:
            self._blocks.append(_Block())
        block = self._blocks[number]
        start = number * BLOCK
        stages = bytes(tasks.stage[start : start + BLOCK])
        if stages == block.stages:
            return LOOK_S
        spent_s = LOOK_S
        if len(stages) != len(block.stages):
            spec = tasks.spec[start : start + BLOCK]
            is_of_one_spec = spec == array("I", (spec[0],)) * len(spec)
            block.groups = group_of_spec[spec[0]] if is_of_one_spec else _groups(spec, group_of_spec)
            spent_s += (UNIFORM_ROW_S if is_of_one_spec else NAME_ROW_S) * len(stages)
        counts: Mapping[int, int]
        if isinstance(block.groups, int):
            base = STRIDE * block.groups
            counts = {base + stage: stages.count(stage) for stage in _STAGES}
            spent_s += UNIFORM_ROW_S * len(stages)
        else:
            counts = Counter(map(add, block.groups, stages))
            spent_s += MIXED_ROW_S * len(stages)
        self.counts.subtract(block.counts)
        self.counts.update(counts)
        block.stages, block.counts = stages, counts
        return spent_s


def _groups(spec: array[int], group_of_spec: array[int]) -> int | array[int]:
    first = group_of_spec[spec[0]]
    groups = array("I", map(group_of_spec.__getitem__, spec))
    if groups == array("I", (first,)) * len(groups):
        return first
    return array("I", map(STRIDE.__mul__, groups))
