"""What tasks say while they run, what every attempt leaves to be read, and what is known of those that ended badly."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rain.client import Client, Session, Task, TaskException, blob, function, remote, tasks

LIMIT_S = 20.0


def seen(look: Callable[[], Any]) -> Any:
    """The first thing that is there."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("never seen")


def progress_of(task: Task) -> tuple[float, str] | None:
    task.update()
    assert task.info is not None
    return task.info.progress


@remote()
def walk(ctx: Any, gate: str) -> bytes:
    for step in range(4):
        ctx.progress(step / 8, f"step {step}")
    while not Path(gate).exists():
        time.sleep(0.01)
    ctx.progress(1, "there")
    return b""


def test_a_running_task_is_seen_to_go_on(client: Client, session: Session, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = walk(str(gate))
    session.submit()
    # The last word arrives although nothing is said after it.
    seen(lambda: progress_of(task) == (0.375, "step 3"))
    assert task.state == "running"
    assert task.info is not None
    assert (task.info.progress.fraction, task.info.progress.text) == (0.375, "step 3")
    assert "progress: 37.5%, step 3" in client.why(task)
    [shown] = [each for each in client.sessions() if each["session_id"] == f"s{session.session_id}"]
    assert shown["progress"] == {task.id: (0.375, "step 3")}
    gate.touch()
    task.wait(timeout=LIMIT_S)
    assert progress_of(task) == (1.0, "there")
    [shown] = [each for each in client.sessions() if each["session_id"] == f"s{session.session_id}"]
    assert shown["progress"] == {}


def test_many_short_tasks_may_say_much(session: Session) -> None:
    @remote()
    def chatter(ctx: Any, number: int) -> bytes:
        for step in range(20):
            ctx.progress(step / 20, "é" * 300)
        return b""

    chatters = chatter.map(range(500))
    session.submit()
    session.wait_all(timeout=LIMIT_S)
    last = chatters[499]
    assert progress_of(last) == (0.95, "é" * 199 + "…")


def test_progress_takes_numbers_from_0_to_1(client: Client) -> None:
    @remote()
    def say(ctx: Any, fraction: Any, text: Any) -> bytes:
        ctx.progress(fraction, text)
        return b""

    wrong = {
        (42, ""): r"expected a number from 0 to 1, found 42; is it 42 percent\? Then pass 42 / 100",
        (-0.5, ""): r"expected a number from 0 to 1, found -0\.5",
        (float("nan"), ""): "expected a number from 0 to 1, found nan",
        ("0.5", ""): "expected a number from 0 to 1, found str",
        (None, ""): "expected a number from 0 to 1, found NoneType",
        (0.5, 7): "text: expected str, found int",
    }
    with client.new_session(fail_fast=False) as session:
        made = {case: say(*case) for case in wrong}
        fine = say(1 + 1e-12, "\ud800")
        session.submit()
        for case, text in wrong.items():
            with pytest.raises(TaskException, match=text):
                made[case].wait(timeout=LIMIT_S)
        fine.wait(timeout=LIMIT_S)
        assert progress_of(fine) == (1.0, "?")


def test_every_attempt_leaves_what_it_printed(session: Session) -> None:
    @remote(retries=2)
    def moody(ctx: Any) -> bytes:
        print("try", ctx.spec.attempt)
        os.write(2, b"\xff" * ctx.spec.attempt)
        ctx.progress(0.1 * ctx.spec.attempt)
        if ctx.spec.attempt < 2:
            raise ValueError(f"not at {ctx.spec.attempt}")
        return b""

    task = moody()
    session.submit()
    task.wait(timeout=LIMIT_S)
    task.update()
    assert task.info is not None
    attempts = task.info.attempts
    assert [each.attempt for each in attempts] == [0, 1, 2]
    assert [each.stdout for each in attempts] == ["try 0\n", "try 1\n", "try 2\n"]
    assert [each.stderr for each in attempts] == ["", "\ufffd", "\ufffd\ufffd"]
    assert [each.error for each in attempts] == ["ValueError: not at 0", "ValueError: not at 1", None]
    assert [each.progress.fraction for each in attempts] == [0.0, 0.1, 0.2]
    assert all(each.worker and each.duration is not None for each in attempts)
    assert (task.stdout, task.stderr) == ("try 2\n", "\ufffd\ufffd")


def test_a_program_that_is_stopped_by_its_time_limit_leaves_its_last_words(client: Client) -> None:
    with client.new_session(fail_fast=False) as session:
        plain = tasks.execute("echo begun; echo oh >&2; sleep 60", shell=True, timeout=0.3)
        of_output = tasks.execute("echo begun; echo oh >&2; sleep 60", shell=True, timeout=0.3, stdout=True)
        session.submit()
        for task in (plain, of_output):
            with pytest.raises(TaskException, match=r"ran longer than its limit(.|\n)*stderr:\noh") as caught:
                task.wait(timeout=LIMIT_S)
            assert (caught.value.stdout, caught.value.stderr) == ("begun\n", "oh\n")
            assert (task.stdout, task.stderr, task.state) == ("begun\n", "oh\n", "failed")


def test_a_program_that_a_signal_ended_leaves_its_last_words(client: Client) -> None:
    with client.new_session(fail_fast=False) as session:
        task = tasks.execute("echo begun; echo oh >&2; kill -SEGV $$", shell=True, stdout=True, stderr=True)
        session.submit()
        with pytest.raises(TaskException, match=r"SIGSEGV\): oh") as caught:
            task.wait(timeout=LIMIT_S)
        assert (caught.value.stdout, caught.value.stderr) == ("begun\n", "oh\n")


def test_a_program_whose_executor_is_killed_leaves_its_last_words(client: Client) -> None:
    with client.new_session(fail_fast=False) as session:
        task = tasks.execute("echo begun; echo oh >&2; kill -KILL $PPID; sleep 60", shell=True)
        session.submit()
        with pytest.raises(TaskException, match="killed by signal 9") as caught:
            task.wait(timeout=LIMIT_S)
        assert (caught.value.stdout, caught.value.stderr, caught.value.attempt) == ("begun\n", "oh\n", 0)


def test_a_killed_task_shows_how_far_it_was(client: Client) -> None:
    @remote()
    def die(ctx: Any) -> bytes:
        ctx.progress(0.5, "half way")
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    with client.new_session(fail_fast=False) as session:
        task = die()
        session.submit()
        with pytest.raises(TaskException):
            task.wait(timeout=LIMIT_S)
        assert task.info is not None
        assert task.info.progress == (0.5, "half way")
        assert "progress: 50.0%, half way" in client.why(task)


def test_what_is_known_of_a_failed_task_is_there_without_an_update(session: Session) -> None:
    @remote()
    def fail(ctx: Any) -> None:
        print("so far")
        ctx.debug("x = {}", 3)
        ctx.info.user["step"] = 4
        os.write(2, b"oh\n")
        raise ValueError("no")

    task = fail()
    session.submit()
    with pytest.raises(TaskException) as caught:
        session.wait_all(timeout=LIMIT_S)
    error = caught.value
    assert (error.stdout, error.stderr, error.debug, error.attempt) == ("so far\n", "oh\n", "x = 3", 0)
    with pytest.raises(TaskException, match="ValueError: no"):
        task.update()
    assert task.state == "failed"
    assert task.info is not None
    assert task.info.error == "ValueError: no"
    assert (task.info.worker, task.info.user, task.info.debug) == (error.worker, {"step": 4}, "x = 3")
    assert task.info.duration is not None
    assert (task.stdout, task.stderr) == ("so far\n", "oh\n")
    assert [each.error for each in task.info.attempts] == ["ValueError: no"]


def test_an_element_of_an_array_that_failed_shows_it(session: Session) -> None:
    @function
    def invert(x: float) -> float:
        print("inverting", x)
        return 1 / x

    array = invert.map([0, 0])
    session.submit()
    with pytest.raises(TaskException) as caught:
        array.wait(timeout=LIMIT_S)
    failed = array[caught.value.index or 0]
    assert failed is caught.value.task
    assert failed.stdout == "inverting 0\n"


def test_after_a_failed_session_the_other_tasks_are_finished_or_cancelled(session: Session, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    done = tasks.concat(blob("a"))
    running = tasks.sleep(blob("x"), 60)
    after = tasks.concat(running)
    bad = tasks.execute(f"while [ ! -e {gate} ]; do sleep 0.02; done; exit 3", shell=True)
    session.submit()
    seen(lambda: session.update(done) or done.state == "finished")
    gate.touch()
    with pytest.raises(TaskException, match="status 3"):
        bad.wait(timeout=LIMIT_S)
    assert [task.state for task in (done, running, after, bad)] == ["finished", "cancelled", "cancelled", "failed"]


def test_after_a_wait_for_cancelled_tasks_all_of_them_say_so(session: Session) -> None:
    first, other = tasks.sleep(blob("x"), 60), tasks.sleep(blob("x"), 60)
    after = tasks.concat(first)
    session.submit()
    first.cancel()
    other.cancel()
    with pytest.raises(TaskException, match="was cancelled"):
        session.wait([first, other, after], timeout=LIMIT_S)
    assert [task.state for task in (first, other, after)] == ["cancelled"] * 3
    assert session.state == "open"
    assert first.info is not None
    assert first.info.error is not None
