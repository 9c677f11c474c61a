"""Random graphs, and what their tasks must yield: the model that the cluster's answers are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random

from rain.core.resources import UNIT, Request
from rain.core.spec import OutputSpec, TaskSpec
from tests.sim.faults import Faults

#: Enough for whatever the faults do to a task that is not meant to fail.
MANY_RETRIES = 10_000
#: Inline in reports; through a pipe; as a file.
SIZES = (8, 5_000, 100_000)


@dataclass(frozen=True)
class Blob:
    """The content of an object: a value that stands for its bytes, and how many these are."""

    value: bytes
    size: int

    @property
    def data(self) -> bytes:
        """The bytes."""
        return self.value.ljust(self.size, b"\0")

    @classmethod
    def of(cls, data: bytes | memoryview) -> Blob:
        """The content from its bytes."""
        return cls(bytes(data[:8]), len(data))


@dataclass
class PlannedTask:
    """A task, and how it behaves."""

    number: int
    spec: int
    inputs: tuple[int, ...]
    first_output: int
    sizes: tuple[int, ...]
    args: bytes
    duration_s: float
    #: Attempts below this number raise; `MANY_RETRIES` for one that always does.
    raises_below: int = 0
    #: Attempts below this number never end.
    hangs_below: int = 0
    #: The only output is this input.
    passes_input: int | None = None

    @property
    def outputs(self) -> range:
        return range(self.first_output, self.first_output + len(self.sizes))


@dataclass
class PlannedSubmit:
    """What is submitted at once."""

    first_task: int
    first_object: int
    tasks: list[PlannedTask] = field(default_factory=list)
    constants: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    n_objects: int = 0


class Graph:
    """The graph of one session, as several submits."""

    def __init__(self, random: Random, faults: Faults, name: str) -> None:
        self._random = random
        self._faults = faults
        self._name = name.encode()
        self.fail_fast = random.random() < 0.5
        self.specs = self._make_specs()
        self.tasks: list[PlannedTask] = []
        self.submits: list[PlannedSubmit] = []
        self.constants: dict[int, Blob] = {}
        self.blobs: dict[int, Blob] = {}
        self._short = random.random() < 0.5
        for _ in range(random.choice((1, 1, 2, 3))):
            if random.random() < 0.12:
                self._add_array_submit()
            else:
                self._add_submit()

    def failed_tasks(self) -> set[int]:
        """Tasks that always raise and can be reached."""
        return {task.number for task in self.tasks if task.raises_below == MANY_RETRIES} - self.cancelled_tasks()

    def cancelled_tasks(self) -> set[int]:
        """Tasks that depend on one that always raises."""
        broken: set[int] = set()
        cancelled: set[int] = set()
        for task in self.tasks:
            if not broken.isdisjoint(task.inputs):
                cancelled.add(task.number)
            if task.number in cancelled or task.raises_below == MANY_RETRIES:
                broken.update(task.outputs)
        return cancelled

    def run(self, task: PlannedTask, args: bytes, inputs: Sequence[Blob]) -> list[Blob]:
        """What the task makes of its inputs."""
        if task.passes_input is not None:
            return [inputs[task.passes_input]]
        made = []
        for index, size in enumerate(task.sizes):
            digest = blake2b(b"%s %d %d" % (self._name, task.number, index), digest_size=8)
            digest.update(args)
            for blob in inputs:
                digest.update(blob.value)
            made.append(Blob(digest.digest(), size))
        return made

    def _make_specs(self) -> list[TaskSpec]:
        """By (number of outputs, cpus, time limit)."""
        self._by_shape: dict[tuple[int, float, bool], int] = {}
        specs = []
        always = TaskSpec(kind="python", name="raises", retries=0)
        for n_outputs in (0, 1, 2):
            for cpus in (0.5, 1.0, 2.0):
                for limited in (False, True):
                    self._by_shape[(n_outputs, cpus, limited)] = len(specs)
                    specs.append(
                        TaskSpec(
                            kind="python",
                            name=f"f{len(specs)}",
                            outputs=tuple(OutputSpec(label=str(index)) for index in range(n_outputs)),
                            request=Request(cpus=int(cpus * UNIT)),
                            retries=MANY_RETRIES,
                            timeout_s=3.0 if limited else None,
                        )
                    )
        self._raising_spec = len(specs)
        specs.append(always)
        return specs

    def _add_submit(self) -> None:
        random = self._random
        n_objects = len(self.blobs)
        submit = PlannedSubmit(len(self.tasks), n_objects)
        self.submits.append(submit)
        kept_before = [obj for each in self.submits for obj in each.kept]
        usable = random.sample(kept_before, min(len(kept_before), 5))
        for _ in range(random.randint(0, 3)):
            obj = len(self.blobs)
            blob = Blob(b"c%07d" % obj, random.choice(SIZES))
            self.constants[obj] = self.blobs[obj] = blob
            submit.constants.append(obj)
            usable.append(obj)
        if random.random() < 0.3:
            self._add_arrays(submit)
        shape = random.choice(("flat", "chains", "tree", "layers", "diamonds", "random"))
        for index in range(random.choice((3, 10, 20, 40))):
            self._add_task(submit, self._choose_inputs(shape, index, submit, usable))
        submit.n_objects = len(self.blobs) - n_objects
        share = random.choice((0.1, 0.5, 1.0))
        new = range(n_objects, len(self.blobs))
        submit.kept = [obj for obj in new if random.random() < share]

    def _add_arrays(self, submit: PlannedSubmit) -> None:
        """Neighbours that are alike and read nothing, as an array of tasks makes them; a few of them behave oddly."""
        random = self._random
        for _ in range(random.randint(1, 4)):
            alike = random.choice((1, 1, 2, 0)), random.choice((1.0, 1.0, 2.0, 0.5))
            sizes = random.choice(((SIZES[0],), (SIZES[0],), SIZES))
            for _ in range(random.choice((1, 2, 7, 30, 100))):
                self._add_task(submit, (), alike, sizes)

    def _add_array_submit(self) -> None:
        """Long stretches of tasks that are alike, mostly; some end otherwise, and a few read what the others made."""
        random = self._random
        submit = PlannedSubmit(len(self.tasks), len(self.blobs))
        self.submits.append(submit)
        kept_share = random.choice((0.0, 0.0, 0.9, 1.0, 1.0))
        odd_share = random.choice((0.0, 0.0, 0.02))
        size = random.choice((8, 8, 5_000))
        for _ in range(random.choice((40, 80))):
            if random.random() < odd_share:
                self._add_task(submit, ())
            else:
                self._add_alike(submit, size)
        made = [obj for task in submit.tasks for obj in task.outputs]
        for _ in range(random.choice((0, 0, 2))):
            self._add_task(submit, tuple(random.sample(made, 2)))
        new = range(submit.first_object, len(self.blobs))
        submit.n_objects = len(new)
        submit.kept = [obj for obj in new if random.random() < kept_share]

    def _add_alike(self, submit: PlannedSubmit, size: int) -> None:
        number = len(self.tasks)
        task = PlannedTask(
            number=number,
            spec=self._by_shape[(1, 1.0, False)],
            inputs=(),
            first_output=len(self.blobs),
            sizes=(size,),
            args=b"a%d" % number,
            duration_s=1e-5,
        )
        self._add(submit, task, ())

    def _choose_inputs(self, shape: str, index: int, submit: PlannedSubmit, usable: list[int]) -> tuple[int, ...]:
        random = self._random
        made = [obj for task in submit.tasks for obj in task.outputs]
        if not made or shape == "flat":
            return tuple(random.choices(usable, k=random.choice((0, 0, 1)))) if usable else ()
        if shape == "chains":
            width = 3
            return tuple(submit.tasks[index - width].outputs[:1]) if index >= width else ()
        if shape == "tree":
            return tuple(made[-2 * (index // 2 + 1) :][:2])
        if shape == "diamonds":
            return tuple(made[-3:]) if index % 4 == 3 else tuple(made[-(index % 4) - 1 :][:1])
        if shape == "layers":
            first = 5 * (index // 5 - 1)
            layer = [obj for task in submit.tasks[max(0, first) : first + 5] for obj in task.outputs]
            return tuple(random.sample(layer, min(len(layer), 3))) if first >= 0 else ()
        return tuple(random.choices(made + usable, k=random.randint(0, 4)))

    def _add_task(
        self,
        submit: PlannedSubmit,
        inputs: tuple[int, ...],
        alike: tuple[int, float] | None = None,
        possible_sizes: Sequence[int] = SIZES,
    ) -> None:
        """`alike`: the number of outputs and the cpus, where they are not to be chosen."""
        random, faults = self._random, self._faults
        number = len(self.tasks)
        n_outputs, cpus = alike or (random.choice((1, 1, 1, 1, 2, 0)), random.choice((1.0, 1.0, 1.0, 2.0, 0.5)))
        limited = False
        # Of an array a tenth as many.
        oddity = 1.0 if alike is None else 0.1
        raises = faults.raising_tasks and random.random() < 0.04 * oddity
        raises_below = MANY_RETRIES if raises else 0
        hangs_below = 0
        if not raises and faults.flaky_tasks and random.random() < 0.1 * oddity:
            raises_below = random.randint(1, 2)
        elif not raises and faults.hanging_tasks and random.random() < 0.05 * oddity:
            hangs_below, limited = 1, True
        if raises:
            n_outputs = 1
        passes = n_outputs == 1 and inputs and random.random() < 0.1
        sizes = tuple(random.choice(possible_sizes) for _ in range(n_outputs))
        if passes:
            sizes = (self.blobs[inputs[0]].size,)
        task = PlannedTask(
            number=number,
            spec=self._raising_spec if raises else self._by_shape[(n_outputs, cpus, limited)],
            inputs=inputs,
            first_output=len(self.blobs),
            sizes=sizes,
            args=b"" if random.random() < 0.3 else b"a%d" % number,
            duration_s=random.choice((1e-5, 1e-4) if self._short or alike else (1e-4, 0.01, 0.3, 2.0)),
            raises_below=raises_below,
            hangs_below=hangs_below,
            passes_input=0 if passes else None,
        )
        self._add(submit, task, inputs)

    def _add(self, submit: PlannedSubmit, task: PlannedTask, inputs: Sequence[int]) -> None:
        submit.tasks.append(task)
        self.tasks.append(task)
        for obj, blob in zip(task.outputs, self.run(task, task.args, [self.blobs[obj] for obj in inputs]), strict=True):
            self.blobs[obj] = blob
