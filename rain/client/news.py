"""What the news of the server change in the states and records that a client shows."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import islice

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.building import SessionGraph
from rain.client.numbers import mark
from rain.client.objects import DataObject
from rain.client.records import (
    CANCELLED,
    FAILED,
    FINISHED,
    OBJECT_FINISHED,
    OBJECT_STATE_NUMBERS,
    OBJECT_UNFINISHED,
    RUNNING,
    TASK_STATE_NUMBERS,
    WAITING,
    ObjectRecord,
)
from rain.client.task import Task
from rain.core.failure import Cause
from rain.protocol.columns import unpack
from rain.protocol.queries import TaskNews
from rain.protocol.shown import ObjectInfo, TaskInfo

#: States of all tasks after everything is done: what was not known otherwise has finished.
_ALL_DONE = bytes(FINISHED if state in (WAITING, RUNNING) else state for state in range(256))
_ALL_MADE = bytes(OBJECT_FINISHED if state == OBJECT_UNFINISHED else state for state in range(256))


def mark_finished(
    graph: SessionGraph, tasks: Iterable[Task | TaskArray], objects: Iterable[DataObject | ObjectArray]
) -> None:
    """The tasks and objects are finished, and so are the tasks of the objects."""
    for task in tasks:
        if isinstance(task, TaskArray):
            mark(graph.task_states, task._numbers, FINISHED)
        else:
            graph.task_states[task._number] = FINISHED
    for obj in objects:
        if isinstance(obj, ObjectArray):
            mark(graph.object_states, obj._numbers, OBJECT_FINISHED)
            mark(graph.task_states, obj._task_numbers, FINISHED)
            continue
        graph.object_states[obj._number] = OBJECT_FINISHED
        if obj._task is not None:
            graph.task_states[obj._task._number] = FINISHED


def mark_all(graph: SessionGraph, until: int) -> None:
    """All tasks below this number are done."""
    with graph.lock:
        graph.task_states[:until] = graph.task_states[:until].translate(_ALL_DONE)
        if until == len(graph.task_states):
            graph.object_states = graph.object_states.translate(_ALL_MADE)


def learn_tasks(graph: SessionGraph, numbers: Sequence[int], news: Sequence[TaskInfo]) -> None:
    """The states of these tasks, as they are shown."""
    for number, each in zip(numbers, news, strict=True):
        state = TASK_STATE_NUMBERS.get(each.state)
        # To the server what depends on a failed task is cancelled; to the user it failed with it.
        if state == CANCELLED and each.failure is not None and each.failure.cause is not Cause.CANCELLED:
            state = FAILED
        if state:
            graph.task_states[number] = state


def learn_states(graph: SessionGraph, numbers: array[int], news: TaskNews) -> None:
    """The same, from a column of states."""
    states = graph.task_states
    # Ours begin with the one of what is not submitted.
    for number, state in zip(numbers, unpack("B", news.states, "states", len(numbers)), strict=True):
        states[number] = state + 1


def learn_objects(
    graph: SessionGraph,
    objects: Iterable[DataObject | ObjectArray],
    numbers: array[int],
    news: Sequence[ObjectInfo],
) -> None:
    """The states of these objects, and the records of those that have a handle."""
    states = graph.object_states
    for number, each in zip(numbers, news, strict=True):
        states[number] = OBJECT_STATE_NUMBERS.get(each.state) or states[number]
    each_news = iter(news)
    for obj in objects:
        if isinstance(obj, ObjectArray):
            next(islice(each_news, len(obj), len(obj)), None)
        else:
            obj._info = ObjectRecord.of(next(each_news))
