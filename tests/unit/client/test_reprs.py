"""How handles look in a notebook."""

from __future__ import annotations

import sys
import threading
from html.parser import HTMLParser
from types import FrameType
from typing import Any

from rain.client import DataInstance, Session, Task, blob, function
from rain.client.facts import ServerFacts, WorkerFacts
from rain.client.failures import exception_from
from rain.client.machine.effects import Trouble
from rain.client.records import FAILED, FINISHED
from rain.core.errors import TaskException
from rain.core.failure import Cause, Failure

HOSTILE = "<script>alert('1')</script>&\"\x00"


@function
def one(value: object) -> object:
    return value


class Tags(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def check_safe(html: str | None) -> str:
    """Nothing but what untrusted notebooks keep."""
    assert html is not None
    found = Tags(html)
    assert found.tags <= {"div", "span", "b", "i", "table", "tr", "td", "th", "pre", "details", "summary", "img"}
    assert found.attributes <= {"style", "open", "src", "alt"}
    assert "\x00" not in html
    return html


def test_handles_show_what_is_known_and_escape_what_users_wrote() -> None:
    session = Session(None, 1, name=HOSTILE)
    with session.bind_only():
        constant = blob(HOSTILE, label=HOSTILE)
        task = Task([constant], [HOSTILE], task_type="t", name=HOSTILE)
        array = one.map(range(3), name=HOSTILE)
    shown = [check_safe(each._repr_html_()) for each in (session, constant, task, task.outputs[0], array, array.output)]
    assert "4 tasks: · not submitted" in shown[0]
    assert all("&lt;script&gt;" in each for each in shown[:5])
    assert "s1.o0" in shown[2]
    assert "test_reprs.py:" in shown[2]


def test_a_task_shows_what_it_said() -> None:
    session = Session(None, 1)
    with session.bind_only():
        task = Task([], task_type="t")
    session._graph.task_states.append(FAILED)
    assert "✗ failed" in check_safe(task._repr_html_())


def test_the_repr_of_a_session_has_no_loop_over_its_tasks() -> None:
    def lines_run(n_tasks: int) -> int:
        session = Session(None, 1)
        with session.bind_only():
            one.map(range(n_tasks))
        session._graph.task_states.extend(bytes([FINISHED]) * n_tasks)
        session._graph.builder.start_over()
        assert f"{n_tasks:,} tasks: ✓ finished" in (session._repr_html_() or "")
        count = 0

        def trace(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal count
            count += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            session._repr_html_()
        finally:
            sys.settrace(before)
        return count

    assert lines_run(20_000) == lines_run(200)


def test_a_repr_does_not_wait_for_a_thread_that_submits() -> None:
    session = Session(None, 1)
    with session.bind_only():
        task = Task([], task_type="t")
    holds, ends = threading.Event(), threading.Event()

    def submit() -> None:
        with session._graph.lock:
            holds.set()
            ends.wait()

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        assert holds.wait(10)
        assert task._repr_html_() is None
        assert session._repr_html_() is not None
    finally:
        ends.set()
        thread.join()


def test_a_repr_that_goes_wrong_leaves_the_text() -> None:
    session = Session(None, 1)
    del session._graph
    assert session._repr_html_() is None


def test_workers_and_servers_are_dicts_that_are_shown_as_tables() -> None:
    worker = WorkerFacts(
        worker_id="w1",
        host=HOSTILE,
        address="127.0.0.1:1",
        resources={"cpus": 2, "memory": 4 << 30, "license": 1},
        n_tasks=1,
        n_objects=1_000,
        suspect=False,
        draining=True,
    )
    assert "2 cpus, memory 4 GiB, 1 license" in check_safe(worker._repr_html_())
    needed = [{"n_tasks": 2, "needed": {"cpus": 9}}]
    server = ServerFacts(version="1", host="h", pid=1, workers=[worker], sessions=[], impossible=needed)
    assert "2 ready tasks need 9 cpus, which no worker has" in check_safe(server._repr_html_())
    assert isinstance(server, dict)


def failed(**facts: Any) -> TaskException:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/home/me/train.py", line 3, in train\n    return json.loads(x)\n           ^^^^\n'
        '  File "/usr/lib/python3.11/json/__init__.py", line 346, in loads\n    return decode(s)\n'
        '  File "/x/site-packages/a.py", line 1, in a\n    b\n'
        "ValueError: no\n"
    )
    failure = Failure(cause=Cause.TASK, message=f"ValueError: {HOSTILE}", traceback=text, stderr="said\n")
    trouble = Trouble(reason="no", task=2, worker=1, failure=failure, states=memoryview(bytes([2, 3, 4, 4])), not_run=2)
    error = exception_from(trouble, 1, name="train", **facts)
    assert isinstance(error, TaskException)
    return error


def test_ipython_shows_the_users_own_frames_of_a_failed_task() -> None:
    lines = failed(made_at="/nowhere/main.py:3")._render_traceback_()
    assert lines[0].startswith("TaskException: task s1.t2 'train' failed on w1: ValueError: ")
    shown = "\n".join(lines)
    assert '  File "/home/me/train.py", line 3, in train\n      return json.loads(x)\n             ^^^^\n' in shown
    assert "    … 2 frames of libraries\n  ValueError: no\n" in shown
    assert "json/__init__" not in shown
    assert "made at /nowhere/main.py:3" in lines
    assert "stderr:\n  said" in shown
    assert "2 tasks did not run because of s1.t2" in lines


def test_ipython_shows_where_a_failure_was_waited_for_without_the_inside_of_rain() -> None:
    session = Session(None, 1)
    try:
        session.submit()
        with session.bind_only():
            Task([], task_type="t")
        session.submit()
    except Exception as error:
        lines = error._render_traceback_()  # type: ignore[attr-defined]
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("RainException: session s1 has no server")
    assert "rain/client" not in "\n".join(lines[:-1])
    assert "test_reprs.py" in lines[1]


def test_a_failure_in_html_shows_the_cause_and_folds_the_rest() -> None:
    from rain.client.failure_view import failure_html

    html = check_safe(failure_html(failed()))
    assert "✗ failed" in html
    assert html.index("/home/me/train.py") < html.index("<summary>all frames") < html.index("json/__init__")
    assert "<details open><summary>stderr</summary>" in html


def test_a_killed_process_tells_what_memory_its_task_asked_for() -> None:
    from rain.core.resources import Request

    def text(**request: int) -> str:
        message = "the process that ran it was killed by signal 9 (kill, often because memory ran out)"
        trouble = Trouble(reason="no", task=2, worker=1, failure=Failure(cause=Cause.EXECUTOR, message=message))
        return str(exception_from(trouble, 1, request=Request(**request)))

    assert "it asked for no memory" in text()
    assert "it asked for memory=2147483648 (2 GiB)" in text(memory_bytes=2 << 30)


def test_instances_are_shown_by_their_content_type() -> None:
    def html(data: bytes, content_type: str | None = None) -> str:
        return check_safe(DataInstance(data, content_type=content_type)._repr_mimebundle_()["text/html"])

    assert "&lt;b&gt;" in html(b"<b>", "text")
    assert "ß" in html("ß".encode("latin1"), "text-latin1")
    assert "&quot;a&quot;: [\n    1" in html(b'{"a": [1, 2]}', "json")
    assert "00 ff" in html(b"\x00\xff")
    assert "plain words" in html(b"plain words\n")
    assert "the beginning of 97.7 KiB" in html(b"x" * 100_000, "text")
    assert "not shown" not in html(b"broken {", "json")
    assert 'src="data:image/svg+xml;base64,' in html(b"<svg/>", "mime/image/svg+xml")
    assert "&lt;script&gt;" in html(b"<script>", "mime/text/html")
    png = DataInstance(b"\x89PNG", content_type="mime/image/png")._repr_mimebundle_()
    assert png["image/png"] == "iVBORw=="


def test_a_value_with_html_of_its_own_shows_that() -> None:
    import pickle

    class Frame:
        def __reduce__(self) -> Any:
            from rain.core.markup import Markup

            return Markup, ("<table><tr><td>1</td></tr></table>",)

    shown = DataInstance(pickle.dumps(Frame()), content_type="pickle")._repr_mimebundle_()["text/html"]
    assert "<table><tr><td>1</td></tr></table>" in shown
