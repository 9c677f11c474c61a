"""External programs: their folder, their files, and how their failures read."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec
import pytest

from rain.core.failure import Cause
from rain.core.kinds import ExecuteArgs, InputWord, Kind, OutputWord, PythonConfig, TextWord
from rain.core.resources import Request
from rain.core.spec import OutputSpec, TaskSpec
from rain.data.function import dump_function
from rain.protocol.executor import MAX_PIPE_RESULT, Produced
from tests.unit.executor.forkserver_bench import inline_input

STDOUT = OutputSpec("stdout")
LARGE = MAX_PIPE_RESULT + 1
PLAIN = msgspec.msgpack.encode(PythonConfig(with_context=False))


def program(words, *outputs, **args):
    """The spec and the arguments; texts among the words are words as they stand."""
    words = tuple(TextWord(word) if isinstance(word, str) else word for word in words)
    if outputs and outputs[0] is STDOUT:
        args.setdefault("stdout", 0)
    spec = TaskSpec(kind=Kind.EXECUTE, outputs=outputs)
    return spec, msgspec.msgpack.encode(ExecuteArgs(words, **args))


def run(bench, words, *outputs, inputs=(), **args):
    spec, encoded = program(words, *outputs, **args)
    return bench.done(spec, *inputs, args=encoded)


def fail(bench, words, *outputs, inputs=(), **args):
    spec, encoded = program(words, *outputs, **args)
    return bench.failure(spec, *inputs, args=encoded)


@pytest.fixture(autouse=True)
def nothing_is_left(bench):
    """Every test leaves the executor's folder as it was."""
    yield
    left = {str(path.relative_to(bench.root / "tasks" / "e1")) for path in (bench.root / "tasks" / "e1").rglob("*")}
    assert left <= {"cwd", "program", "program/work", "program/stream1", "program/stream2"}


# ------------------------------------------------------------------------------------------ inputs


@pytest.mark.parametrize("kind", ["in memory", "in a file"])
def test_an_input_is_a_file_whose_name_stands_among_the_words(bench, kind):
    data = b"a line with something\nanother\n"
    given = inline_input(1, data) if kind == "in memory" else bench.stored_input(1, data)
    [produced] = run(bench, ["grep", "something", InputWord(0)], STDOUT, inputs=[given])
    assert produced == Produced(22, None, b"a line with something\n")


def test_an_input_is_the_store_s_own_file(bench):
    given = bench.stored_input(2, b"x" * 1000)
    [produced] = run(bench, ["stat", "-c", "%i %A", InputWord(0, path="a/b")], STDOUT, inputs=[given])
    assert produced.data.decode().split() == [str(Path(given.path).stat().st_ino), "-r--r--r--"]
    assert Path(given.path).stat().st_nlink == 1


def test_inputs_lie_where_they_were_put_and_the_folder_has_nothing_else(bench):
    words = ["find", ".", "-type", "f"]
    files = (InputWord(0, path="d/x"), InputWord(1, path="y"), InputWord(0, path="z"))
    inputs = [inline_input(1, b"1"), inline_input(2, b"2")]
    [produced] = run(bench, words, STDOUT, inputs=inputs, files=files)
    assert sorted(produced.data.split()) == [b"./d/x", b"./y", b"./z"]


def test_a_program_may_write_to_a_copy_of_its_own(bench):
    given = bench.stored_input(3, b"before")
    words = ["echo after >", InputWord(0, path="f", write=True), "; cat f"]
    [produced] = run(bench, words, STDOUT, inputs=[given], shell=True)
    assert produced.data == b"after\n"
    assert Path(given.path).read_bytes() == b"before"


def test_a_program_that_changes_its_input_fails_and_is_told_how_to_get_a_copy(bench):
    given = bench.stored_input(4, b"before")
    words = ["chmod +w", InputWord(0, path="f"), "; echo after > f"]
    failure = fail(bench, words, inputs=[given], shell=True)
    assert "changed its input 'f'" in failure.message
    assert "Input(write=True)" in failure.message
    assert not Path(given.path).exists(), "nobody may read what was changed"


@pytest.mark.parametrize("path", ["../x", "/tmp/x", "a/../../x", ""])
def test_paths_that_lead_out_of_the_folder_are_refused(bench, path):
    failure = fail(bench, ["true"], inputs=[inline_input(1, b"")], files=(InputWord(0, path=path),))
    assert "must be relative and stay below the task's folder" in failure.message


