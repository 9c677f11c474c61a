"""What an attempt leaves to be read: what it printed, its debug lines, what it attached to itself and to objects."""

from __future__ import annotations

import json
import os
import sys

import msgspec
import pytest

from rain.core.ids import object_name
from rain.core.kinds import ExecuteArgs, Kind, TextWord
from rain.core.note import MAX_CAPTURED_BYTES, TaskNote
from rain.core.resources import UNIT, Request
from rain.core.spec import OutputSpec, TaskSpec
from rain.protocol.executor import Produced, TaskDone, TaskFailed
from tests.unit.executor.forkserver_bench import (
    SESSION,
    ForkserverBench,
    Reference,
    call_args,
    inline_input,
    python_spec,
)


def note_of(bench: ForkserverBench, function, *inputs, args: bytes = b"") -> TaskNote | None:
    return bench.outcome(python_spec(function), *inputs, args=args).note


def program(shell: str, outputs=(), *, stdout=None, request=None) -> tuple[TaskSpec, bytes]:
    args = ExecuteArgs(words=(TextWord(shell),), shell=True, stdout=stdout)
    return TaskSpec(kind=Kind.EXECUTE, outputs=outputs, request=request or Request()), msgspec.msgpack.encode(args)


def test_a_task_that_says_nothing_leaves_no_note(bench):
    assert note_of(bench, lambda ctx: b"") is None


def test_a_task_that_only_looks_at_its_context_leaves_no_note(bench):
    def look(ctx):
        assert ctx.spec.user == ctx.info.user == {}
        return b""

    assert note_of(bench, look) is None


def test_what_a_task_prints_is_its_own(bench):
    def speak(ctx, text):
        print(text)
        print(text * 2, file=sys.stderr)
        os.system("echo from below")
        return b""

    spec = python_spec(speak)
    tasks = [bench.task(args=call_args(text)) for text in ("a", "b")]
    executor = bench.send(spec, *tasks)
    notes = []
    while len(notes) < 2:
        notes += [done.note for done in executor.receive().done]
    assert notes == [TaskNote(stdout=f"{x}\nfrom below\n", stderr=f"{x * 2}\n") for x in ("a", "b")]
    assert note_of(bench, lambda ctx: b"") is None


