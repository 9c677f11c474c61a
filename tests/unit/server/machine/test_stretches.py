"""Stretches of neighbouring tasks end as slices: nothing of that can be told from ending them one by one."""

from __future__ import annotations

from array import array
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from rain.core.resources import UNIT, Offer
from rain.protocol.client import OpenSession, Submit, Unkeep, Wait
from rain.protocol.columns import pack
from rain.protocol.worker import Compute, Done, Drop
from rain.server.machine import invariants
from rain.server.machine.effects import (
    Effect,
    ForgetTasks,
    SendCompute,
    StashResults,
    StashStretch,
    TellClient,
    TellWorker,
)
from rain.server.machine.events import ClientJoined, ClientSaid, WorkerJoined, WorkerSaid
from rain.server.machine.machine import ServerMachine
from rain.server.machine.stretches import is_stretch, stretches
from tests.unit.server.machine.bench import Bench, numbers, spec

ONE_BY_ONE = 1 << 30


class Twin:
    """A machine with one worker that is given everything; the graph is what `draw` chooses."""

    def __init__(self, min_stretch: int, rows: list[tuple[int, int]], kept: list[int]) -> None:
        self.machine = ServerMachine(1, min_stretch=min_stretch)
        self.said: list[object] = []
        specs = (spec(), spec(2), spec(0))
        outputs = [(1, 2, 0)[kind] for kind, _ in rows]
        reads = [
            [sum(outputs[:row]) - 1] if reads and sum(outputs[:row]) else [] for row, (_, reads) in enumerate(rows)
        ]
        n_objects = sum(outputs)
        submit = Submit(
            session=1,
            first_spec=0,
            specs=specs,
            first_task=0,
            n_tasks=len(rows),
            spec=pack("I", [kind for kind, _ in rows]),
            first_output=pack("I", list(accumulate(outputs, initial=0))[:-1]),
            n_inputs=pack("I", map(len, reads)),
            inputs=pack("I", [obj for each in reads for obj in each]),
            args_size=pack("I", [0] * len(rows)),
            first_object=0,
            n_objects=n_objects,
            kept=pack("I", [obj for obj in kept if obj < n_objects]),
        )
        join = WorkerJoined(1, "here", 1, Offer(cpus=1000 * UNIT), "127.0.0.1", 1, "")
        self.given: list[int] = []
        self.happens(ClientJoined(1), join, ClientSaid(1, OpenSession(1)), ClientSaid(1, submit))
        self.outputs = outputs

    def happens(self, *events: object) -> None:
        effects = self.machine.handle(events, 1.0)  # type: ignore[arg-type]
        stashed = sorted(pair for effect in effects for pair in _stashed(effect))
        others = [_plainly(effect) for effect in effects if not isinstance(effect, StashResults | StashStretch)]
        self.said.append((stashed, sorted(others, key=repr)))
        invariants.check(self.machine.state)
        for effect in effects:
            if isinstance(effect, SendCompute):
                self.given += numbers("I", effect.compute.task)

    def reports(self, tasks: list[int], attempts: list[int], sizes: list[int], inline: bool, typed: bool) -> None:
        per_output = [size for task, size in zip(tasks, sizes, strict=True) for _ in range(self.outputs[task])]
        done = Done(
            session=1,
            task=pack("I", tasks),
            attempt=pack("I", attempts),
            duration_us=pack("I", range(len(tasks))),
            size=pack("Q", per_output),
            inline=pack("B", [inline] * len(per_output)),
            data=memoryview(b"".join(bytes([size]) * size for size in per_output) if inline else b""),
            content_types=_types(len(per_output)) if typed else (),
        )
        self.happens(WorkerSaid(1, done))

    @property
    def state(self) -> tuple[object, ...]:
        session, worker = self.machine.state.sessions[1], self.machine.state.workers[1]
        tables = [
            [getattr(table, name) for name in type(table).__slots__] for table in (session.tasks, session.objects)
        ]
        counts = (session.unfinished, session.spec_reports, session.spec_mean_us, worker.n_objects, worker.outstanding)
        return (*tables, *counts)


