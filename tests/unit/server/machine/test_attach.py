"""A session that outlives its client, and the client that goes on with it."""

from __future__ import annotations

import msgspec

from rain.protocol.client import (
    AttachSession,
    FindTasks,
    OpenSession,
    RequestFailed,
    SessionAttached,
    Submit,
    TasksFound,
    Upload,
)
from rain.server.machine.effects import DropStashed, ForgetTasks
from rain.server.machine.events import ClientJoined, ClientLeft, ClientSaid
from rain.server.machine.tables import CONSTANT, KEPT
from tests.unit.server.machine.bench import Bench, numbers, spec


def attach(bench: Bench, name: str = "s1", client: int = 2) -> msgspec.Struct:
    bench.happens(ClientJoined(client))
    bench.ignore()
    bench.client_says(AttachSession(7, name), client=client)
    kinds = (SessionAttached, RequestFailed)
    (found,) = [each.message for each in bench.effects if isinstance(getattr(each, "message", None), kinds)]
    return found


def refusal(bench: Bench, name: str = "s1", client: int = 2) -> str:
    found = attach(bench, name, client)
    assert isinstance(found, RequestFailed)
    return found.reason


def test_another_client_goes_on_where_the_first_one_left() -> None:
    bench = Bench(ttl_s=60)
    worker = bench.worker_joins(cpus=2)
    bench.constant()
    bench.task(spec=spec(name="a"), keep=True)
    bench.task(spec=spec(name="b"))
    bench.submit()
    bench.finishes(worker, 0)
    bench.client_leaves()
    found = attach(bench)
    assert isinstance(found, SessionAttached)
    assert (found.session, found.fail_fast, found.done) == (1, True, 1)
    assert [each.name for each in found.specs] == ["a", "b"]
    assert numbers("I", found.spec) == [0, 1]
    assert bytes(found.flags) == bytes([CONSTANT, KEPT, 0])
    bench.ignore()
    bench.task(1, spec=spec(name="b"))
    bench.client_says(bench.part(last=True), client=2)
    bench.finishes(worker, 1)
    bench.finishes(worker, 2)
    bench.client_says(FindTasks(8, 1, "b"), client=2)
    tasks = bench.answer(TasksFound)
    assert isinstance(tasks, TasksFound)
    assert (numbers("I", tasks.tasks), numbers("I", tasks.first_output)) == ([1, 2], [2, 3])


def test_its_functions_do_not_travel_back() -> None:
    bench = Bench(ttl_s=60)
    bench.task(spec=msgspec.structs.replace(spec(), body=b"function", config=b"settings"))
    bench.submit()
    bench.client_leaves()
    found = attach(bench)
    assert isinstance(found, SessionAttached)
    assert (found.specs[0].body, found.specs[0].config) == (b"", b"")


def test_a_session_whose_client_is_connected_cannot_be_attached() -> None:
    assert "s1 is in use: its client is connected" in refusal(Bench(ttl_s=60))


def test_a_session_that_is_not_there_cannot_be_attached() -> None:
    bench = Bench()
    assert "no session 'other'; there are: s1" in refusal(bench, "other")


def test_after_its_time_a_session_is_gone() -> None:
    bench = Bench(ttl_s=60)
    bench.client_leaves()
    bench.time_passes(59)
    assert isinstance(attach(bench), SessionAttached)
    bench.happens(ClientLeft(2))
    bench.time_passes(59)
    assert isinstance(attach(bench, client=3), SessionAttached)
    bench.happens(ClientLeft(3))
    bench.time_passes(61)
    assert "There is no session" in refusal(bench, client=4)


def test_an_attached_session_does_not_end_by_the_clock() -> None:
    bench = Bench(ttl_s=60)
    bench.client_leaves()
    attach(bench)
    bench.time_passes(61)
    assert 1 in bench.machine.state.sessions


def test_of_several_sessions_of_a_name_one_is_attached_by_its_number() -> None:
    bench = Bench(ttl_s=60)
    bench.client_says(OpenSession(1, name="x", ttl_s=60), OpenSession(2, name="x", ttl_s=60))
    bench.client_leaves()
    assert "2 sessions are called 'x': attach one by its number" in refusal(bench, "x")
    found = attach(bench, "s3", client=3)
    assert isinstance(found, SessionAttached)
    assert (found.session, found.name) == (3, "x")


def test_a_failed_session_says_so_to_who_attaches_it() -> None:
    bench = Bench(ttl_s=60)
    worker = bench.worker_joins()
    bench.task()
    bench.submit()
    bench.fails(worker, 0)
    bench.client_leaves()
    found = attach(bench)
    assert isinstance(found, SessionAttached)
    assert found.failed is not None
    assert (found.failed.task, found.failed.reason) == (0, "boom")


def test_a_submit_that_was_cut_off_leaves_nothing_behind() -> None:
    bench = Bench(ttl_s=60)
    bench.client_says(Upload(1, 1, 0, 10))
    bench.constant()
    bench.task()
    first: Submit = bench.part()
    bench.client_says(first)
    bench.ignore()
    bench.client_leaves()
    [forgotten] = [effect for effect in bench.effects if isinstance(effect, ForgetTasks)]
    [dropped] = [effect for effect in bench.effects if isinstance(effect, DropStashed)]
    assert list(forgotten.tasks) == [0]
    assert sorted(dropped.objects) == [0, 1]
    attach(bench)
    bench.happens(ClientSaid(2, msgspec.structs.replace(first, last=True)))
    assert len(bench.session.tasks) == 1
    assert bench.session.failed_reason is None
