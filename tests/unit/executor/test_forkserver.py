"""The forkserver: executors come fast, and nothing of them outlives what the worker wants."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import msgspec
import psutil

from rain.core.kinds import ExecuteArgs, Kind, TextWord
from rain.core.spec import TaskSpec
from rain.protocol.codec import encode
from rain.protocol.executor import Exited, ForgetSession, Fork, ForkCounts, Kill, Run, RunSpec
from tests.unit.executor.forkserver_bench import SESSION, ForkserverBench, call_args, python_spec

#: A program that leaves processes in sessions of their own, deaf to SIGTERM, then writes its mark and stays.
STUBBORN = """
trap '' TERM
(setsid sh -c 'trap "" TERM; setsid sleep 1000 & sleep 1000' &) &
setsid sleep 1000 &
sleep 1000
"""


def descendants(pid: int) -> set[psutil.Process]:
    return set(psutil.Process(pid).children(recursive=True))


def named(processes, name: str) -> list[psutil.Process]:
    return [process for process in processes if alive([process]) and process.name() == name]


def alive(processes) -> list[psutil.Process]:
    return [process for process in processes if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stubborn_tree(bench, executor) -> set[psutil.Process]:
    """Starts the program on the executor; its processes once all are there."""
    args = msgspec.msgpack.encode(ExecuteArgs((TextWord(STUBBORN),), shell=True))
    bench.send(TaskSpec(kind=Kind.EXECUTE, outputs=()), bench.task(args=args), executor=executor)
    deadline = time.monotonic() + 10
    while len(found := named(descendants(executor.pid), "sleep")) < 4:
        assert time.monotonic() < deadline, f"the program's four sleeping processes did not appear: {found}"
    return descendants(executor.pid)


def test_an_executor_is_made_within_milliseconds(own_bench):
    own_bench.fork()
    times = []
    for _ in range(5):
        began = time.perf_counter()
        own_bench.fork()
        times.append(time.perf_counter() - began)
    assert min(times) < 0.05


def test_executors_are_session_leaders_and_know_nothing_of_one_another(own_bench):
    first, second = own_bench.fork(), own_bench.fork()
    assert os.getsid(first.pid) == first.pid
    assert os.getsid(second.pid) == second.pid
    assert psutil.Process(first.pid).num_fds() == psutil.Process(second.pid).num_fds()


def test_killing_an_executor_ends_everything_it_started_within_a_second(own_bench):
    executor, other = own_bench.fork(), own_bench.fork()
    processes = stubborn_tree(own_bench, executor)
    began = time.monotonic()
    exited = own_bench.kill(executor)
    assert time.monotonic() - began < 1
    assert exited == Exited(executor.number, None, signal.SIGKILL)
    assert alive(processes) == []
    assert not (own_bench.root / "tasks" / "e1").exists()
    assert alive([psutil.Process(other.pid)])


def test_the_end_of_the_worker_ends_everything(own_bench):
    processes = stubborn_tree(own_bench, own_bench.fork())
    forkserver = own_bench.process.pid
    everything = processes | descendants(forkserver)
    own_bench.close()
    assert alive(everything) == []


def test_the_death_of_the_forkserver_ends_executors(own_bench):
    executor = own_bench.fork()
    processes = descendants(own_bench.process.pid)
    own_bench.process.kill()
    own_bench.process.wait()
    assert executor.pipe.recv() is None
    psutil.wait_procs(alive(processes), timeout=5)
    assert alive(processes) == []


def test_an_executor_that_ends_by_itself_is_reported_with_its_code_once_its_orphans_are_gone(own_bench):
    def leave(ctx):
        import subprocess

        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        os._exit(17)

    executor = own_bench.fork()
    own_bench.send(python_spec(leave), own_bench.task(), executor=executor)
    assert own_bench.hear() == Exited(executor.number, 17, None)
    assert named(descendants(own_bench.process.pid), "sleep") == []


def test_a_crash_is_reported_with_its_signal(own_bench):
    executor = own_bench.fork()
    own_bench.send(python_spec(lambda ctx: os.kill(os.getpid(), signal.SIGSEGV)), own_bench.task(), executor=executor)
    assert own_bench.hear() == Exited(executor.number, None, signal.SIGSEGV)


def test_what_a_crashed_executor_wrote_last_can_be_read(own_bench):
    def crash(ctx):
        import sys

        print("about to crash", file=sys.stderr)
        os.abort()

    executor = own_bench.fork()
    own_bench.send(python_spec(crash), own_bench.task(), executor=executor)
    own_bench.hear()
    written = (own_bench.root / "stderr" / "e1.stderr").read_text()
    assert "about to crash" in written
    assert "Fatal Python error: Aborted" in written
    assert "in crash" in written


def test_counts_tell_which_task_was_running_when_the_executor_died(own_bench):
    executor = own_bench.fork()
    good, bad = own_bench.task(), own_bench.task()
    own_bench.send(python_spec(lambda ctx: b""), good, executor=executor)
    executor.receive()
    assert executor.counts() == (1, 1)
    own_bench.send(python_spec(lambda ctx: os._exit(1)), bad, own_bench.task(), executor=executor)
    own_bench.hear()
    assert executor.counts() == (2, 1)


def test_killing_an_executor_that_is_gone_is_no_trouble(own_bench):
    executor = own_bench.fork()
    own_bench.kill(executor)
    own_bench.pipe.send(encode(Kill(executor.number)))
    own_bench.pipe.send(encode(Kill(99)))
    assert own_bench.fork().number == 2


def test_a_fork_that_fails_is_an_executor_that_ended(tmp_path):
    sabotage = "import os\ndef fork(): raise BlockingIOError(11, 'no more processes')\nos.fork = fork"
    bench = ForkserverBench(tmp_path / "root", sabotage)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bench.pipe.send_with_fd(encode(Fork(1)), theirs.fileno())
        bench.pipe.send_with_fd(encode(ForkCounts(1)), theirs.fileno())
    assert bench.hear() == Exited(1, 1, None)
    assert (bench.root / "stderr" / "e1.stderr").read_text() == "cannot fork: no more processes\n"
    bench.close()


def test_signals_of_a_terminal_do_not_reach_the_forkserver(own_bench):
    own_bench.fork()
    for number in (signal.SIGINT, signal.SIGTERM):
        own_bench.process.send_signal(number)
    own_bench.fork()


def test_a_slow_task_does_not_hold_back_the_results_before_it(own_bench):
    def read(ctx, path):
        with Path(path).open("rb"):
            return b""

    fifo = own_bench.root / "stderr" / "fifo"
    os.mkfifo(fifo)
    executor = own_bench.fork()
    quick, slow = own_bench.task(args=call_args("/dev/null")), own_bench.task(args=call_args(str(fifo)))
    begun = msgspec.structs.replace(quick, spec=1), msgspec.structs.replace(slow, spec=2)
    # The second task's function is new to the executor, so nobody knows that it is quick.
    specs = (RunSpec(SESSION, 1, python_spec(read)), RunSpec(SESSION, 2, python_spec(read)))
    executor.pipe.send(encode(Run(SESSION, specs, begun)))
    assert [done.task for done in executor.receive().done] == [quick.task]
    with fifo.open("wb"):
        pass
    assert [done.task for done in executor.receive().done] == [slow.task]


def test_a_forgotten_session_needs_its_specs_again(own_bench):
    executor = own_bench.fork()
    own_bench.send(python_spec(lambda ctx: b"1"), own_bench.task(), executor=executor)
    executor.receive()
    executor.pipe.send(encode(ForgetSession(SESSION)))
    assert own_bench.outcome(python_spec(lambda ctx: b"2")).outputs[0].data == b"2"


def test_a_kind_that_this_worker_does_not_know_fails_its_tasks(own_bench):
    failure = own_bench.failure(TaskSpec(kind="teleport"))
    assert "cannot run tasks of kind 'teleport'" in failure.message
    # The executor lives.
    assert own_bench.done(python_spec(lambda ctx: b"1"))[0].data == b"1"


def test_a_batch_is_answered_in_order_and_completely(own_bench):
    executor = own_bench.fork()
    tasks = [own_bench.task() for _ in range(500)]
    own_bench.send(python_spec(lambda ctx: b"x"), *tasks, executor=executor)
    ended = []
    while len(ended) < len(tasks):
        ended += [done.task for done in executor.receive().done]
    assert ended == [task.task for task in tasks]
    assert executor.counts() == (500, 500)