def _stashed(effect: Effect) -> list[tuple[int, bytes]]:
    """The objects that the stash is to keep, and their bytes; the same for both ways."""
    match effect:
        case StashResults(_, objects, start, size, data):
            return [(obj, bytes(data[at : at + n])) for obj, at, n in zip(objects, start, size, strict=True)]
        case StashStretch(_, first, size, data):
            starts = accumulate(size, initial=0)
            return [
                (obj, bytes(data[at : at + n])) for obj, (at, n) in enumerate(zip(starts, size, strict=False), first)
            ]
    return []


def _plainly(effect: Effect) -> object:
    """Any other effect, likewise."""
    match effect:
        case TellWorker(_, Drop(_, objects)):
            return ("drop", numbers("I", objects))
        case ForgetTasks(_, tasks):
            return ("forget", sorted(tasks))
        case SendCompute(_, Compute() as compute):
            return ("compute", numbers("I", compute.task))
        case TellClient(_, message):
            return message
    return effect


def _types(n: int) -> tuple[tuple[int, int, str], ...]:
    """Some of the outputs have one type, some another, some none."""
    return tuple(
        (first, min(count, n - first), name)
        for first, count, name in ((0, 3, "json"), (3, 9, "text"), (15, 9, "json"))
        if first < n
    )


@given(
    st.lists(
        st.tuples(st.sampled_from((0, 0, 0, 0, 0, 1, 2)), st.sampled_from((0, 0, 0, 0, 0, 0, 1))),
        min_size=1,
        max_size=24,
    ),
    st.sampled_from(("none", "all", "some")),
    st.data(),
)
def test_a_report_does_the_same_as_slices_and_one_by_one(rows, keeping, data) -> None:
    n_objects = 2 * len(rows)
    some = data.draw(st.lists(st.integers(0, n_objects - 1), unique=True).map(sorted)) if keeping == "some" else []
    kept = {"none": [], "all": list(range(n_objects)), "some": some}[keeping]
    twins = [Twin(2, rows, kept), Twin(ONE_BY_ONE, rows, kept)]
    for _ in range(data.draw(st.integers(1, 4))):
        given_out = twins[0].given
        first = data.draw(st.integers(0, len(given_out) - 1))
        tasks = given_out[first : first + data.draw(st.integers(1, 24))]
        if data.draw(st.integers(0, 3)) == 0:
            tasks = data.draw(st.permutations(tasks))
        attempts = [data.draw(st.sampled_from((0, 0, 0, 0, 0, 0, 0, 0, 0, 1))) for _ in tasks]
        sizes = [data.draw(st.integers(0, 3)) for _ in tasks]
        inline, typed = data.draw(st.booleans()), data.draw(st.booleans())
        for twin in twins:
            twin.reports(tasks, attempts, sizes, inline, typed)
        unkept = data.draw(st.lists(st.integers(0, n_objects), unique=True))
        unkept = data.draw(st.sampled_from(((), unkept, sorted(unkept), range(n_objects))))
        for twin in twins:
            twin.happens(ClientSaid(1, Unkeep(1, pack("I", unkept))))
        assert twins[0].state == twins[1].state
        assert twins[0].said == twins[1].said


def test_stretches_are_found_where_they_are_long_enough() -> None:
    column = array("I", [7, 1, 2, 3, 9, 20, 21, 22, 23, 5])
    assert stretches(column, 3) == [(1, 4), (5, 9)]
    assert stretches(column, 4) == [(5, 9)]
    assert stretches(column[5:9], 4) == [(0, 4)]
    assert stretches(column[:2], 3) == []
    assert is_stretch(column[1:4])
    assert not is_stretch(column[:3])


def test_small_kept_results_of_waited_tasks_come_with_the_answer() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    kept, dropped = bench.task(keep=True), bench.task()
    bench.submit()
    bench.happens(ClientSaid(1, Wait(9, 1, pack("I", [kept.task, dropped.task]))))
    bench.effects.clear()
    done = Done(
        session=1,
        task=pack("I", [kept.task, dropped.task]),
        attempt=pack("I", [0, 0]),
        duration_us=pack("I", [1, 1]),
        size=pack("Q", [3, 3]),
        inline=pack("B", [1, 1]),
        data=memoryview(b"abcdef"),
    )
    bench.worker_says(worker, done)
    [answer] = [effect for effect in bench.effects if type(effect).__name__ == "SendWaitDone"]
    assert numbers("I", answer.done.objects) == [kept.out]
    assert (numbers("Q", answer.done.located.size), numbers("B", answer.done.located.inline)) == ([3], [1])
