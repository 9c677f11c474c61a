"""The shell: frames become events in one batch, effects become frames in order, and one bad peer hurts nobody else."""

from __future__ import annotations

import logging
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rain.core.resources import Offer
from rain.protocol.client import (
    Ack,
    ClientAlive,
    Located,
    OpenSession,
    RequestFailed,
    ServerAlive,
    SessionFailed,
    SessionOpened,
    Shutdown,
    Submit,
    Upload,
    Wait,
)
from rain.protocol.codec import encode
from rain.protocol.columns import EMPTY, pack
from rain.protocol.hello import Versions, Welcome
from rain.protocol.queries import QueryServer
from rain.protocol.worker import Compute, Done, EndSession, Fetched, ServerPing, Stop, WorkerPong
from rain.server.machine.effects import (
    CloseStash,
    DropClient,
    DropStashed,
    DropWorker,
    ForgetTasks,
    SendCompute,
    SendLocated,
    StashResults,
    TellClient,
    TellWorker,
    Terminate,
)
from rain.server.machine.events import (
    ClientJoined,
    ClientLeft,
    ClientSaid,
    Tick,
    WorkerJoined,
    WorkerLeft,
    WorkerSaid,
)
from rain.server.outgoing import MAX_TOGETHER, MAX_TOGETHER_BYTES
from rain.server.stash import StashLimits
from tests.unit.server.bench import VERSIONS, ShellBench, client_hello, numbers, refusal, submit, worker_hello


@pytest.fixture
def bench(tmp_path) -> ShellBench:
    return ShellBench(tmp_path)


@pytest.fixture
def joined(bench) -> ShellBench:
    """Client 1 with session 1 open, worker 1."""
    bench.join(b"c", "client")
    bench.join(b"w", "worker")
    bench.machine.answers = [[TellClient(1, SessionOpened(0, 1))]]
    bench.say(b"c", "client", OpenSession(0))
    assert bench.heard() == [(b"c", SessionOpened(0, 1))]
    assert len(bench.events()) == 1
    return bench


def test_clients_and_workers_are_welcomed_with_numbers_of_their_own(bench):
    bench.say(b"c", "client", client_hello())
    bench.say(b"w", "worker", worker_hello())
    bench.say(b"m", "monitor", client_hello())
    assert bench.heard() == [
        (b"c", Welcome(1, "c" * 32, VERSIONS)),
        (b"w", Welcome(1, "c" * 32, VERSIONS)),
        (b"m", Welcome(2, "c" * 32, VERSIONS)),
    ]
    assert bench.events() == [
        ClientJoined(1),
        WorkerJoined(1, "there", 8, Offer(), "127.0.0.1", 4711, "k" * 40),
        ClientJoined(2),
    ]
    bench.nothing_else()


def test_a_number_is_never_used_again(bench):
    bench.join(b"w", "worker")
    bench.shell.gone(b"w")
    assert bench.events() == [WorkerLeft(1)]
    bench.say(b"x", "worker", worker_hello())
    assert [event.worker for event in bench.events()] == [2]


def test_who_cannot_join_is_told_why_and_dropped(bench):
    bench.say(b"c", "client", client_hello(protocol=7))
    [(peer, answer)] = bench.heard()
    assert peer == b"c"
    assert "version 7" in refusal(answer)
    assert bench.dropped() == [b"c"]
    bench.nothing_else()


def test_who_speaks_before_its_hello_is_dropped(bench):
    bench.say(b"c", "client", QueryServer(1))
    [(_, answer)] = bench.heard()
    assert "no hello" in refusal(answer)
    assert bench.dropped() == [b"c"]
    bench.nothing_else()


def test_a_hello_in_several_frames_is_no_hello(bench):
    bench.say(b"c", "client", [client_hello(), b"more"])
    assert bench.dropped() == [b"c"]


def test_all_messages_of_a_batch_are_one_call_of_the_machine(joined):
    joined.shell.batch(
        [
            (b"w", "worker", [encode(WorkerPong())]),
            (b"c", "client", [encode(ClientAlive())]),
            (b"x", "client", [client_hello()]),
            (b"x", "client", [encode(QueryServer(3))]),
        ]
    )
    assert joined.machine.batches == [
        [WorkerSaid(1, WorkerPong()), ClientSaid(1, ClientAlive()), ClientJoined(2), ClientSaid(2, QueryServer(3))]
    ]


