"""What tasks say while they run: seldom on the pipe, the last word always, and never in the way of anything."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from rain.core.note import TaskProgress
from rain.protocol.codec import encode
from rain.protocol.executor import Progressed, Ready, Report, from_executor_decoder
from rain.wire.pipe import BlockingPipe
from tests.unit.executor.forkserver_bench import ForkserverBench, python_spec

from rain.executor.outlet import PROGRESS_INTERVAL_S, Outlet  # isort: skip

LIMIT_S = 10.0


class Ends:
    """Both ends of a pipe, one with an outlet."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(LIMIT_S)
        self.worker = BlockingPipe(ours)
        self.executor = BlockingPipe(theirs)
        self.outlet = Outlet(self.executor)

    def hear(self) -> object:
        data = self.worker.recv()
        assert data is not None
        return from_executor_decoder.decode(data)


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.worker.close()
    made.executor.close()


def said(task: int, fraction: float) -> Progressed:
    return Progressed(1, task, 0, TaskProgress(fraction))


def test_the_first_word_goes_out_at_once_and_the_last_one_when_it_is_time(ends: Ends) -> None:
    began = time.monotonic()
    for step in range(100):
        ends.outlet.say(1, 5, 0, TaskProgress(step / 100))
    assert ends.hear() == said(5, 0.0)
    assert ends.hear() == said(5, 0.99)
    assert time.monotonic() - began >= PROGRESS_INTERVAL_S
    assert not ends.worker.pending()


def test_what_a_task_said_last_is_withdrawn_when_it_goes_with_its_report(ends: Ends) -> None:
    ends.outlet.say(1, 5, 0, TaskProgress(0.1))
    ends.outlet.say(1, 5, 0, TaskProgress(0.2))
    ends.outlet.withdraw(1, 5, 0)
    ends.outlet.say(1, 6, 0, TaskProgress(0.3))
    assert ends.hear() == said(5, 0.1)
    assert ends.hear() == said(6, 0.3)


def test_a_child_that_the_task_forked_is_not_heard(ends: Ends) -> None:
    pid = os.fork()
    if not pid:
        try:
            ends.outlet.say(1, 5, 0, TaskProgress(0.1))
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert not ends.worker.pending()


def test_who_speaks_does_not_wait_for_who_sends(ends: Ends) -> None:
    with ends.outlet._lock:
        ends.outlet.say(1, 5, 0, TaskProgress(0.1))
    assert ends.hear() == said(5, 0.1)


def test_messages_of_several_threads_do_not_mix(ends: Ends) -> None:
    stop = threading.Event()

    def speak(task: int) -> None:
        while not stop.is_set():
            ends.outlet.say(1, task, 0, TaskProgress(0.5, "x" * 200))

    threads = [threading.Thread(target=speak, args=(task,)) for task in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2000):
        ends.outlet.send(encode(Ready(number)))
        message = ends.hear()
        while isinstance(message, Progressed):
            message = ends.hear()
        assert message == Ready(number)
    stop.set()
    for thread in threads:
        thread.join()


def test_nobody_minds_that_the_worker_is_gone(ends: Ends) -> None:
    ends.worker.close()
    ends.outlet.say(1, 5, 0, TaskProgress(0.1))
    ends.outlet.say(1, 5, 0, TaskProgress(0.2))


def test_the_last_word_of_a_task_stands_in_its_note(bench: ForkserverBench) -> None:
    def walk(ctx):
        for step in range(1000):
            ctx.progress(step / 1000, "on my way")
        return b""

    executor = bench.send(python_spec(walk), bench.task())
    heard = []
    while not heard or not isinstance(heard[-1], Report):
        heard.append(from_executor_decoder.decode(executor.pipe.recv() or b""))
    *words, report = heard
    assert 1 <= len(words) < 10
    assert all(isinstance(word, Progressed) for word in words)
    [done] = report.done
    assert done.note is not None
    assert done.note.progress == TaskProgress(0.999, "on my way")


def test_a_thread_that_outlives_its_task_disturbs_nobody(bench: ForkserverBench) -> None:
    def leave_behind(ctx):
        import threading

        over = threading.Event()

        def speak():
            while not over.wait(0.001):
                ctx.progress(0.5)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        leave_behind.over = over
        return b""

    executor = bench.send(python_spec(leave_behind), *[bench.task() for _ in range(3)])
    done = 0
    while done < 3:
        message = from_executor_decoder.decode(executor.pipe.recv() or b"")
        done += len(message.done) if isinstance(message, Report) else 0
