"""What a client reads of the graph of a session that another one began; part of the conversation in `protocol.client`.

The columns of a large session are read in pieces, each of which fits into a message.
"""

from __future__ import annotations

import msgspec

from rain.core.spec import TaskSpec
from rain.protocol.columns import EMPTY, Column

# ---------------------------------------------------------------- client to server


class ReadGraph(msgspec.Struct, frozen=True, tag="read_graph"):
    """Answered by `GraphRead`: what comes from these specs, tasks and objects on."""

    request: int
    session: int
    first_spec: int
    first_task: int
    first_object: int
    #: What the tasks read is wanted, too.
    edges: bool = False


class FindTasks(msgspec.Struct, frozen=True, tag="find_tasks"):
    """Answered by `TasksFound`: the tasks of this name from number `first` on, at most `limit`; or those of `tasks`."""

    request: int
    session: int
    #: None: those of `tasks`.
    name: str | None = None
    first: int = 0
    limit: int = 0
    #: u32 each, where there is no name.
    tasks: Column = EMPTY


# ---------------------------------------------------------------- server to client


class GraphRead(msgspec.Struct, frozen=True, tag="graph_read"):
    """As much as fits into a message; at least one row where any are left."""

    request: int
    #: Without functions and settings.
    specs: tuple[TaskSpec, ...]
    #: u32 per task: number of its spec.
    spec: Column
    #: u8 per object: 1 where it is kept, plus 2 where it is a constant.
    flags: Column
    #: Where `edges` are wanted. u32 per task: how many objects all tasks up to it read, repeats counted.
    input_end: Column = EMPTY
    #: u32 each: the objects that the tasks of this answer read, task after task.
    inputs: Column = EMPTY


class TasksFound(msgspec.Struct, frozen=True, tag="tasks_found", kw_only=True):
    """Tasks with what they read, as many as fit into a message."""

    request: int
    #: How many have the name in all.
    count: int
    #: u32 per task, ascending where they were asked for by name: its number, its first output, how many inputs it has.
    tasks: Column
    first_output: Column
    n_inputs: Column
    #: u32 per input: the object, the task that makes it (NONE: a constant), and the first output of that task.
    inputs: Column
    producer: Column
    producer_output: Column
    #: Content types of the constants among the inputs, in order.
    constant_types: tuple[str | None, ...] = ()
    #: `spec.user` (JSON) where there is any: by task, and by object of those that stand here.
    task_users: tuple[tuple[int, bytes], ...] = ()
    object_users: tuple[tuple[int, bytes], ...] = ()
