"""Python tasks: what they are given, what they may return, and how they fail."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import pickle
import sys
from pathlib import Path

import pytest

from rain.core.failure import Cause
from rain.core.kinds import PythonConfig
from rain.core.labeled import LabeledList
from rain.core.spec import OutputSpec
from rain.data.accept import accept_input
from rain.data.encode import encode_value
from rain.data.exceptions import exception_of
from rain.data.instance import DataInstance
from rain.protocol.executor import MAX_PIPE_RESULT, Produced, TaskDone
from tests.unit.executor.forkserver_bench import ONE_OUTPUT, Reference, call_args, inline_input, python_spec

LOADING = PythonConfig(with_context=False, load_inputs=True)


def run(bench, function, *inputs, args=b"", outputs=ONE_OUTPUT, config=None):
    return bench.done(python_spec(function, outputs=outputs, config=config), *inputs, args=args)


def fail(bench, function, *inputs, args=b"", outputs=ONE_OUTPUT, config=None):
    return bench.failure(python_spec(function, outputs=outputs, config=config), *inputs, args=args)


# ------------------------------------------------------------------------------------------ results


def test_bytes_are_an_output_without_a_type(bench):
    assert run(bench, lambda ctx: b"abc") == (Produced(3, None, b"abc"),)


def test_bytes_are_taken_as_what_the_output_was_planned_as(bench):
    outputs = (OutputSpec(content_type="user/x"),)
    assert run(bench, lambda ctx: bytearray(b"abc"), outputs=outputs) == (Produced(3, "user/x", b"abc"),)


def test_a_str_is_typed_text(bench):
    assert run(bench, lambda ctx: "žluť") == (Produced(6, "text", "žluť".encode()),)


def test_a_str_takes_the_encoding_that_was_planned(bench):
    outputs = (OutputSpec(content_type="text-latin1"),)
    assert run(bench, lambda ctx: "é", outputs=outputs) == (Produced(1, "text-latin1", b"\xe9"),)


def test_a_str_where_json_was_planned_fails_and_says_what_contradicts(bench):
    failure = fail(bench, lambda ctx: "[]", outputs=(OutputSpec(content_type="json"),))
    assert "'text' is no subtype of 'json'" in failure.message


def test_any_value_is_encoded_where_the_output_says_how(bench):
    [produced] = run(bench, lambda ctx: {"a": [1, 2]}, outputs=(OutputSpec(encode="json"),))
    assert produced == Produced(len('{"a": [1, 2]}'), "json", b'{"a": [1, 2]}')


def test_none_can_be_encoded(bench):
    [produced] = run(bench, lambda ctx: None, outputs=(OutputSpec(encode="pickle"),))
    assert pickle.loads(produced.data) is None


def test_a_value_that_the_encoding_does_not_take_fails_the_task(bench):
    failure = fail(bench, lambda ctx: {1, 2}, outputs=(OutputSpec(encode="json"),))
    assert "cannot be encoded as 'json'" in failure.message


@pytest.mark.parametrize("data_of", [inline_input, None], ids=["in memory", "in a file"])
def test_an_input_is_passed_on_without_a_copy(bench, data_of):
    data = b"x" * 100_000
    given = data_of(3, data, "user/a") if data_of is not None else bench.stored_input(3, data, "user/a")
    [produced] = run(bench, lambda ctx, x: x, given, args=call_args(Reference(0)))
    assert produced == Produced(100_000, "user/a", same_as_input=0)


def test_the_context_makes_instances(bench):
    def make(ctx):
        return ctx.blob(b"raw"), ctx.blob("text"), ctx.blob([1], encode="json"), ctx.pickled({2})

    raw, text, listed, pickled = run(bench, make, outputs=(OutputSpec(),) * 4)
    assert raw == Produced(3, None, b"raw")
    assert text == Produced(4, "text", b"text")
    assert listed == Produced(3, "json", b"[1]")
    assert pickle.loads(pickled.data) == {2}
    assert pickled.content_type == "pickle"


def test_the_context_encodes_text_as_its_type_says(bench):
    [produced] = run(bench, lambda ctx: ctx.blob("é", content_type="text-latin1"))
    assert produced == Produced(1, "text-latin1", b"\xe9")
    failure = fail(bench, lambda ctx: ctx.blob("ž", content_type="text-latin1"))
    assert "ctx.blob(): the text cannot be encoded as 'text-latin1'" in failure.message


def test_no_outputs_go_with_none(bench):
    assert run(bench, lambda ctx: None, outputs=()) == ()


def test_no_outputs_do_not_go_with_a_value(bench):
    assert "has no outputs" in fail(bench, lambda ctx: b"x", outputs=()).message


def test_none_where_an_output_is_declared_fails_and_says_what_to_do(bench):
    failure = fail(bench, lambda ctx: None)
    assert "returned None, but it has an output" in failure.message
    assert failure.cause is Cause.TASK


def test_a_value_of_another_type_fails_and_says_what_to_do(bench):
    failure = fail(bench, lambda ctx: 12)
    assert "a value of type int" in failure.message
    assert "encode='pickle'" in failure.message


def test_several_outputs_are_a_sequence(bench):
    outputs = (OutputSpec("a"), OutputSpec("b"))
    assert run(bench, lambda ctx: [b"1", "2"], outputs=outputs) == (Produced(1, None, b"1"), Produced(1, "text", b"2"))


def test_several_outputs_are_a_mapping_by_label(bench):
    outputs = (OutputSpec("a"), OutputSpec("b"))
    first, second = run(bench, lambda ctx: {"b": b"2", "a": b"1"}, outputs=outputs)
    assert (first.data, second.data) == (b"1", b"2")


def test_a_labeled_list_goes_by_its_labels_where_it_has_them(bench):
    outputs = (OutputSpec("a"), OutputSpec("b"))
    first, second = run(bench, lambda ctx: LabeledList([b"2", b"1"], ["b", "a"]), outputs=outputs)
    assert (first.data, second.data) == (b"1", b"2")
    first, second = run(bench, lambda ctx: LabeledList([b"1", b"2"]), outputs=outputs)
    assert (first.data, second.data) == (b"1", b"2")
    failure = fail(bench, lambda ctx: LabeledList([b"1", b"2"], ["a", "c"]), outputs=outputs)
    assert "its outputs are 'a', 'b'" in failure.message


def test_a_path_is_no_result_and_the_failure_says_what_is(bench):
    assert "return ctx.stage_file(path)" in fail(bench, lambda ctx: Path("left")).message


def test_a_directory_where_a_value_was_planned_asks_for_an_output_directory(bench):
    outputs = (OutputSpec(content_type="cloudpickle", encode="cloudpickle"),)
    failure = fail(bench, lambda ctx: DataInstance(b"", content_type="dir"), outputs=outputs)
    assert "it is a directory, and 'cloudpickle' was planned: declare an OutputDir" in failure.message


@pytest.mark.parametrize("value", [[b"1"], b"12", "12", {"a": b"1"}, {"a": b"1", "c": b""}, None, 3])
def test_what_is_not_one_value_per_output_fails_and_names_the_outputs(bench, value):
    failure = fail(bench, lambda ctx: value, outputs=(OutputSpec("a"), OutputSpec("b")))
    assert "'a', 'b'" in failure.message


def test_a_large_result_is_a_read_only_file_of_the_store(bench):
    [produced] = run(bench, lambda ctx: b"x" * (MAX_PIPE_RESULT + 1))
    path = bench.stored_result(bench.n_tasks)
    assert produced == Produced(MAX_PIPE_RESULT + 1)
    assert path.stat().st_size == MAX_PIPE_RESULT + 1
    assert path.stat().st_mode & 0o777 == 0o444


def test_a_task_that_fails_leaves_none_of_its_large_outputs(bench):
    fail(bench, lambda ctx: (b"x" * 100_000, 12), outputs=(OutputSpec(), OutputSpec()))


def test_a_staged_file_is_moved_and_one_that_is_not_returned_is_dropped(bench):
    def stage(ctx):
        for name in ("kept", "dropped"):
            Path(name).write_bytes(b"x" * 100_000)
        ctx.stage_file("dropped")
        return ctx.stage_file("kept", content_type="user/a")

    assert run(bench, stage) == (Produced(100_000, "user/a"),)
    assert bench.stored_result(bench.n_tasks).read_bytes() == b"x" * 100_000
    scratch = bench.root / "tasks" / "e1"
    assert sorted(path.name for path in scratch.rglob("*")) == ["cwd"]


def test_notes_that_cannot_travel_fail_the_task_but_hide_no_other_failure(bench):
    def note(ctx, fails):
        ctx.info.user["x"] = object()
        if fails:
            raise ValueError("the real trouble")
        return b""

    assert "expected what JSON can carry" in fail(bench, note, args=call_args(False)).message
    assert fail(bench, note, args=call_args(True)).message == "ValueError: the real trouble"


def test_a_file_outside_the_task_s_folder_is_not_staged(bench, tmp_path):
    (tmp_path / "mine").write_text("precious")
    failure = fail(bench, lambda ctx: ctx.stage_file(str(tmp_path / "mine")))
    assert "must lie in the task's folder" in failure.message
    assert (tmp_path / "mine").exists()


# ------------------------------------------------------------------------------------------ arguments


def test_inputs_arrive_where_they_stood_and_shared_ones_stay_shared(bench):
    def look(ctx, first, *, nested):
        return f"{first.get_str()} {nested['x'][1][0].get_str()} {nested['x'][0] is first}"

    args = call_args(Reference(1), nested={"x": [Reference(1), (Reference(0),)]})
    [produced] = run(bench, look, inline_input(1, b"A"), inline_input(2, b"B"), args=args)
    assert produced.data == b"B A True"


def test_inputs_arrive_as_values_where_the_function_is_a_plain_one(bench):
    outputs = (OutputSpec(encode="json"),)
    inputs = (inline_input(1, b"[1]", "json"), inline_input(2, b"x", "text"), inline_input(3, b"y"))
    args = call_args(Reference(0), Reference(1), Reference(2))
    [produced] = run(bench, lambda a, b, c: [a, b, c.decode()], *inputs, args=args, outputs=outputs, config=LOADING)
    assert json.loads(produced.data) == [[1], "x", "y"]


class Declared:
    """An argument for a parameter that says of which type its input is, as the client pickles it."""

    def __init__(self, position, content_type, load):
        self.asked = (Reference(position), content_type, load, "table")

    def __reduce__(self):
        return accept_input, self.asked


def test_an_input_is_taken_as_the_type_of_its_parameter_and_loaded_where_that_is_asked(bench):
    def look(ctx, loaded, typed):
        return f"{loaded} {typed.content_type} {type(typed).__name__}"

    inputs = (inline_input(1, b"[1]"), inline_input(2, b"x", "text"))
    args = call_args(Declared(0, "json", True), Declared(1, "text", False))
    assert run(bench, look, *inputs, args=args)[0].data == b"[1] text DataInstance"


def test_an_input_of_another_type_than_its_parameter_s_fails(bench):
    args = call_args(Declared(0, "json", False))
    failure = fail(bench, lambda ctx, a: b"", inline_input(1, b"", "text"), args=args)
    assert "argument 'table': the object's content type 'text' is no subtype of 'json'" in failure.message


def test_an_input_that_was_given_a_type_still_tells_of_its_object(bench):
    args = call_args(Declared(0, "json", False))
    [produced] = run(bench, lambda ctx, a: a.spec.id, inline_input(5, b"[1]"), args=args)
    assert produced.data == b"s7.o5"


@pytest.mark.parametrize("kind", ["in memory", "in a file"])
def test_an_input_that_was_given_a_type_is_passed_on_without_a_copy_too(bench, kind):
    given = inline_input(1, b"[1]") if kind == "in memory" else bench.stored_input(8, b"[1]")
    args = call_args(Declared(0, "json", False))
    assert run(bench, lambda ctx, a: a, given, args=args) == (Produced(3, "json", same_as_input=0),)


def test_a_large_input_is_mapped(bench):
    given = bench.stored_input(4, b"z" * 200_000)
    [produced] = run(bench, lambda ctx, x: str(x.get_bytes().count(b"z")), given, args=call_args(Reference(0)))
    assert produced.data == b"200000"


# ------------------------------------------------------------------------------------------ async def


def test_a_coroutine_function_runs_to_its_end(bench):
    async def later(ctx, x):
        await asyncio.sleep(0)
        assert inspect.iscoroutinefunction(ctx.function)
        return x.get_bytes() * 2

    [produced] = run(bench, later, inline_input(1, b"ab"), args=call_args(Reference(0)))
    assert produced.data == b"abab"


def test_a_coroutine_function_fails_with_the_user_s_frames_alone(bench):
    async def leave(ctx):
        async def inner():
            raise KeyError("x")

        await inner()

    failure = fail(bench, leave)
    assert failure.message == "KeyError: 'x'"
    assert "in inner" in failure.traceback
    assert "asyncio/" not in failure.traceback


async def _later():
    return b""


@pytest.mark.parametrize(
    ("made", "advice"), [(lambda: (i for i in "ab"), "return list(…) of it"), (_later, "`await` it")]
)
def test_a_result_that_has_not_run_yet_fails_and_says_what_to_do(bench, made, advice):
    assert advice in fail(bench, lambda ctx: made()).message


# ------------------------------------------------------------------------------------------ failing


def test_who_writes_to_a_shared_array_is_told_to_copy_it(bench):
    def change(array):
        array += 1

    numpy = pytest.importorskip("numpy")
    given = bench.stored_input(9, encode_value(numpy.ones(20_000), "cloudpickle"), "cloudpickle")
    failure = fail(bench, change, given, args=call_args(Reference(0)), config=LOADING)
    assert failure.message == "ValueError: output array is read-only"
    assert "a = a.copy()" in failure.traceback


def test_an_exception_arrives_with_its_type_the_user_s_frames_and_itself(bench):
    def divide(ctx):
        return inner(1)

    def inner(value):
        return value // 0

    failure = fail(bench, divide)
    assert failure.message == "ZeroDivisionError: integer division or modulo by zero"
    assert failure.exception_type == "ZeroDivisionError"
    assert "in inner" in failure.traceback
    assert "rain/executor" not in failure.traceback
    error = exception_of(failure)
    assert isinstance(error, ZeroDivisionError)
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert frames == ["divide", "inner"]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_whatever_a_task_raises_fails_that_task_only(bench, error):
    def leave(ctx):
        raise error("bye")

    before = bench.executors[0].pid if bench.executors else None
    assert fail(bench, leave).exception_type == error.__name__
    [produced] = run(bench, lambda ctx: str(os.getpid()))
    assert before in (None, int(produced.data))


def test_an_exception_that_cannot_be_pickled_arrives_as_text(bench):
    class Unpicklable(Exception):
        def __reduce__(self):
            raise TypeError("never")

    def leave(ctx):
        raise Unpicklable("what happened")

    failure = fail(bench, leave)
    assert failure.pickled is None
    assert failure.message.endswith("Unpicklable: what happened")


def test_an_exception_whose_text_fails_still_fails_the_task(bench):
    class Mute(Exception):
        def __str__(self):
            raise ValueError("no text")

    def leave(ctx):
        raise Mute

    assert "Mute" in fail(bench, leave).message


def test_text_that_is_no_unicode_reaches_the_user(bench):
    def leave(ctx):
        raise ValueError("\udcff")

    assert fail(bench, leave).message == "ValueError: ?"


def test_arguments_that_cannot_be_unpickled_fail_the_task(bench):
    failure = fail(bench, lambda ctx, a: b"", args=b"\x80\x05rubbish")
    assert failure.exception_type == "UnpicklingError"
    assert "while the arguments of" in failure.traceback


def test_a_function_that_cannot_be_unpickled_fails_every_task_of_it(bench):
    import msgspec

    spec = msgspec.structs.replace(python_spec(test_no_outputs_go_with_none), body=b"rubbish")
    for _ in range(2):
        assert "is everything it imports installed there?" in bench.failure(spec).traceback


def test_the_failure_has_the_end_of_what_this_task_wrote_to_stderr(bench):
    def talk(ctx):
        print("before", file=sys.stderr)
        raise ValueError

    assert fail(bench, talk).stderr == "before\n"

    def silent(ctx):
        raise ValueError

    assert fail(bench, silent).stderr == ""


def test_debug_lines_go_with_the_result_and_with_the_failure(bench):
    def talk(ctx):
        ctx.debug("a {}", 1)
        ctx.debug("{braces}")
        ctx.info.user["n"] = 3
        return b""

    ended = bench.outcome(python_spec(talk))
    assert isinstance(ended, TaskDone)
    assert ended.note.debug == "a 1\n{braces}"
    assert json.loads(ended.note.user) == {"n": 3}

    def talk_and_fail(ctx):
        ctx.debug("last words")
        raise ValueError

    assert fail(bench, talk_and_fail).debug == "last words"


# ------------------------------------------------------------------------------------------ surroundings


def test_every_task_starts_in_an_empty_folder(bench):
    def litter(ctx):
        Path("a/b").mkdir(parents=True)
        Path("a/b/c").write_text("x")
        return b""

    def wander(ctx):
        os.chdir("/")
        return b""

    def vanish(ctx):
        Path.cwd().rmdir()
        return b""

    def look(ctx):
        return f"{list(Path().iterdir())}{Path.cwd()}"

    home = str(bench.root / "tasks" / "e1" / "cwd")
    for messy in (litter, wander, vanish, lambda ctx: Path().chmod(0) or b""):
        run(bench, messy)
        assert run(bench, look)[0].data.decode() == "[]" + home


def test_the_context_knows_the_task(bench):
    def look(ctx, x):
        return f"{ctx.spec.name} {ctx.spec.id} {ctx.cpus} {ctx.spec.inputs} {ctx.function.__name__}"

    [produced] = run(bench, look, inline_input(5, b""), args=call_args(Reference(0)))
    assert produced.data.decode() == f"look s7.t{bench.n_tasks} 1 ('s7.o5',) look"


def test_the_function_is_unpickled_once_for_all_its_tasks(bench):
    def count(ctx):
        ctx.function.calls = getattr(ctx.function, "calls", 0) + 1
        return str(ctx.function.calls)

    executor = bench.send(python_spec(count), *[bench.task() for _ in range(3)])
    results = []
    while len(results) < 3:
        results += [done.outputs[0].data for done in executor.receive().done]
    assert results == [b"1", b"2", b"3"]


def test_secrets_of_the_worker_are_not_in_the_environment(bench):
    [produced] = run(bench, lambda ctx: str([name for name in os.environ if name.startswith("RAIN_")]))
    assert produced.data == b"[]"


def test_a_forked_child_that_comes_back_reports_nothing(bench):
    def split(ctx):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return b"parent"
        raise ValueError("the child's own trouble")

    assert run(bench, split)[0].data == b"parent"
    assert run(bench, lambda ctx: b"next")[0].data == b"next"