def test_two_inputs_cannot_have_one_path(bench):
    files = (InputWord(0, path="x"), InputWord(1, path="x"))
    failure = fail(bench, ["true"], inputs=[inline_input(1, b""), inline_input(2, b"")], files=files)
    assert "two inputs are mapped to the same path 'x'" in failure.message


@pytest.mark.parametrize("kind", ["in memory", "in a file"])
def test_an_input_is_standard_input(bench, kind):
    given = inline_input(1, b"abc") if kind == "in memory" else bench.stored_input(5, b"abc")
    [produced] = run(bench, ["wc", "-c"], STDOUT, inputs=[given], stdin=InputWord(0))
    assert produced.data == b"3\n"


def test_standard_input_is_empty_without_one(bench):
    assert run(bench, ["cat"], STDOUT)[0].data == b""


# ------------------------------------------------------------------------------------------ outputs


def test_outputs_are_collected_from_their_paths(bench):
    outputs = (OutputSpec("a", path="deep/a"), OutputSpec("b", "text", path="b"))
    words = ["printf 1 >", OutputWord(0), "; printf 22 >", OutputWord(1)]
    assert run(bench, words, *outputs, shell=True) == (Produced(1, None, b"1"), Produced(2, "text", b"22"))


def test_standard_error_can_be_an_output(bench):
    assert run(bench, ["echo oops >&2"], OutputSpec("stderr"), shell=True, stderr=0)[0].data == b"oops\n"


@pytest.mark.parametrize("output", [STDOUT, OutputSpec("f")], ids=["stdout", "file"])
def test_a_large_output_becomes_a_read_only_file_of_the_store(bench, output):
    command = f"head -c {LARGE} /dev/zero" + ("" if output is STDOUT else " > f; chmod 0 f")
    assert run(bench, [command], output, shell=True) == (Produced(LARGE),)
    path = bench.stored_result(bench.n_tasks)
    assert path.stat().st_size == LARGE
    assert path.stat().st_mode & 0o7777 == 0o444


def test_an_output_at_its_input_s_path_that_nobody_touched_is_the_input(bench):
    given = bench.stored_input(6, b"same", "user/a")
    files = (InputWord(0, path="f"),)
    assert run(bench, ["true"], OutputSpec(path="f"), inputs=[given], files=files) == (
        Produced(4, "user/a", same_as_input=0),
    )


def test_an_output_at_its_input_s_path_that_was_replaced_is_new(bench):
    given = bench.stored_input(7, b"same")
    files = (InputWord(0, path="f"),)
    command = "rm -f f; printf new > f"
    [produced] = run(bench, [command], OutputSpec(path="f"), inputs=[given], files=files, shell=True)
    assert produced.data == b"new"
    assert Path(given.path).read_bytes() == b"same"


def test_a_missing_output_is_named_with_what_is_there_instead(bench):
    failure = fail(bench, ["touch", "resutl"], OutputSpec("result", path="result"))
    assert failure.message == (
        "the program made no output 'result': there is no file 'result' in its folder, which has 'resutl'."
    )


def test_a_missing_output_directory_is_called_a_folder(bench):
    failure = fail(bench, ["touch", "resutl"], OutputSpec("res", path="res", is_directory=True))
    assert "there is no folder 'res' in its folder" in failure.message


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("ln -s /etc/passwd f", "leads out of the task's folder"),
        ("ln -s / d; ln -s d/etc/passwd f", "leads out of the task's folder"),
        ("mkfifo f", "a device, pipe or socket"),
        ("mkdir f; mkfifo f/pipe", "named pipe"),
        ("mkdir f; ln -s /etc/passwd f/link", "leads out of the directory"),
        ("ln -s nothing f", "/work/nothing', where nothing is"),
        ("ln -s ../../x f", "/x', where nothing is"),
    ],
)
def test_what_is_no_regular_file_of_the_folder_is_no_output(bench, command, complaint):
    assert complaint in fail(bench, [command], OutputSpec(path="f"), shell=True).message


def test_a_link_inside_the_folder_is_followed(bench):
    assert run(bench, ["printf 1 > g; ln -s g f"], OutputSpec(path="f"), shell=True)[0].data == b"1"


# ------------------------------------------------------------------------------------------ running


