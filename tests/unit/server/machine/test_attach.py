"""A session that outlives its client, and the client that goes on with it."""

from __future__ import annotations

import msgspec
import pytest

from rain.core.ids import NONE
from rain.protocol.attaching import FindTasks, GraphRead, ReadGraph, TasksFound
from rain.protocol.client import (
    Ack,
    AttachSession,
    Leave,
    OpenSession,
    RequestFailed,
    SessionAttached,
    Submit,
    Upload,
)
from rain.protocol.columns import EMPTY, pack
from rain.protocol.queries import QueryTasks, TaskNews
from rain.server.machine import attach as attaching
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


def read(bench: Bench, spec: int = 0, task: int = 0, obj: int = 0, client: int = 2) -> GraphRead:
    bench.ignore()
    bench.client_says(ReadGraph(9, 1, spec, task, obj), client=client)
    answer = bench.answer(GraphRead)
    assert isinstance(answer, GraphRead)
    return answer


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
    assert (found.n_specs, found.n_tasks, found.n_objects) == (2, 2, 3)
    graph = read(bench)
    assert [each.name for each in graph.specs] == ["a", "b"]
    assert numbers("I", graph.spec) == [0, 1]
    assert bytes(graph.flags) == bytes([CONSTANT, KEPT, 0])
    bench.ignore()
    bench.task(1, spec=spec(name="b"))
    bench.client_says(bench.part(last=True), client=2)
    bench.finishes(worker, 1)
    bench.finishes(worker, 2)
    bench.client_says(FindTasks(8, 1, "b", limit=10), client=2)
    tasks = bench.answer(TasksFound)
    assert isinstance(tasks, TasksFound)
    assert (numbers("I", tasks.tasks), numbers("I", tasks.first_output)) == ([1, 2], [2, 3])


def test_its_functions_do_not_travel_back() -> None:
    bench = Bench(ttl_s=60)
    bench.task(spec=msgspec.structs.replace(spec(), body=b"function", config=b"settings"))
    bench.submit()
    bench.client_leaves()
    attach(bench)
    [found] = read(bench).specs
    assert (found.body, found.config) == (b"", b"")


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


def test_a_client_that_says_goodbye_leaves_its_sessions_to_others_at_once() -> None:
    bench = Bench(ttl_s=60)
    bench.task()
    bench.submit()
    bench.happens(ClientJoined(2))
    bench.ignore()
    bench.client_says(Leave(5))
    assert bench.answer(Ack) == Ack(5)
    bench.ignore()
    bench.client_says(AttachSession(7, "s1"), client=2)
    assert isinstance(bench.answer(SessionAttached), SessionAttached)
    # The end of its connection is no news then.
    bench.ignore()
    bench.happens(ClientLeft(1))
    bench.expect_nothing()
    assert bench.session.client == 2


def test_a_goodbye_ends_the_sessions_that_have_no_ttl() -> None:
    bench = Bench()
    bench.client_says(Leave(5))
    assert not bench.machine.state.sessions


def test_a_client_may_attach_a_session_of_its_own_whose_handle_it_lost() -> None:
    bench = Bench()
    bench.client_says(AttachSession(7, "s1"))
    assert isinstance(bench.answer(SessionAttached), SessionAttached)


def test_a_large_session_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "MAX_ROWS", 2)
    monkeypatch.setattr(attaching, "MAX_BYTES", 1)
    bench = Bench()
    bench.constant()
    for name in "abc":
        bench.task(spec=spec(name=name))
    bench.submit()
    bench.ignore()
    bench.client_says(AttachSession(7, "s1"))
    found = bench.answer(SessionAttached)
    assert isinstance(found, SessionAttached)
    assert (found.n_specs, found.n_tasks, found.n_objects) == (3, 3, 4)
    first = read(bench, client=1)
    assert ([each.name for each in first.specs], numbers("I", first.spec)) == (["a"], [0, 1])
    assert bytes(first.flags) == bytes([CONSTANT, 0])
    second = read(bench, 1, 2, 2, client=1)
    assert ([each.name for each in second.specs], numbers("I", second.spec)) == (["b"], [2])
    assert bytes(second.flags) == bytes([0, 0])
    # Beyond the end there is nothing.
    last = read(bench, 99, 99, 99, client=1)
    assert (last.specs, len(last.spec), len(last.flags)) == ((), 0, 0)