@pytest.mark.parametrize(
    "frames",
    [
        [b"\xc1 rubbish"],
        [b""],
        [encode(WorkerPong())],
        [client_hello()],
        [encode(ClientAlive()), b"more"],
        [encode(Upload(1, 0, 0, 1))],
        [encode(Upload(1, 0, 0, 1)), b"a", b"b"],
        [encode(Upload(1, 0, 5, 9)), b"abc"],
        [encode(submit(args=[b"abc"]))[:-1]],
        [encode(Submit(session=1, first_spec=0, first_task=0, n_tasks=-1, first_object=0, n_objects=0))],
        [encode(Submit(session=1, first_spec=0, first_task=-9, n_tasks=2, first_object=0, n_objects=0))],
        [encode(Submit(session=1, first_spec=0, first_task=2**32 - 2, n_tasks=1, first_object=0, n_objects=0))],
        [encode(Upload(1, -1, 0, 1)), b"a"],
        [encode(Upload(1, 2**32 - 1, 0, 1)), b"a"],
        # More entries, or a deeper nesting, than there are bytes for.
        [b"\x82\xa4type\xa6submit\xa5specs\xdd\xff\xff\xff\xff"],
        [b"\x82\xa4type\xa6unwait\xa4junk" + b"\x91" * 1_000_000],
    ],
)
def test_a_client_that_breaks_the_protocol_is_dropped_and_nobody_else(joined, frames):
    joined.shell.batch(
        [
            (b"w", "worker", [encode(WorkerPong())]),
            (b"c", "client", frames),
            (b"w", "worker", [encode(Fetched(1, EMPTY))]),
        ]
    )
    assert joined.dropped() == [b"c"]
    assert joined.events() == [WorkerSaid(1, WorkerPong()), ClientLeft(1), WorkerSaid(1, Fetched(1, EMPTY))]


@pytest.mark.parametrize("first", [b"rubbish", client_hello(protocol=7)])
def test_a_peer_that_was_dropped_cannot_join_with_the_next_message_of_the_batch(bench, first):
    bench.say(b"c", "client", first, client_hello(), QueryServer(1))
    [(_, answer)] = bench.heard()
    assert refusal(answer)
    assert bench.dropped() == [b"c"]
    bench.nothing_else()


def test_a_worker_that_breaks_the_protocol_is_dropped(joined):
    joined.say(b"w", "worker", QueryServer(1))
    assert joined.dropped() == [b"w"]
    assert joined.events() == [WorkerLeft(1)]


def test_a_monitor_may_look_and_nothing_else(bench):
    bench.join(b"m", "monitor")
    bench.say(b"m", "monitor", QueryServer(1), ClientAlive())
    assert bench.events() == [ClientSaid(1, QueryServer(1)), ClientSaid(1, ClientAlive())]
    bench.say(b"m", "monitor", Shutdown(2))
    assert bench.dropped() == [b"m"]
    assert bench.events() == [ClientLeft(1)]


def test_a_peer_that_never_joined_leaves_unnoticed(bench):
    bench.shell.gone(b"nobody")
    bench.nothing_else()


def test_time_passes_by_ticks(bench):
    bench.shell.tick()
    assert bench.events() == [Tick()]


def test_what_a_peer_is_told_in_one_step_goes_out_together_and_in_order(joined):
    joined.machine.answers = [
        [
            TellWorker(1, ServerPing()),
            TellClient(1, ServerAlive()),
            TellWorker(1, EndSession(4)),
            TellWorker(9, ServerPing()),
            TellClient(9, ServerAlive()),
        ]
    ]
    before = joined.transport.n_sends
    joined.shell.tick()
    assert joined.heard() == [(b"w", ServerPing()), (b"w", EndSession(4)), (b"c", ServerAlive())]
    assert joined.transport.n_sends == before + 2


def test_no_more_leaves_together_than_a_message_may_have(joined):
    n = MAX_TOGETHER + 1
    large = SessionFailed(1, "x" * MAX_TOGETHER_BYTES)
    joined.machine.answers = [[*[TellWorker(1, ServerPing())] * n, TellClient(1, ServerAlive()), TellClient(1, large)]]
    before = joined.transport.n_sends
    joined.shell.tick()
    assert sorted(joined.heard(), key=lambda sent: sent[0]) == [
        (b"c", ServerAlive()),
        (b"c", large),
        *[(b"w", ServerPing())] * n,
    ]
    assert joined.transport.n_sends == before + 4


