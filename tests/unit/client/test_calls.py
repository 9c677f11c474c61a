"""Calls of functions without a server: which functions make tasks, and how their arguments become inputs."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from rain.client import DataInstance, Input, InputDir, RainException, Session, blob, function, pickled, remote
from rain.client.large import LARGE_ARGUMENT_BYTES, LargeConstants
from rain.data import pickling
from rain.data.load import load_call

numpy = pytest.importorskip("numpy")


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(None, 1)
    with session.bind_only():
        yield session


@function
def read(*values: Any, **named: Any) -> Any:
    return values


def last_call(session: Session, resolve: Any = lambda position: f"@{position}") -> tuple[Any, Any]:
    """Arguments of the call that was made last, inputs in them as "@position"."""
    columns = session._graph.builder.columns
    size = columns.args_size[-1]
    return load_call(bytes(columns.args[len(columns.args) - size :]), resolve)


# ------------------------------------------------------------------ functions


def test_a_generator_function_is_refused_where_it_is_declared() -> None:
    def numbers(ctx: Any) -> Iterator[int]:
        yield 1

    async def later(ctx: Any) -> Any:
        yield 1

    for each in (numbers, later):
        for make in (remote, function):
            with pytest.raises(RainException, match=rf"{each.__name__}\(\) yields .* return that"):
                make(each)


def test_a_function_that_is_written_in_c_is_checked_when_it_runs(session: Session) -> None:
    for each in (max, int, dict, str.upper, numpy.sin, functools.partial(pow, 2)):
        assert function(each)(1).output.content_type == "cloudpickle"


def test_what_makes_tasks_already_is_not_decorated_again() -> None:
    with pytest.raises(RainException, match=r"read\(\) makes tasks already; the plain function is read\.__wrapped__"):
        remote(read)


class Scale:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    @function
    def times(self, x: int) -> int:
        return self.factor * x

    @classmethod
    @function
    def made(cls, x: int) -> Scale:
        return cls(x)


def test_a_method_makes_tasks_of_its_instance(session: Session) -> None:
    Scale(3).times(4)
    (itself, x), _ = last_call(session)
    assert (itself.factor, x) == (3, 4)
    Scale.made(5)
    (kind, x), _ = last_call(session)
    assert (kind.__name__, x) == ("Scale", 5)
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        Scale(3).times()


def test_a_method_is_no_function_of_remote() -> None:
    def run(self: Any, ctx: Any) -> bytes:
        return b""

    with pytest.raises(RainException, match=r"run\(\): .* takes the context .* is a method"):
        remote(run)


def test_a_call_that_a_task_makes_points_to_the_plain_function() -> None:
    shipped = pickling.loads(pickling.dumps(read))
    with pytest.raises(RainException, match=r"inside of a task there is none: .* read\.__wrapped__\(…\)"):
        shipped(1)
    with Session(None, 1):
        assert shipped(1).name == "read"


# ------------------------------------------------------------------ declared inputs


def test_a_declared_directory_takes_what_a_declared_input_takes() -> None:
    declared = InputDir("data", load=True)
    assert (declared.load, declared.content_type, declared.path) == (True, "dir", "data")


def test_annotations_name_what_is_local_where_the_function_is_declared(session: Session) -> None:
    loading, both = Input(load=True), ("low", "high")

    # Under `from __future__ import annotations`, as in this file, they are text.
    @remote
    def look(ctx: Any, x: loading, y: NotThere = 0) -> both:  # type: ignore # noqa: F821
        """Reads."""

    shared = pickled([1])
    task = look(shared)
    assert [label for label, _ in task.outputs.items()] == ["low", "high"]
    (x,), _ = last_call(session, lambda position: DataInstance(shared.data, content_type="pickle"))
    assert x == [1]


def test_an_object_that_stands_in_two_places_is_loaded_once(session: Session) -> None:
    @remote(inputs={"x": Input(load=True), "rest": Input(load=True)})
    def look(ctx: Any, x: Any, *rest: Any) -> None:
        """Reads."""

    shared = pickled([1])
    look(shared, shared, [shared])
    (x, y, listed), _ = last_call(session, lambda position: DataInstance(shared.data, content_type="pickle"))
    assert x == [1]
    assert x is y
    assert x is listed[0]


# ------------------------------------------------------------------ large arguments


def test_a_large_value_in_many_calls_is_one_object(session: Session) -> None:
    large = numpy.arange(100_000)
    made = [read(large, i) for i in range(3)]
    mapped = read.map([large, large])
    assert {obj for task in (*made, *mapped) for obj in task.inputs} == {made[0].inputs[0]}
    assert session.dataobj_count == 1 + len(made) + len(mapped)


def test_a_large_value_that_has_changed_is_another_object(session: Session) -> None:
    large = numpy.arange(100_000)
    before = read(large)
    large[1234] = 0
    after = read(large)
    assert before.inputs[0] is not after.inputs[0]
    assert (value_read(before)[1234], value_read(after)[1234]) == (1234, 0)


def value_read(task: Any) -> Any:
    from rain.client import decode_value

    return decode_value(task.inputs[0].data, "cloudpickle")


def test_a_large_value_that_stands_in_two_places_is_one_input(session: Session) -> None:
    large = numpy.arange(100_000)
    task = read(large, again=large)
    assert len(task.inputs) == 1
    assert last_call(session) == (("@0",), {"again": "@0"})


def test_constants_of_the_same_bytes_and_another_type_are_told_apart(session: Session) -> None:
    from rain.client.graph import Constant

    data = bytes(LARGE_ARGUMENT_BYTES)
    known, obj = LargeConstants(), blob(data)
    known.add(Constant(data, None, "argument"), obj)
    assert known.find(Constant(data, None, "argument")) is obj
    assert known.find(Constant(data, "text", "argument")) is None
    assert known.find(Constant(data + b"x", None, "argument")) is None


@dataclass
class Step:
    weights: Any
    task: Any


def test_large_arrays_beside_data_objects_become_inputs(session: Session) -> None:
    small, large = numpy.arange(10), numpy.arange(100_000)
    before = blob("before")
    task = read({"step": Step(large, before), "again": large}, small)
    assert [obj.content_type for obj in task.inputs] == ["cloudpickle", "text"]
    (given, kept), _ = last_call(session)
    assert (given["step"].weights, given["step"].task, given["again"]) == ("@0", "@1", "@0")
    assert (kept == small).all()


def test_arrays_of_objects_stay_in_the_arguments(session: Session) -> None:
    before = blob("before")
    holding = numpy.array([before] * 50_000, dtype=object)
    task = read(holding)
    assert task.inputs.data == [before]
    (given,), _ = last_call(session)
    assert set(given) == {"@0"}


def test_arguments_that_are_too_large_for_a_message_say_so(session: Session) -> None:
    too_large = pickle.dumps(None) * (5 << 20)
    with pytest.raises(RainException, match=r"make data objects of the large ones, blob\(…\)"):
        read({"data": too_large, "task": blob("before")})
