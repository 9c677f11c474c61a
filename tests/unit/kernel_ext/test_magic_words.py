"""The magics without a cluster: loading, help, errors as text, completion. No traceback of Rain is ever shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from rain.client import Session, blob, tasks
from rain.kernel_ext.magic import help_text
from rain.kernel_ext.tree import CELL_TREE, CELL_VERBS, LINE_TREE, LINE_VERBS
from tests.unit.kernel_ext.notebook_shell import NotebookShell


@pytest.fixture
def shell() -> Iterator[NotebookShell]:
    shell = NotebookShell()
    assert shell.run("%load_ext rain").text == ""
    yield shell
    shell.end()


@pytest.fixture
def session(shell: NotebookShell) -> Iterator[Session]:
    """A session without a server, the active one."""
    with Session(None, 1) as offline:
        shell.variables["session"] = offline
        yield offline


def test_loading_and_unloading_print_nothing_and_can_be_repeated(shell: NotebookShell) -> None:
    for line in ("%load_ext rain.kernel_ext", "%reload_ext rain", "%load_ext rain", "%unload_ext rain"):
        assert (
            shell.run(line)
            .text.removeprefix("The rain extension is already loaded.")
            .startswith(("", "\nTo reload it"))
        )
    assert "`%rain` not found" in shell.run("%rain status").error
    assert shell.completed("%rain sta") == []
    assert shell.run("%load_ext rain").text == ""
    assert "Usage: %rain" in shell.run("%rain").printed


def test_an_extension_that_was_there_before_stays_as_it_was(shell: NotebookShell) -> None:
    shell.run("%unload_ext rain")
    shell.run("shown = []\nget_ipython().set_custom_exc((KeyError,), lambda *found, **more: shown.append(found[2]))")
    shell.run("%load_ext rain\n%unload_ext rain")
    shell.run("{}['x']")
    assert shell.value("len(shown)") == 1


def test_importing_rain_brings_no_ipython_and_loading_starts_nothing() -> None:
    program = "import rain, sys; assert rain.load_ipython_extension; sys.exit('IPython' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("line", ["%rain", "%rain --help", "%rain -h"])
def test_help_lists_every_command(shell: NotebookShell, line: str) -> None:
    printed = shell.run(line).printed
    assert printed.startswith("Usage: %rain [OPTIONS] COMMAND")
    assert all(f"\n  {verb} " in printed for verb in LINE_VERBS)
    assert all(f"\n  %%rain {verb} " in printed for verb in CELL_VERBS)


def test_a_question_mark_shows_the_help(shell: NotebookShell) -> None:
    [docstring] = {shell.value("get_ipython().find_line_magic('rain').__doc__")}
    assert docstring == f"{help_text(LINE_TREE, '%rain')}\n\n{help_text(CELL_TREE, '%%rain')}"


@pytest.mark.parametrize("verb", LINE_VERBS)
def test_every_command_and_option_explains_itself(shell: NotebookShell, verb: str) -> None:
    output = shell.run(f"%rain {verb} --help")
    assert output.printed.startswith(f"Usage: %rain {verb} ")
    assert output.error == ""
    command = LINE_TREE.get_command(click.Context(LINE_TREE), verb)
    assert command is not None
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("verb", CELL_VERBS)
def test_the_magics_of_a_cell_explain_themselves(shell: NotebookShell, verb: str) -> None:
    assert shell.run(f"%%rain {verb} --help\nx").printed.startswith(f"Usage: %%rain {verb} ")
    assert shell.run("%%rain --help\nx").printed.startswith("Usage: %%rain ")


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("%rain wrokers", "UsageError: No such command 'wrokers'. Did you mean 'workers'? `%rain --help` says more."),
        ("%rain server", "UsageError: 'server' is a command of the shell: rain server. `%rain --help` says more."),
        (
            "%rain task -o x",
            "UsageError: 'task' is written %%rain task … at the top of a cell. `%rain --help` says more.",
        ),
        ("%%rain submit\nx", "UsageError: 'submit' is written %rain submit. `%%rain --help` says more."),
        (
            "%rain workers --jsno",
            "UsageError: No such option '--jsno'. Did you mean '--json'? `%rain workers --help` says more.",
        ),
        ("%rain session 'x", "UsageError: %rain session 'x: a quote is not closed (No closing quotation)"),
        ("%rain session", "UsageError: Missing argument 'NAME'. `%rain session --help` says more."),
        (
            "%rain start --workers many",
            "UsageError: Invalid value for '--local-workers' / '--local-worker' / '--local_workers' / "
            "'--local_worker' / '--workers': 'many': expected a number of workers, or their cpus as in [4,4,2]. "
            "`%rain start --help` says more.",
        ),
        ("%rain submit", "RainException: there is no session: `%rain session NAME` makes one"),
        ("%rain tb train", "RainException: there is no session: `%rain session NAME` makes one"),
        ("%%rain task -o x\nx = 1", "RainException: there is no session: `%rain session NAME` makes one"),
        ("%rain connect host:no", "RainException: expected a port number after the colon in 'host:no', found 'no'"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(shell: NotebookShell, cell: str, error: str) -> None:
    assert shell.run(cell) == ("", error)


@pytest.mark.parametrize("command", ["status", "workers", "sessions", "stop", "connect", "session x", "drain w1"])
def test_without_a_cluster_it_is_said_how_to_get_one(
    shell: NotebookShell, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    error = shell.run(f"%rain {command}").error
    assert error.startswith("RainException: no cluster of yours runs on this machine: `%rain start` starts one")


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("cell", "error"),
    [
        (
            "%%rain task -i modle\n1",
            "UsageError: Invalid value for -i: there is no variable 'modle'. Did you mean 'model'? "
            "`%%rain task --help` says more.",
        ),
        ("%%rain task -o x\ny = 1", "UsageError: the cell assigns no variable 'x', which `-o` names; it has y"),
        (
            "%%rain task -o x\nx = 1\ny = = 2",
            "UsageError: line 3 of the cell: invalid syntax\n    y = = 2\n        ^\n",
        ),
        ("%%rain task -o x\nx = 1\nnonlocal y", "UsageError: line 3 of the cell: no binding for nonlocal 'y' found\n"),
        (
            "%%rain task -o x\nx = model",
            "UsageError: the cell reads 'model', which is data of a session: add `-i model`",
        ),
        (
            "%%rain task -o x\nx = [i for i in range(3) for _ in [model]]",
            "UsageError: the cell reads 'model', which is data of a session: add `-i model`",
        ),
        ("%%rain task\n   \n", "UsageError: the cell has no code below its first line"),
        (
            "%%rain task\nyield 1",
            "UsageError: the cell has a `yield` of its own: a task gives its results at once, by `return`",
        ),
        (
            "%%rain task -i 7 -o x\nx = 1",
            "UsageError: Invalid value for -i: '7' is no name of a variable. `%%rain task --help` says more.",
        ),
        (
            "%%rain task -o x -o x\nx = 1",
            "UsageError: Invalid value for -o: 'x' is named twice. `%%rain task --help` says more.",
        ),
        (
            "%%rain sh -i number\ncat number",
            "RainException: 'number' is int, and a shell reads files: make data of it, blob(number, encode=…)",
        ),
        ("%%rain sh\n  \n", "UsageError: the cell has no command below its first line"),
    ],
)
def test_a_cell_that_cannot_be_a_task_is_refused_at_once(shell: NotebookShell, cell: str, error: str) -> None:
    shell.variables.update(model=blob("x"), number=7)
    assert shell.run(cell).error.startswith(error)
    assert "x" not in shell.variables


def test_a_cell_becomes_a_task_with_what_it_is_told(shell: NotebookShell, session: Session) -> None:
    shell.variables.update(data=blob("x"), factor=2)
    options = "--cpus 2 --memory 1GiB --resource licence=1 --retries 3 --priority 4 --timeout 5"
    assert shell.run(
        f"%%rain task -i data,factor -o one,two {options} --name 'my/train'\none = two = data * factor"
    ) == ("", "")
    one, two = shell.variables["one"], shell.variables["two"]
    task = one._task
    assert two._task is task
    assert (task.name, one.label, two.label) == ("my/train", "one", "two")
    assert task.spec.resources == {"cpus": 2, "memory": 2**30, "licence": 1}
    assert [obj.id for obj in task.inputs] == [shell.variables["data"].id]
    assert (task._spec.retries, task._spec.priority, task._spec.timeout_s) == (3, 4, 5.0)
    assert session.task_count == 1


def test_a_shell_cell_has_files_of_the_names_of_variables(shell: NotebookShell, session: Session) -> None:
    shell.variables.update(data=blob("x"), text="words", step=tasks.concat(blob("y")))
    shell.run("%%rain sh -i data -i text,step -o hits -o parts/ --stdout out\ncat data text step > hits")
    hits, parts, out = (shell.variables[name] for name in ("hits", "parts", "out"))
    assert [label for label, _ in hits._task.outputs.items()] == ["out", "hits", "parts"]
    assert (hits._task.name, parts.content_type, out.label) == ("sh_hits_parts", "dir", "out")
    assert len(hits._task.inputs) == 3
    assert session.task_count == 2


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("%rain wor", ["workers"]),
        ("x = %rain sess", ["session", "sessions"]),
        ("%rain workers --j", ["--json"]),
        ("%rain session demo --on-interrupt d", ["detach"]),
        ("%rain wait tr", ["train"]),
        ("%rain wait train mo", ["model"]),
        ("%%rain ta", ["task"]),
        ("%%rain task -i mo", ["model"]),
        ("%%rain task --ret", ["--retries"]),
    ],
)
@pytest.mark.usefixtures("session")
def test_tab_completes_commands_options_and_live_names(shell: NotebookShell, text: str, offered: list[str]) -> None:
    shell.variables["model"] = tasks.concat(blob("x"), name="train")
    assert shell.completed(text) == offered


def test_tab_elsewhere_is_left_to_others(shell: NotebookShell) -> None:
    shell.variables["workload"] = 1
    assert "workload" in shell.completed("worklo")
    assert "workload" in shell.completed("print(workl")


def test_an_object_of_a_variable_is_in_hand_until_the_variable_is_gone() -> None:
    session = Session(None, 1)
    session._hold_what_is_in_hand()
    graph = session._graph
    with session.bind_only():
        held, gone = tasks.concat(blob("x")), tasks.concat(blob("y"))
        number = gone.output._number
        del gone
        order = graph.order()
        assert order is not None
        graph.submitted(order)
    assert held.output._number not in graph.let_go()
    assert graph.builder.is_fetchable(held.output._number)
    assert not held.output.is_kept()
    assert held.output.keep().is_kept()
    assert number not in graph.let_go() or not graph.builder.is_fetchable(number)
    session.close()
