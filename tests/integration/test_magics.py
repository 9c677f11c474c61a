"""The magics with a real cluster: what a person types into a notebook, and what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rain.client import Client
from tests.unit.kernel_ext.notebook_shell import NotebookShell

pytestmark = pytest.mark.usefixtures("run_folder")


@pytest.fixture
def shell(client: Client) -> Iterator[NotebookShell]:
    """A shell with the magics, connected, with a session of its own."""
    shell = NotebookShell()
    shell.run("%load_ext rain")
    shell.variables["client"] = client
    shell.extension.notebook.use(client)
    shell.run("session = %rain session test --ttl 0")
    yield shell
    shell.run("session.close()")
    # Lets go of everything, and leaves the client, which others share, open.
    shell.extension.notebook._client = None
    shell.end()


def test_a_session_of_a_notebook_has_defaults_of_its_own(shell: NotebookShell, client: Client) -> None:
    session = shell.value("%rain session other")
    assert (session.name, session.ttl, session.fail_fast, session.state) == ("other", 3600.0, False, "open")
    assert shell.value("%rain session other") is session
    assert shell.run("other = %rain session other").printed == "going on with 'other': no tasks"
    assert [each["ttl"] for each in client.sessions() if each["name"] == "other"] == [3600.0]
    session.close()
    again = shell.value("%rain session other --ttl 60 --fail-fast")
    assert (again.ttl, again.fail_fast) == (60.0, True)
    again.close()
    shell.run("session.set_as_default()")


def test_cells_become_tasks_that_read_and_make_variables(shell: NotebookShell) -> None:
    shell.run(
        "from rain.client import blob\nimport math\ndata = blob('hello')\nfactor = 3\ndef shout(x): return x.upper()"
    )
    output = shell.run(
        "%%rain task -i data -i factor -o model,size --cpus 1 --name train\n"
        "model = shout(data) * factor\n"
        "size = math.floor(len(model) + 0.5)"
    )
    assert output.text == ""
    shell.run("%%rain sh -i model -o hits --stdout printed\nwc -c < model\ncp model hits")
    assert shell.run("%rain submit").printed.startswith("submitted 2 tasks of <Session s")
    assert shell.run("%rain wait").text == "test: 2 tasks, ✓ finished"
    assert shell.value("model.fetch().load()") == "HELLOHELLOHELLO"
    assert shell.value("size.fetch().load()") == 15
    assert shell.value("hits.fetch().get_bytes() == model.fetch().get_bytes()")
    assert int(shell.value("str(printed.fetch())")) == shell.value("model.fetch().size")


def test_a_cell_without_outputs_is_a_task_whose_output_is_what_it_returns(shell: NotebookShell) -> None:
    task = shell.value("%%rain task\n6 * 7")
    other = shell.value("%%rain task --name early\nif True:\n    return 'early'\n'late'")
    later = shell.value("%%rain task\nimport asyncio\nawait asyncio.sleep(0)\n'awaited'")
    shell.run("%rain submit")
    assert [each.output.fetch().load() for each in (task, other, later)] == [42, "early", "awaited"]
    assert other.name == "early"


def test_files_and_folders_go_through_shell_cells(shell: NotebookShell) -> None:
    shell.run("words = 'b\\na\\n'")
    shell.run(
        "%%rain sh -i words -o sorted/ --stdin words\nmkdir sorted\nsort > sorted/all\nhead -1 words > sorted/first"
    )
    shell.run("%%rain sh -i sorted --stdout both\ncat sorted/all sorted/first")
    shell.run("%rain submit")
    assert shell.value("str(both.fetch())") == "a\nb\nb\n"


def test_a_failed_cell_shows_its_own_lines(shell: NotebookShell) -> None:
    shell.run("%%rain task -o bad --name divide\nnothing = 0\nbad = 1 / nothing")
    shell.run("%%rain task -i bad -o after\nafter = bad")
    shell.run("%rain submit")
    error = shell.run("%rain wait divide").error
    assert error.startswith("TaskException: task s")
    assert "ZeroDivisionError: division by zero" in error
    assert ", line 3, in divide" in error
    assert "bad = 1 / nothing" in error
    assert "%%rain task -o bad --name divide" in error
    assert "rain/" not in error
    for name in ("divide", "bad"):
        assert "bad = 1 / nothing" in shell.run(f"%rain tb {name}").printed
    assert "ZeroDivisionError" in shell.run("%rain why divide").printed
    assert "no task waits: all are done" in shell.run("%rain why").printed


def test_what_tasks_printed_is_shown(shell: NotebookShell) -> None:
    task = shell.value("%%rain task --name talk\nfor i in range(30): print('line', i)")
    shell.run("%rain submit\n%rain wait")
    printed = shell.run("%rain logs talk -n 2").printed
    assert printed.splitlines()[0] == f"==> stdout of {task.id} 'talk', the last 2 of 30 lines"
    assert printed.splitlines()[1:] == ["line 28", "line 29"]
    shell.run("%%rain task --name quiet\n1")
    shell.run("%rain submit\n%rain wait")
    assert "'quiet' printed nothing; it is finished" in shell.run("%rain logs quiet").printed
    assert "'quiet' has not failed: it is finished" in shell.run("%rain tb quiet").printed


def test_tasks_are_cancelled_by_any_name(shell: NotebookShell) -> None:
    shell.run("from rain.client import blob, tasks\na = tasks.sleep(blob('x'), 600, name='first')")
    shell.run("b = tasks.sleep(blob('x'), 600, name='second')\nc = tasks.sleep(blob('x'), 600)")
    shell.run("%rain submit")
    assert shell.run("%rain cancel first b $c.id").text == ""
    shell.run("session.update([a, b, c])")
    assert shell.value("[each.state for each in (a, b, c)]") == ["cancelled"] * 3
    assert "was cancelled" in shell.run("%rain wait first").error
    assert (
        "TimeoutError: " in shell.run("d = tasks.sleep(blob('x'), 600)\n%rain submit\n%rain wait d --timeout 0").error
    )
    shell.run("%rain cancel d")


def test_listings_are_values_that_show_themselves_as_tables(shell: NotebookShell) -> None:
    workers = shell.value("%rain workers")
    assert sorted(each["worker_id"] for each in workers) == ["w1", "w2"]
    shown = shell.run("%rain workers").printed
    assert shown.splitlines()[0].split() == ["WORKER", "HOST", "PID", "ADDRESS", "CPUS", "TASKS", "OBJECTS"]
    assert shell.run("found = %rain workers").text == ""
    assert shell.value("%rain status")["server"] == shell.variables["client"].address
    assert any(each["name"] == "test" for each in shell.value("%rain sessions"))
    assert '"worker_id": "w1"' in shell.run("%rain workers --json").printed
    assert any(row["process"] == "server" for row in shell.value("%rain ps"))


def test_a_name_that_is_no_task_is_answered_with_what_is_meant(shell: NotebookShell) -> None:
    shell.run("%%rain task -o model --name train\nmodel = 1")
    for command in ("why", "tb", "logs", "wait", "cancel"):
        error = shell.run(f"%rain {command} trian").error
        assert error.startswith("RainException: no task is called 'trian' in <Session s")
        assert error.endswith("Did you mean 'train'?")
        assert "\n" not in error
    assert "is no submitted task of" in shell.run(f"%rain why s{shell.variables['session'].session_id}.t99").error
    assert "is not submitted: `%rain submit` sends it" in shell.run("%rain why model").printed
    shell.run("%rain submit")


def test_data_of_another_session_is_refused(shell: NotebookShell, client: Client) -> None:
    with client.new_session() as other, other.bind_only():
        shell.run("from rain.client import blob\nforeign = blob('x')")
    error = shell.run("with client.new_session().bind_only() as o: foreign = blob('x')").error
    assert error == ""
    assert "data do not pass between sessions" in shell.run("%%rain task -i foreign -o y\ny = foreign").error


def test_a_session_that_is_gone_says_so_in_one_line(shell: NotebookShell) -> None:
    shell.run("session.close()")
    assert shell.run("%rain submit").error == "RainException: there is no session: `%rain session NAME` makes one"
    shell.run("session = %rain session test --ttl 0")


def test_objects_stay_while_the_notebook_has_a_variable_for_them(shell: NotebookShell, client: Client) -> None:
    shell.run("from rain.client import function\n@function\ndef double(x): return 2 * x")
    shell.run("held = double(1)\ngone = double(2)\nchain = double(double(3))\nmany = double.map([1, 2])")
    shell.run("session.submit()\nsession.wait_all()")
    assert not shell.value("held.output.is_kept()")
    assert shell.value("[held.output.fetch().load(), chain.output.fetch().load()]") == [2, 12]
    assert "was not kept, so it is gone" in shell.run("many[0].output.fetch()").error
    assert n_objects(shell, client) == 3
    shell.run("del gone")
    assert n_objects(shell, client) == 2
    shell.run("held.output.keep()\ndel held")
    assert n_objects(shell, client) == 2
    shell.run("chain.output.unkeep()")
    assert n_objects(shell, client) == 1
    # What is in hand can be read by later tasks.
    assert shell.value("session.compute(double(session.tasks.all('double')[0]))").load() == 4


def n_objects(shell: NotebookShell, client: Client) -> int:
    """What workers hold of the test's session, when everything has been dropped that is to be."""
    shell.run("import gc\ngc.collect()")
    [session] = [each for each in client.sessions() if each["name"] == "test"]
    prefix = f"{session['session_id']}.o"
    workers: list[dict[str, Any]] = client.get_server_info()["workers"]
    return sum(obj.startswith(prefix) for worker in workers for obj in worker["objects"])
