"""A task graph as the simulation knows it: everything exact, nothing of it known to Rain before it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean


@dataclass
class Graph:
    """Tasks and objects are numbered from 0 in the order in which they are made; inputs come before their readers."""

    name: str
    #: Per task: seconds, cpus, function, first output, how many outputs, inputs.
    duration_s: list[float] = field(default_factory=list)
    cpus: list[int] = field(default_factory=list)
    function: list[str] = field(default_factory=list)
    first_output: list[int] = field(default_factory=list)
    n_outputs: list[int] = field(default_factory=list)
    inputs: list[tuple[int, ...]] = field(default_factory=list)
    #: Per object: bytes, and the task that makes it.
    size: list[int] = field(default_factory=list)
    producer: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.duration_s)

    def task(
        self, function: str, duration_s: float, *sizes: float, reads: tuple[int, ...] | list[int] = (), cpus: int = 1
    ) -> int:
        """Adds a task; `sizes`: MiB of its outputs. Returns its first output; the others follow."""
        number, first = len(self), len(self.size)
        self.duration_s.append(max(1e-4, duration_s))
        self.cpus.append(cpus)
        self.function.append(function)
        self.first_output.append(first)
        self.n_outputs.append(len(sizes))
        self.inputs.append(tuple(reads))
        self.size += [max(1, int(size * 2**20)) for size in sizes]
        self.producer += [number] * len(sizes)
        return first

    def outputs(self, task: int) -> range:
        """The objects that a task makes."""
        return range(self.first_output[task], self.first_output[task] + self.n_outputs[task])

    def consumers(self) -> list[list[int]]:
        """Per object: the tasks that read it."""
        found: list[list[int]] = [[] for _ in self.size]
        for task, inputs in enumerate(self.inputs):
            for obj in dict.fromkeys(inputs):
                found[obj].append(task)
        return found

    def mean_durations(self) -> list[float]:
        """Per task: the mean duration of the tasks of its function."""
        durations: dict[str, list[float]] = {}
        for function, duration_s in zip(self.function, self.duration_s, strict=True):
            durations.setdefault(function, []).append(duration_s)
        means = {function: fmean(values) for function, values in durations.items()}
        return [means[function] for function in self.function]

    def b_levels(self, duration_s: Sequence[float]) -> list[float]:
        """Per task: seconds of the longest path from its start to an end of the graph, for these durations."""
        consumers = self.consumers()
        levels = [0.0] * len(self)
        for task in reversed(range(len(self))):
            after = max((levels[reader] for obj in self.outputs(task) for reader in consumers[obj]), default=0.0)
            levels[task] = duration_s[task] + after
        return levels
