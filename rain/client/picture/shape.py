"""A session's graph as columns, for whoever draws it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, chain, compress, repeat
from operator import sub

from rain.client.graph import CONSTANT, CONSTANT_LABEL, IS_KEPT

_IS_OUTPUT = bytes(not flags & CONSTANT for flags in range(256))


@dataclass(frozen=True)
class GraphShape:
    """Rows are numbers of tasks and objects, as everywhere. Inputs exist before the tasks that read them."""

    session: int
    #: Per spec: what views call its tasks, and the labels of its outputs.
    names: Sequence[str]
    output_labels: Sequence[tuple[str | None, ...]]
    #: Per task: its spec.
    spec: array[int]
    #: Where the inputs of each task begin in `inputs`; one more row than tasks.
    input_start: array[int]
    #: The objects that tasks read, task after task.
    inputs: array[int]
    #: Per object: whether it is an output, 1, or a constant, 0.
    is_output: bytes
    #: Labels of constants, as far as they are known.
    constant_labels: dict[int, str | None] = field(default_factory=dict)
    #: Constants from this number on have the usual label where no other is known; of earlier ones nothing is known.
    first_labelled: int = 0

    @property
    def n_tasks(self) -> int:
        """All tasks of the session."""
        return len(self.spec)

    @property
    def n_objects(self) -> int:
        """All objects of the session."""
        return len(self.is_output)

    @cached_property
    def n_outputs(self) -> array[int]:
        """Per task how many outputs it has."""
        return array("I", map([len(labels) for labels in self.output_labels].__getitem__, self.spec))

    @cached_property
    def first_output(self) -> array[int]:
        """Per task its first output, any number where it has none; the others follow."""
        # Outputs are numbered in the order of their tasks.
        outputs = array("I", compress(range(self.n_objects), self.is_output))
        outputs.append(self.n_objects)
        return (
            array("I", map(outputs.__getitem__, accumulate(self.n_outputs[:-1], initial=0))) if self.spec else outputs
        )

    @cached_property
    def producer(self) -> array[int]:
        """Per object the task that makes it; `n_tasks` for constants."""
        makers = chain.from_iterable(map(repeat, range(self.n_tasks), self.n_outputs))
        if 0 not in self.is_output:
            return array("I", makers)
        constant = self.n_tasks
        return array("I", [next(makers) if is_output else constant for is_output in self.is_output])

    @cached_property
    def layers(self) -> array[int]:
        """Per task the length of the longest path that leads to it, in tasks."""
        n_tasks = self.n_tasks
        # One row more: constants are made by a task before all others.
        depth = array("I", bytes(4 * n_tasks + 4))
        depth_after = array("I", (1,)) * n_tasks
        depth_after.append(0)
        producers = array("I", map(self.producer.__getitem__, self.inputs))
        n_inputs = self.n_inputs
        stop = 0
        for task, count in zip(compress(range(n_tasks), n_inputs), filter(None, n_inputs), strict=True):
            start, stop = stop, stop + count
            if count == 1:
                deepest = depth_after[producers[start]]
            else:
                deepest = max([depth_after[producer] for producer in producers[start:stop]])
            if deepest:
                depth[task] = deepest
                depth_after[task] = deepest + 1
        depth.pop()
        return depth

    @cached_property
    def n_inputs(self) -> array[int]:
        """Per task how many objects it reads, repeats counted."""
        return array("I", map(sub, self.input_start[1:], self.input_start))

    def inputs_of(self, task: int) -> array[int]:
        """What a task reads, repeats included."""
        return self.inputs[self.input_start[task] : self.input_start[task + 1]]

    def outputs_of(self, task: int) -> range:
        """What a task makes."""
        first = self.first_output[task]
        return range(first, first + self.n_outputs[task])

    def readers(self) -> Iterator[int]:
        """The task of each edge, in the order of `inputs`."""
        return chain.from_iterable(map(repeat, range(self.n_tasks), self.n_inputs))

    def label_of(self, obj: int) -> str | None:
        """The label of an object."""
        task = self.producer[obj]
        if task == self.n_tasks:
            return self.constant_labels.get(obj, CONSTANT_LABEL if obj >= self.first_labelled else None)
        return self.output_labels[self.spec[task]][obj - self.first_output[task]]

    def neighbourhood(self, around: Iterable[int], steps: int) -> set[int]:
        """These tasks, and those that so many steps along the data lead to, in either direction."""
        found = set(around)
        edge = found
        for _ in range(steps):
            edge = (self._before(edge) | self._after(edge)) - found
            if not edge:
                break
            found |= edge
        return found

    def descendants(self, of: int) -> set[int]:
        """The tasks that cannot run without this one."""
        reached = bytearray(self.n_tasks + 1)
        reached[of] = 1
        producers = map(self.producer.__getitem__, self.inputs)
        # Inputs exist before the tasks that read them: one pass finds all.
        for task, producer in zip(self.readers(), producers, strict=True):
            if reached[producer]:
                reached[task] = 1
        return set(compress(range(of + 1, self.n_tasks), reached[of + 1 :]))

    def readers_of(self, objects: set[int]) -> set[int]:
        """The tasks that read one of these objects."""
        return set(compress(self.readers(), map(objects.__contains__, self.inputs))) if objects else set()

    def _before(self, tasks: Iterable[int]) -> set[int]:
        return {self.producer[obj] for task in tasks for obj in self.inputs_of(task)} - {self.n_tasks}

    def _after(self, tasks: Iterable[int]) -> set[int]:
        return self.readers_of({obj for task in tasks for obj in self.outputs_of(task)})


@dataclass(frozen=True)
class Moment:
    """How the tasks and objects of a graph stand."""

    #: Per task its state as `client.records` numbers them.
    task_states: bytes | bytearray
    #: Per object, as `client.graph` has them.
    object_flags: bytes | bytearray
    #: The states of some objects; the others' follow from those of their tasks.
    object_states: dict[int, str | None] = field(default_factory=dict)

    def kept(self) -> Iterator[int]:
        """The objects that are kept."""
        return compress(range(len(self.object_flags)), self.object_flags.translate(IS_KEPT))


def outputs_among(flags: bytes | bytearray) -> bytes:
    """`is_output` of objects with these flags."""
    return bytes(flags.translate(_IS_OUTPUT))