def find(bench: Bench, *what: object, **more: object) -> TasksFound:
    bench.ignore()
    bench.client_says(FindTasks(8, 1, *what, **more))
    found = bench.answer(TasksFound)
    assert isinstance(found, TasksFound)
    return found


def test_tasks_are_found_with_what_they_read() -> None:
    bench = Bench()
    constant = bench.constant()
    made = bench.task(constant, spec=spec(2, name="a"))
    bench.task(made.outputs[1], constant, made.out, spec=spec(name="b"))
    bench.submit()
    found = find(bench, "b", limit=10)
    assert (found.count, numbers("I", found.tasks), numbers("I", found.n_inputs)) == (1, [1], [3])
    assert numbers("I", found.inputs) == [2, 0, 1]
    assert numbers("I", found.producer) == [0, NONE, 0]
    assert numbers("I", found.producer_output) == [1, NONE, 1]
    assert found.constant_types == (None,)
    by_number = find(bench, tasks=pack("I", [0, 1]))
    assert (by_number.count, numbers("I", by_number.n_inputs)) == (2, [1, 3])


def test_of_many_tasks_of_a_name_as_many_are_found_as_were_asked_for_and_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    for name in "abab":
        bench.task(spec=spec(name=name))
    bench.task(spec=spec(name="a", priority=1))
    bench.submit()
    none = find(bench, "a")
    assert (none.count, len(none.tasks)) == (3, 0)
    assert numbers("I", find(bench, "b", limit=9).tasks) == [1, 3]
    assert numbers("I", find(bench, "b", limit=1).tasks) == [1]
    assert numbers("I", find(bench, "a", 1, 9).tasks) == [2, 4]
    monkeypatch.setattr(attaching, "MAX_ROWS", 2)
    assert numbers("I", find(bench, "a", limit=9).tasks) == [0, 2]
    assert find(bench, "nothing", limit=9).count == 0
    assert numbers("I", find(bench, "a", -7, 9).tasks) == [0, 2]
    assert len(find(bench, "a", 0, -1).tasks) == 0


def test_a_task_that_is_not_there_is_not_found_by_its_number() -> None:
    bench = Bench()
    bench.client_says(FindTasks(8, 1, tasks=pack("I", [3])))
    refused = bench.answer(RequestFailed)
    assert isinstance(refused, RequestFailed)
    assert "There are 0 tasks" in refused.reason


def test_edges_are_read_in_pieces_of_whole_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "MAX_ROWS", 2)
    bench = Bench()
    bench.constant()
    bench.task(0)
    bench.task(0, 1, 0)
    bench.task()
    bench.task(1)
    bench.submit()
    pages = []
    first = 0
    while first < 4:
        bench.ignore()
        bench.client_says(ReadGraph(9, 1, 9, first, 9, edges=True), client=1)
        page = bench.answer(GraphRead)
        assert isinstance(page, GraphRead)
        pages.append((numbers("I", page.input_end), numbers("I", page.inputs)))
        first += len(pages[-1][0])
    assert [end for ends, _ in pages for end in ends] == [1, 4, 4, 5]
    assert pages[:2] == [([1], [0]), ([4], [0, 1, 0])]
    bench.ignore()
    bench.client_says(QueryTasks(9, 1, EMPTY, states_only=True, all_tasks=True), client=1)
    news = bench.answer(TaskNews)
    assert isinstance(news, TaskNews)
    assert len(bytes(news.states)) == 4