def test_what_a_client_sends_together_is_heard_in_order(joined):
    joined.say(b"c", "client", [encode(ClientAlive()), encode(Upload(1, 0, 0, 1)), b"a", encode(OpenSession(4))])
    assert joined.events() == [
        ClientSaid(1, ClientAlive()),
        ClientSaid(1, Upload(1, 0, 0, 1)),
        ClientSaid(1, OpenSession(4)),
    ]


def test_the_bytes_of_a_submit_are_there_when_the_machine_orders_its_tasks(joined):
    order = Compute(
        session=1,
        task=pack("I", [1]),
        spec=pack("I", [0]),
        attempt=pack("I", [1]),
        first_output=pack("I", [2]),
        n_inputs=pack("I", [0]),
        source=pack("I", [0]),
        source_holder=pack("I", [0]),
        source_size=pack("Q", [5]),
        source_inline=pack("B", [1]),
        source_types=(None,),
    )
    joined.machine.answers = [[SendCompute(1, order)]]
    joined.say(b"c", "client", submit(args=[b"no", b"yes"], inline=[(0, b"const", None)]))
    [(peer, compute)] = joined.heard()
    assert peer == b"w"
    assert (bytes(compute.args), bytes(compute.source_data)) == (b"yes", b"const")


def test_small_results_are_kept_served_and_let_go_as_ordered(joined):
    located = Located(3, pack("I", [0]), pack("Q", [3]), pack("B", [1]), EMPTY, (None,))
    send = SendLocated(1, 1, pack("I", [8]), located)
    keep = StashResults(1, numbers(8), numbers(1), numbers(3), memoryview(b".abc."))
    joined.machine.answers = [[keep, send, DropStashed(1, numbers(8))]]
    joined.shell.tick()
    [(_, answer)] = joined.heard()
    assert bytes(answer.data) == b"abc"
    assert joined.stash.source(1, 8) is None


def test_arguments_and_sessions_are_let_go_as_ordered(joined, tmp_path):
    joined.say(b"c", "client", submit(args=[b"abc"]), [encode(Upload(1, 0, 0, 3)), b"abc"])
    assert joined.stash.used() == (3, 3)
    joined.machine.answers = [[ForgetTasks(1, array("I", [0]))], [CloseStash(1)]]
    joined.shell.tick()
    assert joined.stash.used() == (0, 3)
    joined.shell.tick()
    assert joined.stash.used() == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_peer_that_the_machine_gives_up_is_told_and_heard_no_more(joined):
    joined.machine.answers = [[DropWorker(1, "silent for 20 s"), DropClient(1, "silent, too"), DropWorker(1, "again")]]
    joined.shell.tick()
    assert [(peer, refusal(message)) for peer, message in joined.heard()] == [
        (b"w", "silent for 20 s"),
        (b"c", "silent, too"),
    ]
    assert joined.dropped() == [b"w", b"c"]
    joined.events()
    joined.shell.gone(b"w")
    joined.nothing_else()


def test_the_end_comes_after_what_was_said_before_it(joined):
    joined.machine.answers = [[TellClient(1, Ack(4)), Terminate()]]
    joined.say(b"c", "client", Shutdown(4))
    assert joined.heard() == [(b"c", Ack(4))]
    assert joined.terminated == 1


def test_workers_are_told_to_stop(joined):
    joined.shell.stop_workers()
    assert joined.heard() == [(b"w", Stop())]


def test_a_session_that_leaves_too_much_is_failed_and_the_machine_is_spared(tmp_path):
    bench = ShellBench(tmp_path, StashLimits(memory_bytes=4))
    bench.join(b"c", "client")
    bench.machine.answers = [[TellClient(1, SessionOpened(0, 1))]]
    bench.say(b"c", "client", OpenSession(0))
    bench.heard()
    bench.events()
    bench.say(b"c", "client", submit(args=[b"12345"]), submit(args=[b"1"]), Wait(1, 1, all_tasks=True))
    [(peer, failed)] = bench.heard()
    assert peer == b"c"
    assert isinstance(failed, SessionFailed)
    assert "holds at most" in failed.reason
    assert bench.events() == [ClientSaid(1, Wait(1, 1, all_tasks=True))]
    bench.nothing_else()


