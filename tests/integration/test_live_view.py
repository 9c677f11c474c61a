"""The live view of a session with a real cluster: followed, shown in notebooks run by nbclient, and by a kernel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat
import pytest
from nbclient import NotebookClient

from rain.client import Client, Session, blob, tasks
from rain.client.live.following import Follower, look
from rain.client.live.standing import SessionStanding
from rain.core.errors import RainException
from rain.deploy.local import LocalCluster
from tests.integration.notebook_kernel import LIMIT_S, notebook_kernel, wait_until
from tests.unit.kernel_ext.notebook_shell import NotebookShell

CELLS = (
    "%load_ext rain\nfrom rain.client import Client, function, blob, tasks",
    "client = Client(access={access!r})\nsession = client.new_session('study', default=True, fail_fast=False)",
    "@function\ndef train(x): return x * 2\n@function\ndef broken(x): raise ValueError(x)",
    "models = train.map(range(30))\nmodels.output.keep()\n%rain submit",
    "bad = broken(1)\nsession.submit()",
    "try:\n    session.wait_all()\nexcept Exception as error:\n    print(type(error).__name__)",
    "%rain wait",
    "session.close(); client.close()",
)


@pytest.fixture
def run_notebook(cluster: LocalCluster) -> Callable[[str], Any]:
    """Runs the cells in that mode; the notebook with its outputs."""

    def run(mode: str) -> Any:
        first = f"%env RAIN_PROGRESS={mode}"
        cells = [each.replace("{access!r}", repr(str(cluster.access_path))) for each in (first, *CELLS)]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
        return notebook

    return run


def shown(notebook: Any, cell: int) -> list[str]:
    """What a cell shows: printed text, HTML where there is any, else text; of errors their kind."""
    found = []
    for output in notebook.cells[cell].outputs:
        if output.output_type == "stream":
            found.append(output.text.strip())
        elif output.output_type == "error":
            found.append(output.ename)
        else:
            found.append(output.data.get("text/html", output.data.get("text/plain", "")))
    return found


def test_a_notebook_that_is_saved_shows_the_last_state(run_notebook: Callable[[str], Any]) -> None:
    notebook = run_notebook("html")
    [view] = shown(notebook, 4)
    assert "Session study" in view
    assert "30 finished" in view
    # Followed what another cell submitted, and says what failed.
    assert "✗" in view
    assert "ValueError: 1" in view
    assert "∅ closed" in view
    plain = notebook.cells[4].outputs[0].data["text/plain"]
    assert "31 tasks, ✗ 1 failed, ✓ 30 finished" in plain
    assert shown(notebook, 6) == ["TaskException"]
    assert shown(notebook, 7) == ["TaskException"]


def test_two_runs_where_nobody_watches_show_the_same(run_notebook: Callable[[str], Any]) -> None:
    one, other = run_notebook("auto"), run_notebook("auto")
    line = "study: 31 tasks, ✗ 1 failed, ✓ 30 finished; failed: broken"
    assert shown(one, 7) == [line, "TaskException"]
    assert shown(one, 7) == shown(other, 7)
    assert [shown(one, cell) for cell in (6, 8)] == [shown(other, cell) for cell in (6, 8)]


def test_the_view_goes_on_when_its_cell_has_ended(cluster: LocalCluster, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with notebook_kernel() as kernel:
        kernel.run("%env RAIN_PROGRESS=html")
        kernel.run(f"{CELLS[0]}\nclient = Client(access={str(cluster.access_path)!r})")
        kernel.run("session = client.new_session('after', default=True)")
        command = f"until [ -e {go} ]; do sleep 0.05; done"
        task = f"t = tasks.execute(['sh', '-c', {command!r}], name='waits')"
        assert "1 tasks" not in kernel.run(f"{task}\n%rain submit").value
        go.touch()
        updates = _updates(kernel)
        assert any(" 1 finished" in page for page in updates)
        kernel.run("session.close(); client.close()")


def _updates(kernel: Any) -> list[str]:
    """The pictures that come without a cell, until one says that all is done."""
    found: list[str] = []
    deadline = time.monotonic() + LIMIT_S
    while not (found and "done</span>" in found[-1]):
        assert time.monotonic() < deadline, found
        message = kernel._client.get_iopub_msg(timeout=LIMIT_S)
        if message["msg_type"] == "update_display_data":
            found.append(message["content"]["data"]["text/html"])
    return found


def test_a_follower_hears_how_a_session_goes_and_ends(client: Client) -> None:
    heard: list[tuple[int, int, str]] = []

    def changed(standing: SessionStanding) -> None:
        total = standing.total()
        heard.append((total.finished, total.failed, standing.state))

    session = client.new_session("followed")
    follower = Follower(client._shell, session.session_id, "followed", changed)
    wait_until(lambda: bool(heard), "the first answer")
    assert heard[0] == (0, 0, "empty")
    with session:
        task = tasks.concat([blob("a"), blob("b")])
        session.submit()
        task.wait()
        assert look(client._shell, session.session_id, "followed", 5.0).total().finished == 1
        wait_until(lambda: heard[-1][:2] == (1, 0), "the end of the task")
    wait_until(lambda: follower.is_over, "the end of the session")
    assert heard[-1] == (1, 0, "closed")


def test_a_view_whose_server_died_says_so_and_stays(run_folder: Path) -> None:
    with LocalCluster(workers=1, cpus=1) as cluster:
        shell = NotebookShell()
        client = Client(access=cluster.access_path)
        pictures: list[dict[str, str]] = []
        try:
            shell.run("%load_ext rain")
            shell.run("from IPython import get_ipython\nimport os\nos.environ['RAIN_PROGRESS'] = 'html'")
            publish = shell._shell.display_pub.publish
            shell._shell.display_pub.publish = lambda data, *args, **how: pictures.append(data)
            shell.variables["client"] = client
            shell.run("session = client.new_session('lost', default=True)")
            shell.run("from rain.client import tasks, blob\nt = tasks.concat([blob('a'), blob('b')])\n%rain submit")
            wait_until(lambda: " 1 finished" in pictures[-1]["text/html"], "the end of the task")
            cluster.stop()
            wait_until(lambda: "The server is gone" in pictures[-1]["text/html"], "the loss")
            shell.run("1")
            assert " 1 finished" in pictures[-1]["text/html"]
            assert "connection lost" in pictures[-1]["text/plain"] or "lost" in pictures[-1]["text/plain"]
            shell._shell.display_pub.publish = publish
        finally:
            shell.run("import os\nos.environ.pop('RAIN_PROGRESS', None)")
            client.close()
            shell.end()


@pytest.fixture
def broad(client: Client) -> Iterator[Session]:
    with client.new_session("broad", fail_fast=False) as opened:
        yield opened


def test_progress_is_a_widget_that_filters_and_cancels(broad: Session) -> None:
    waits = [tasks.sleep(blob("x"), 1000.0, name=f"waits/{number}") for number in range(2)]
    other = tasks.sleep(blob("x"), 1000.0, name="other")
    broad.submit()
    progress = broad.progress()
    try:
        assert isinstance(progress, ipywidgets.VBox)
        wait_until(lambda: "waits" in progress.picture.value and "other" in progress.picture.value, "the picture")
        progress.filter.value = "waits"
        assert "other" not in progress.picture.value
        assert not progress.cancel.disabled
        progress.cancel.click()
        assert progress.message.value == "stopped 2 tasks (waits/0, waits/1)"
        broad.update([*waits, other])
        assert [each.state for each in waits] == ["cancelled", "cancelled"]
        assert other.state in ("waiting", "running")
        progress.filter.value = ""
        progress.cancel.click()
        wait_until(lambda: progress.cancel.disabled, "the end")
    finally:
        progress.close()


def test_progress_needs_a_server() -> None:
    with pytest.raises(RainException, match="has no server"):
        Session(None, 1).progress()


@pytest.fixture
def terminal(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotebookShell]:
    """An IPython in text mode with a session of its own."""
    monkeypatch.setenv("RAIN_PROGRESS", "text")
    shell = NotebookShell()
    shell.run("%load_ext rain\nfrom rain.client import blob, tasks")
    shell.variables["session"] = client.new_session("typed", fail_fast=False)
    shell.run("session.set_as_default()")
    yield shell
    shell.run("session.close()")
    shell.end()


def test_text_that_is_no_terminal_has_no_control_codes(terminal: NotebookShell) -> None:
    terminal.run("t = tasks.sleep(blob('x'), 0.5, name='short')\n%rain submit")
    printed = terminal.run("%rain wait").printed
    assert "\x1b" not in printed
    assert "\r" not in printed
    head, row, workers = printed.splitlines()
    assert head.endswith((" bytes", " byte"))
    assert "done: 1 task, ✓ finished" in head
    assert row.split() == ["short", "█" * 20, "1/1", "✓", "finished"]
    assert workers == "  workers: w1 0/2, w2 0/2"


def test_a_terminal_has_a_line_while_it_waits(terminal: NotebookShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rain.kernel_ext.view.views.may_control", lambda: True)
    terminal.run("t = tasks.sleep(blob('x'), 1.0, name='short')\n%rain submit")
    printed = terminal.run("%rain wait").printed
    line, end = printed.split("\x1b[K", 2)[1:]
    assert line.startswith("session typed (s")
    assert "1 task, ▶ running" in line
    assert "done: 1 task, ✓ finished" in end
    assert terminal.run("%rain wait t").printed == ""


def test_nothing_is_shown_where_that_is_asked_for(terminal: NotebookShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAIN_PROGRESS", "off")
    terminal.run("t = tasks.sleep(blob('x'), 0.0)\n%rain submit")
    assert terminal.run("%rain wait").text == ""