def test_of_much_output_the_end_is_kept_and_the_rest_is_counted(bench):
    def shout(ctx):
        print("é" * 20_000, end="")
        print("short", file=sys.stderr)
        return b""

    note = note_of(bench, shout)
    first, rest = note.stdout.split("\n")
    assert first == f"… {40_000 - MAX_CAPTURED_BYTES} bytes cut off …"
    assert rest == "é" * (MAX_CAPTURED_BYTES // 2)
    assert note.stderr == "short\n"


def test_output_that_is_cut_within_a_character_has_no_broken_one(bench):
    def shout(ctx):
        print("é" * 20_000, end="x")
        return b""

    note = note_of(bench, shout)
    first, rest = note.stdout.split("\n")
    assert rest == "é" * (MAX_CAPTURED_BYTES // 2 - 1) + "x"
    assert first == f"… {40_001 - len(rest.encode())} bytes cut off …"


def test_a_task_that_fails_leaves_a_note_too(bench):
    def fail(ctx):
        print("so far")
        ctx.debug("step {}", 1)
        ctx.info.user["step"] = 1
        raise ValueError("no")

    ended = bench.outcome(python_spec(fail))
    assert isinstance(ended, TaskFailed)
    assert ended.note == TaskNote(debug="step 1", user=b'{"step":1}', stdout="so far\n")


def test_what_a_program_writes_to_streams_that_are_no_outputs_is_noted(bench):
    spec, args = program("echo out; echo err >&2")
    assert bench.outcome(spec, args=args).note == TaskNote(stdout="out\n", stderr="err\n")
    spec, args = program("echo out; echo err >&2", (OutputSpec(label="stdout"),), stdout=0)
    assert bench.outcome(spec, args=args).note == TaskNote(stderr="err\n")
    spec, args = program("true")
    assert bench.outcome(spec, args=args).note is None
    spec, args = program("echo out; false")
    ended = bench.outcome(spec, args=args)
    assert isinstance(ended, TaskFailed)
    assert ended.note == TaskNote(stdout="out\n")


def test_of_a_program_that_failed_also_what_was_to_become_an_output_is_noted(bench):
    outputs = (OutputSpec(label="stdout"),)
    spec, args = program("echo out; echo err >&2; kill -9 $$", outputs, stdout=0)
    ended = bench.outcome(spec, args=args)
    assert isinstance(ended, TaskFailed)
    assert ended.note == TaskNote(stdout="out\n", stderr="err\n")
    assert not list((bench.root / "stderr").glob("*.output"))
    spec, args = program("true", outputs, stdout=0)
    assert bench.outcome(spec, args=args).note is None


def test_what_is_no_text_is_noted_as_far_as_it_is(bench):
    spec, args = program(r"printf 'a\377\376b'")
    assert bench.outcome(spec, args=args).note == TaskNote(stdout="a\ufffd\ufffdb")


def test_a_task_finds_what_its_author_attached(bench):
    def look(ctx, x):
        return json.dumps([ctx.spec.user, x.spec.user, x.info.user, x.spec.id])

    given = msgspec.structs.replace(inline_input(3, b"x"), user=b'{"i":1}', spec_user=b'{"s":2}')
    task = msgspec.structs.replace(bench.task(given, args=call_args(Reference(0))), user=b'{"t":3}')
    [done] = bench.send(python_spec(look), task).receive().done
    assert json.loads(done.outputs[0].data) == [{"t": 3}, {"s": 2}, {"i": 1}, object_name(SESSION, 3)]


def test_what_is_attached_to_an_input_goes_with_it_when_it_is_returned(bench):
    def pass_on(ctx, x):
        x.info.user["seen"] = True
        return x

    given = msgspec.structs.replace(inline_input(3, b"x"), user=b'{"i":1}')
    [produced] = bench.done(python_spec(pass_on), given, args=call_args(Reference(0)))
    assert produced == Produced(1, None, same_as_input=0, user=b'{"i":1,"seen":true}')


def test_a_task_attaches_to_what_it_makes(bench):
    def make(ctx):
        made = ctx.blob("x")
        made.info.user["rows"] = 1
        return made

    assert bench.done(python_spec(make)) == (Produced(1, "text", b"x", user=b'{"rows":1}'),)


def test_what_cannot_be_attached_to_an_output_fails_the_task(bench):
    def make(ctx):
        made = ctx.blob("x")
        made.info.user["rows"] = {1}
        return made

    assert "info.user['rows']: expected what JSON can carry" in bench.failure(python_spec(make)).message


# ------------------------------------------------------------------------------------------ shares


def seen(bench: ForkserverBench, request: Request, gpus: tuple[int, ...] | None) -> list[str | None]:
    def look(ctx):
        names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
        return json.dumps([*map(os.environ.get, names), ctx.gpus])

    spec = msgspec.structs.replace(python_spec(look), request=request)
    task = msgspec.structs.replace(bench.task(), gpus=gpus)
    [done] = bench.send(spec, task).receive().done
    assert isinstance(done, TaskDone)
    return json.loads(done.outputs[0].data)


@pytest.mark.skipif("CUDA_VISIBLE_DEVICES" in os.environ, reason="the gpus of this machine are restricted")
def test_every_python_task_finds_its_own_share_in_the_environment(bench):
    two = Request(cpus=2 * UNIT)
    assert seen(bench, two, None) == ["2", None, []]
    assert seen(bench, Request(cpus=UNIT // 2), ()) == ["1", "", []]
    assert seen(bench, two, (1, 3)) == ["2", "1,3", [1, 3]]
    assert seen(bench, two, ()) == ["2", "", []]


@pytest.mark.skipif("CUDA_VISIBLE_DEVICES" in os.environ, reason="the gpus of this machine are restricted")
def test_a_program_finds_its_share(bench):
    outputs = (OutputSpec(label="stdout"),)
    spec, args = program("echo $OMP_NUM_THREADS:$CUDA_VISIBLE_DEVICES", outputs, stdout=0, request=Request(3 * UNIT))
    task = msgspec.structs.replace(bench.task(args=args), gpus=(2,))
    [done] = bench.send(spec, task).receive().done
    assert done.outputs[0].data == b"3:2\n"
