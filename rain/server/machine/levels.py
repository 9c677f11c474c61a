"""B-levels: how long the longest way from a task to the end of its graph is, as far as durations are known.

A submit sets those of its own tasks exactly, from the last to the first, and raises those of tasks before them with
bounded work. Durations that are learned meanwhile change the levels: when the ratio of two kinds of tasks is not what
it was, a sweep over all unfinished tasks works them out anew, a slice per step. So no step takes long, however large
the graph, and a graph that grows task by task costs no more than one that comes at once.

A level is a float32 of microseconds. Ready tasks are ordered by buckets of levels that differ by a factor of 1.25.
"""

from __future__ import annotations

from math import log

from rain.core.ids import NONE
from rain.server.machine.stages import FINISHED, READY
from rain.server.machine.state import ServerSession

#: Expected of a task while nothing is known of any.
PRIOR_US = 100_000.0
#: Levels that differ by less than this factor count as equal.
BASE = 1.25
N_BUCKETS = 120
#: The ratio of two kinds of tasks may be wrong by this factor before levels are worked out anew.
TOLERANCE = 1.5
#: Tasks that are looked at in one step of a sweep.
SLICE = 256
#: Ancestors that a submit raises, besides four times its own size.
MIN_RAISES = 64

_SCALE = 1.0 / log(BASE)


def bucket_of(level_us: float) -> int:
    """The bucket of a level."""
    return min(N_BUCKETS - 1, int(log(level_us) * _SCALE)) if level_us > 1.0 else 0


def expected_us(session: ServerSession, spec: int) -> float:
    """How long a task of this spec is expected to take."""
    if session.spec_reports[spec]:
        return max(1.0, session.spec_mean_us[spec])
    return session.levels.unknown_us


def set_levels(session: ServerSession, first: int, stop: int) -> None:
    """Sets the levels of new tasks that may have inputs, and raises those of the tasks before them."""
    tasks, producer = session.tasks, session.objects.producer
    level, spec, starts, inputs = tasks.level, tasks.spec, tasks.input_start, tasks.inputs
    own = session.levels.own_us
    before: dict[int, float] = {}
    for task in range(stop - 1, first - 1, -1):
        here = level[task] = level[task] + own[spec[task]]
        for edge in range(starts[task], starts[task + 1]):
            maker = producer[inputs[edge]]
            if maker == NONE:
                continue
            if maker < first:
                if before.get(maker, 0.0) < here:
                    before[maker] = here
            elif level[maker] < here:
                level[maker] = here
    if before:
        _raise(session, before, MIN_RAISES + 4 * (stop - first))


def _raise(session: ServerSession, after: dict[int, float], budget: int) -> None:
    """Tasks are followed by a way of at least this length; so their own makers may be, too, and so on."""
    tasks, producer = session.tasks, session.objects.producer
    level, spec, own = tasks.level, tasks.spec, session.levels.own_us
    todo = list(after.items())
    while todo:
        task, way_us = todo.pop()
        here = way_us + own[spec[task]]
        if here <= level[task] * 1.0001 or tasks.stage[task] >= FINISHED:
            continue
        if budget <= 0:
            session.levels.is_stale = True
            return
        moved = bucket_of(here) != bucket_of(level[task])
        level[task] = here
        if moved and tasks.stage[task] == READY:
            session.newly_ready.append(task)
        for obj in tasks.inputs_of(task):
            budget -= 1
            if producer[obj] != NONE:
                todo.append((producer[obj], here))


def durations_learned(session: ServerSession, n_reports: int) -> None:
    """Notes whether levels have to be worked out anew, after so many more reports."""
    levels = session.levels
    own = levels.own_us
    levels.n_unseen += n_reports
    # With one kind of tasks there is no ratio; with very many, to look each time would cost their square.
    if len(own) < 2 or levels.n_unseen < len(own) // 4:
        return
    levels.n_unseen = 0
    known = [us for us, reports in zip(session.spec_mean_us, session.spec_reports, strict=True) if reports]
    if known:
        levels.unknown_us = max(1.0, sum(known) / len(known))
    ratios = [expected_us(session, spec) / us for spec, us in enumerate(own)]
    if max(ratios) > TOLERANCE * min(ratios):
        levels.own_us = [expected_us(session, spec) for spec in range(len(own))]
        levels.is_stale = True


def sweep(session: ServerSession) -> None:
    """Works the levels of the next unfinished tasks out anew, if that is due."""
    levels, tasks, objects = session.levels, session.tasks, session.objects
    if levels.cursor < 0:
        if not levels.is_stale:
            return
        levels.is_stale = False
        levels.cursor = len(tasks) - 1
    level, spec, stage, own = tasks.level, tasks.spec, tasks.stage, levels.own_us
    heads, edge_task, edge_next = objects.consumer_head, tasks.edge_task, tasks.edge_next
    task, outputs, work = levels.cursor, session.spec_outputs, SLICE
    while task >= 0 and work > 0:
        work -= 1
        if stage[task] < FINISHED:
            after, first = 0.0, tasks.first_output[task]
            for obj in range(first, first + outputs[spec[task]]):
                edge = heads[obj]
                while edge != NONE:
                    work -= 1
                    after = max(after, level[edge_task[edge]])
                    edge = edge_next[edge]
            here = after + own[spec[task]]
            if stage[task] == READY and bucket_of(here) != bucket_of(level[task]):
                session.newly_ready.append(task)
            level[task] = here
        task -= 1
    levels.cursor = task