def test_without_a_shell_nothing_is_expanded(bench):
    assert run(bench, ["echo", "$HOME *", "'a'"], STDOUT)[0].data == b"$HOME * 'a'\n"


def test_the_environment_is_the_worker_s_without_secrets_and_with_what_was_added(bench):
    words = ["env"]
    [produced] = run(bench, words, STDOUT, env=(("ADDED", "1"),))
    names = dict(line.split("=", 1) for line in produced.data.decode().splitlines())
    assert names["ADDED"] == "1"
    assert names["PATH"] == os.environ["PATH"]
    assert not [name for name in names if name.startswith("RAIN_")]


def test_programs_see_their_share_of_cpus(bench):
    spec, args = program(["sh", "-c", "echo $OMP_NUM_THREADS"], STDOUT)
    spec = msgspec.structs.replace(spec, request=Request(cpus=30_000))
    assert bench.done(spec, args=args)[0].data == b"3\n"


def test_a_program_leads_its_own_process_group_and_dies_of_a_broken_pipe(bench):
    [produced] = run(bench, ["yes | head -n 1; cut -d' ' -f 1,5 /proc/$$/stat"], STDOUT, shell=True)
    answer, own = produced.data.decode().splitlines()
    assert answer == "y"
    pid, group = own.split()
    assert pid == group


def test_what_a_program_leaves_running_is_ended_with_it(bench):
    command = "setsid sleep 1000 & echo $!; sleep 1000 & echo $!; (setsid sh -c 'sleep 1000 & echo $!')"
    [produced] = run(bench, [command], STDOUT, shell=True)
    pids = [int(line) for line in produced.data.split()]
    assert len(pids) == 3
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


# ------------------------------------------------------------------------------------------ failing


def test_a_status_other_than_zero_fails_with_the_end_of_stderr(bench):
    failure = fail(bench, ["seq 10000 >&2; echo the end >&2; exit 3"], shell=True)
    assert "exited with status 3" in failure.message
    assert failure.message.endswith("the end")
    assert failure.stderr.endswith("the end\n")
    assert len(failure.stderr) == 2048


def test_grep_that_finds_nothing_fails_with_its_name_and_what_helps(bench):
    failure = fail(bench, ["grep", "x", InputWord(0)], STDOUT, inputs=[inline_input(1, b"")])
    assert failure.message == (
        "program 'grep' exited with status 1 and said nothing on its standard error; if that is no error of this "
        "program, as of a grep that finds nothing, append `|| true` to its line, with shell=True"
    )
    assert failure.cause is Cause.TASK


def test_only_a_silent_status_1_is_taken_for_an_answer(bench):
    assert fail(bench, ["exit 2"], shell=True).message == "program 'exit 2' exited with status 2"
    assert "|| true" not in fail(bench, ["echo no >&2; exit 1"], shell=True).message
    assert run(bench, ["grep x /dev/null || true"], STDOUT, shell=True)[0].data == b""


def test_a_killed_program_names_the_signal(bench):
    failure = fail(bench, ["sh", "-c", "kill -SEGV $$"])
    assert f"was killed by signal {signal.SIGSEGV.value} (SIGSEGV)" in failure.message


def test_a_missing_program_is_named_with_the_path_that_was_searched(bench):
    failure = fail(bench, ["svm-trian", "x"])
    assert "program 'svm-trian' was not found on the worker's PATH" in failure.message
    first = os.environ["PATH"].split(":")[0]
    assert f"({first}" in failure.message
    assert len(failure.message) < 400


def test_a_missing_program_of_the_folder_is_named(bench):
    assert "program './run' was not found" in fail(bench, ["./run"]).message


def test_a_program_that_is_not_executable_says_so(bench):
    files = (InputWord(0, path="run"),)
    failure = fail(bench, ["./run"], inputs=[inline_input(1, b"#!/bin/sh\n")], files=files)
    assert "program './run' is not executable" in failure.message


def test_a_missing_interpreter_is_said(bench):
    command = "printf '#!/no/such/thing\\n' > run; chmod +x run"
    [produced] = run(bench, [command], OutputSpec(path="run"), shell=True)
    script = inline_input(1, produced.data)
    failure = fail(
        bench, ["sh", "-c", "cp in run; chmod +x run; exec ./run"], inputs=[script], files=(InputWord(0, "in"),)
    )
    assert "exited with status" in failure.message