def test_a_fault_of_the_machine_is_logged_told_and_survived(joined, caplog):
    joined.machine.answers = [RuntimeError("a bug"), [TellClient(1, ServerAlive())]]
    done = Done(session=1, task=EMPTY, attempt=EMPTY, duration_us=EMPTY, size=EMPTY, inline=EMPTY)
    with caplog.at_level(logging.ERROR):
        joined.shell.batch(
            [
                (b"c", "client", [encode(Wait(8, 2))]),
                (b"w", "worker", [encode(done)]),
                (b"c", "client", [client_hello()]),
            ]
        )
    [record] = caplog.records
    assert "client 1 Wait(s2), worker 1 Done(s1), ClientLeft 1" in record.getMessage()
    assert record.exc_info is not None
    assert joined.shell.faults.count == 1


def test_a_fault_fails_the_requests_and_sessions_it_touched(joined):
    joined.machine.answers = [RuntimeError("a bug"), [TellClient(1, ServerAlive())]]
    done = Done(session=1, task=EMPTY, attempt=EMPTY, duration_us=EMPTY, size=EMPTY, inline=EMPTY)
    joined.shell.batch([(b"c", "client", [encode(QueryServer(8))]), (b"w", "worker", [encode(done)])])
    [(_, answer), (_, failed)] = joined.heard()
    assert isinstance(answer, RequestFailed)
    assert answer.request == 8
    assert isinstance(failed, SessionFailed)
    assert failed.session == 1
    joined.shell.tick()
    assert joined.heard() == [(b"c", ServerAlive())]


def test_an_effect_that_fails_leaves_the_others_to_be_carried_out(joined):
    lost = Compute(
        session=1,
        task=pack("I", [7]),
        spec=pack("I", [0]),
        attempt=pack("I", [1]),
        first_output=pack("I", [0]),
        n_inputs=pack("I", [0]),
    )
    joined.machine.answers = [[SendCompute(1, lost), TellWorker(1, ServerPing())]]
    joined.shell.tick()
    [(_, failed), (peer, ping)] = joined.heard()
    assert isinstance(failed, SessionFailed)
    assert (peer, ping) == (b"w", ServerPing())
    assert joined.shell.faults.count == 1


def test_versions_are_looked_up_when_somebody_comes(bench):
    bench.say(b"c", "client", client_hello(versions=Versions("0.1.0", "2.7.18", "")))
    [(_, answer)] = bench.heard()
    assert "2.7.18" in refusal(answer)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.sampled_from(["client", "worker", "monitor"]))
def test_whatever_frames_come_only_their_sender_is_dropped(frames, role):
    bench = ShellBench(Path("unused"))
    bench.join(b"good", "client")
    bench.join(b"bad", role)
    bench.say(b"bad", role, frames)
    bench.say(b"good", "client", QueryServer(1))
    assert bench.dropped() in ([], [b"bad"])
    assert bench.events()[-1] == ClientSaid(1, QueryServer(1))


@given(st.data())
def test_a_submit_that_was_tampered_with_is_taken_whole_or_not_at_all(data):
    bench = ShellBench(Path("unused"))
    bench.join(b"c", "client")
    bench.stash.open(1, 1)
    message = bytearray(encode(submit(args=[b"abc", b"d"], inline=[(0, b"const", "text"), (1, b"", None)])))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    bench.say(b"c", "client", bytes(message))
    taken = [event for event in bench.events() if isinstance(event, ClientSaid) and isinstance(event.message, Submit)]
    assert bool(bench.dropped()) is not bool(taken)
    brought = sum(len(event.message.args) + len(event.message.constant_data) for event in taken)
    assert bench.stash.used()[0] <= brought


def test_a_message_that_breaks_the_server_s_own_code_costs_its_sender_and_nobody_else(joined, monkeypatch):
    def fail(*_: object) -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr("rain.server.stash.Stash.take_submit", fail)
    joined.shell.batch(
        [
            (b"c", "client", [encode(submit(args=[b"abc"]))]),
            (b"w", "worker", [encode(WorkerPong())]),
        ]
    )
    assert joined.dropped() == [b"c"]
    assert joined.events() == [ClientLeft(1), WorkerSaid(1, WorkerPong())]
    assert joined.shell.faults.count == 1


def test_time_stands_still_for_the_machine_while_the_server_is_kept_from_its_work(bench):
    for seconds in (0.0, 0.25, 0.25, 60.0, 0.25):
        bench.time_s += seconds
        bench.shell.tick()
    bench.time_s += 30.0
    bench.join(b"w", "worker")
    bench.shell.tick()
    assert bench.machine.times == [12.5, 12.75, 13.0, 13.0, 13.25, 13.25, 13.25]
