"""The columns of a session's tasks and data objects; the row number is the id.

A table holds no Python object per row. Columns are public: the modules around the tables take them as local variables
in their loops. What belongs together is written in one place each (`submit`, `finish`, `transitions`, `recovery`);
`invariants` says how the columns depend on one another.
"""

from __future__ import annotations

from array import array

from rain.core.ids import NONE, SERVER
from rain.server.machine.stages import FINISHED, WAITING

#: Flags of a task: it will never run again, and its arguments are not needed any more.
FORGOTTEN = 1
#: Flags of a task: a client waits for it by number.
AWAITED = 2
#: Flags of a task: it said something, and that was more than is kept for its session.
NOTE_LEFT_OUT = 4

#: Flags of an object: the client wants it.
KEPT = 1
#: Flags of an object: its bytes came from the client; it has no producer.
CONSTANT = 2
#: Flags of an object: it exists, at a worker or in the server's stash.
AVAILABLE = 4
#: Flags of an object: the server's stash has its bytes.
STASHED = 8


class TaskTable:
    """The tasks of one session."""

    __slots__ = (
        "assigned_s",
        "attempt",
        "culprit",
        "duration_us",
        "edge_next",
        "edge_task",
        "ended_s",
        "first_output",
        "flags",
        "input_start",
        "inputs",
        "level",
        "missing",
        "spec",
        "stage",
        "worker",
    )

    def __init__(self) -> None:
        #: A stage of `stages`, one byte each.
        self.stage = bytearray()
        #: `FORGOTTEN`, `AWAITED` and `NOTE_LEFT_OUT`.
        self.flags = bytearray()
        #: Number of the spec.
        self.spec = array("I")
        #: The first output; the others follow.
        self.first_output = array("I")
        #: Where its inputs begin in `inputs`; one more row than tasks.
        self.input_start = array("I", (0,))
        #: How many of its inputs (repeats counted) are not available, while it is unfinished.
        self.missing = array("I")
        #: Its b-level in microseconds, see `levels`.
        self.level = array("f")
        #: Who runs it (ASSIGNED) or ran its last attempt; NONE before the first.
        self.worker = array("I")
        #: The machine's time, in whole seconds, at which it was given to its worker last.
        self.assigned_s = array("I")
        #: Number of the present or next attempt, from 0; a report of another number is ignored.
        self.attempt = array("I")
        #: The failed task for whose sake it was CANCELLED; NONE otherwise.
        self.culprit = array("I")
        #: Microseconds of its own work, once FINISHED.
        self.duration_us = array("I")
        #: The machine's time at which its end was reported.
        self.ended_s = array("d")
        #: Objects that tasks read, task after task. The position of an input is its edge.
        self.inputs = array("I")
        #: The task that reads by this edge.
        self.edge_task = array("I")
        #: The next edge to the same object, NONE at the end; the first stands in `ObjectTable.consumer_head`.
        self.edge_next = array("I")

    def __len__(self) -> int:
        return len(self.stage)

    def inputs_of(self, task: int) -> array[int]:
        """The objects that a task reads, in order, repeats included."""
        return self.inputs[self.input_start[task] : self.input_start[task + 1]]

    def is_unfinished(self, task: int) -> bool:
        """Whether a task can still end."""
        return self.stage[task] < FINISHED

    def append(self, spec: array[int], first_output: array[int], n_inputs: array[int], inputs: array[int]) -> None:
        """New rows, WAITING; their edges are not linked yet."""
        n = len(spec)
        first_task = len(self.stage)
        self.stage += bytes((WAITING,)) * n
        self.flags += bytes(n)
        self.spec += spec
        self.first_output += first_output
        zeros = array("I", bytes(4 * n))
        nones = array("I", (NONE,)) * n
        self.missing += zeros
        self.assigned_s += zeros
        self.attempt += zeros
        self.duration_us += zeros
        self.level.frombytes(bytes(4 * n))
        self.worker += nones
        self.culprit += nones
        self.ended_s.frombytes(bytes(8 * n))
        if not inputs:
            self.input_start += array("I", (len(self.inputs),)) * n
            return
        position = len(self.inputs)
        starts = array("I")
        for task, count in enumerate(n_inputs, first_task):
            position += count
            starts.append(position)
            if count:
                self.edge_task.extend((task,) * count)
        self.input_start += starts
        self.inputs += inputs
        self.edge_next += array("I", (NONE,)) * len(inputs)


class ObjectTable:
    """The data objects of one session: constants and outputs."""

    __slots__ = (
        "consumer_head",
        "content_type",
        "flags",
        "holder",
        "lineage",
        "need",
        "producer",
        "replicas",
        "size",
    )

    def __init__(self) -> None:
        #: `KEPT`, `CONSTANT`, `AVAILABLE` and `STASHED`.
        self.flags = bytearray()
        #: The task that makes it; NONE for a constant.
        self.producer = array("I")
        #: Bytes, once available.
        self.size = array("Q")
        #: One worker that holds it, NONE if none does.
        self.holder = array("I")
        #: Further workers that hold it, for the few objects that have any.
        self.replicas: dict[int, set[int]] = {}
        #: How many inputs of unfinished tasks it is.
        self.need = array("I")
        #: How many inputs of tasks that are not forgotten it is; never less than `need`.
        self.lineage = array("I")
        #: The last edge that reads it, NONE if none does; see `TaskTable.edge_next`.
        self.consumer_head = array("I")
        #: Content type that its task (or the client) set, as a number of `ServerSession.content_types`; 0: none.
        self.content_type = array("H")

    def __len__(self) -> int:
        return len(self.flags)

    def append(self, n: int) -> None:
        """New rows of outputs that do not exist yet; their producers are not known yet."""
        self.flags += bytes(n)
        nones = array("I", (NONE,)) * n
        zeros = array("I", bytes(4 * n))
        self.producer += nones
        self.holder += nones
        self.consumer_head += nones
        self.need += zeros
        self.lineage += zeros
        self.size.frombytes(bytes(8 * n))
        self.content_type.frombytes(bytes(2 * n))

    def holders_of(self, obj: int) -> list[int]:
        """The workers that hold an object, in ascending order; the server's stash is not among them."""
        if self.holder[obj] == NONE:
            return []
        return sorted({self.holder[obj], *self.replicas.get(obj, ())})

    def is_held_by(self, obj: int, worker: int) -> bool:
        """Whether this worker holds the object."""
        if self.holder[obj] == worker:
            return True
        return obj in self.replicas and worker in self.replicas[obj]

    def add_holder(self, obj: int, worker: int) -> bool:
        """Notes that a worker holds the object; False when that was known."""
        if self.holder[obj] == NONE:
            self.holder[obj] = worker
            return True
        if self.is_held_by(obj, worker):
            return False
        self.replicas.setdefault(obj, set()).add(worker)
        return True

    def remove_holder(self, obj: int, worker: int) -> bool:
        """Notes that a worker does not hold the object (any more); False when that was known."""
        others = self.replicas.get(obj)
        if self.holder[obj] == worker:
            self.holder[obj] = NONE
            if others:
                self.holder[obj] = min(others)
                others.discard(self.holder[obj])
        elif others is not None and worker in others:
            others.discard(worker)
        else:
            return False
        if others is not None and not others:
            del self.replicas[obj]
        return True

    def holder_to_show(self, obj: int) -> int:
        """Where to fetch an available object from: the server where it has the bytes, else a worker; NONE if none."""
        return SERVER if self.flags[obj] & STASHED else self.holder[obj]