def test_a_word_with_a_nul_byte_fails_the_task(bench):
    assert "cannot be started" in fail(bench, ["echo", "a\0b"]).message


@pytest.mark.parametrize("more", [{"env": (("X", "y" * (1 << 18)),)}, {}])
def test_more_words_than_linux_takes_are_said_with_what_takes_more(bench, more):
    words = ["echo"] if more else ["echo", *["x" * 1000] * 5000]
    assert "Argument list too long; Linux takes 128 KiB per word" in fail(bench, words, **more).message


@pytest.mark.parametrize(
    "command",
    ["rm -r $PWD", "chmod 0 .", "touch ../x", "mv ../work ../x", "mkdir -p a/b; touch a/b/c; chmod 0 a/b"],
)
def test_whatever_a_program_does_to_its_folder_the_next_one_finds_an_empty_one(bench, command):
    spec, args = program([command], shell=True)
    bench.outcome(spec, args=args)
    assert run(bench, ["ls", "-a"], STDOUT)[0].data == b".\n..\n"


def test_a_folder_that_was_replaced_by_a_link_is_not_emptied_through_it(bench, tmp_path):
    (tmp_path / "mine").write_text("precious")
    run(bench, [f"cd ..; rmdir work; ln -s {tmp_path} work"], shell=True)
    assert run(bench, ["ls", "-a"], STDOUT)[0].data == b".\n..\n"
    assert (tmp_path / "mine").exists()


def test_the_executor_lives_after_all_this(bench):
    assert run(bench, ["echo", "alive"], STDOUT)[0].data == b"alive\n"


# ------------------------------------------------------------------------------------------ adversaries


def test_an_input_that_a_failing_program_changed_is_removed_too(bench):
    given = bench.stored_input(8, b"before")
    failure = fail(bench, ["chmod +w", InputWord(0, path="f"), "; echo after > f; exit 3"], inputs=[given], shell=True)
    assert "exited with status 3" in failure.message
    assert not Path(given.path).exists(), "nobody may read what was changed"


def test_an_input_that_is_gone_is_no_fault_of_the_task(bench):
    given = bench.stored_input(9, b"x")
    Path(given.path).unlink()
    failure = fail(bench, ["cat", InputWord(0)], STDOUT, inputs=[given])
    assert failure.cause is Cause.INPUT
    assert "is not on the worker any more" in failure.message


def test_an_output_that_is_also_somebody_else_s_file_is_copied_and_that_file_left_alone(bench, tmp_path):
    own = bench.root / "own"
    own.write_bytes(bytes(LARGE))
    own.chmod(0o640)
    assert run(bench, [f"ln {own} f"], OutputSpec(path="f"), shell=True) == (Produced(LARGE),)
    assert own.stat().st_mode & 0o777 == 0o640
    assert own.stat().st_ino != bench.stored_result(bench.n_tasks).stat().st_ino
    own.unlink()


def test_what_a_python_task_did_to_its_process_does_not_reach_the_next_program(bench):
    def spoil() -> bytes:
        os.umask(0o777)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.chdir("/")
        return b""

    bench.done(TaskSpec(Kind.PYTHON, body=dump_function(spoil), config=PLAIN, outputs=(OutputSpec(),)))
    words = ["umask; grep -E 'SigBlk|SigIgn' /proc/self/status; touch made"]
    [produced] = run(bench, words, STDOUT, shell=True)
    umask, blocked, ignored = produced.data.decode().splitlines()
    assert umask == "0077"
    assert int(blocked.split()[1], 16) == 0
    # Signals 32 and 33 are those of the C library itself.
    assert int(ignored.split()[1], 16) & ~(0b11 << 31) == 0


def test_a_program_that_removes_all_it_finds_harms_no_other(bench):
    command = f"rm -rf {bench.root}/tasks/*"
    run(bench, [command], shell=True)
    assert run(bench, ["pwd"], STDOUT)[0].data.decode().strip() == f"{bench.root}/tasks/e1/program/work"


@pytest.mark.parametrize("path", ["x" * 300, "x/" * 3000 + "x", "nul\0"])
def test_paths_that_no_file_system_takes_fail_their_task_only(bench, path):
    inputs = [inline_input(1, b"")]
    assert fail(bench, ["true"], inputs=inputs, files=(InputWord(0, path=path),)).cause is Cause.TASK
    assert run(bench, ["echo", "fine"], STDOUT)[0].data == b"fine\n"
