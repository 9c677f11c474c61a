"""Task arrays without a server: what `map` writes into the graph, views of it, and every refusal."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from itertools import accumulate, count, pairwise
from typing import Any

import pytest

from rain.client import (
    DataInstance,
    Input,
    Program,
    RainException,
    RainWarning,
    Session,
    Task,
    blob,
    function,
    remote,
    tasks,
)
from rain.client.arrays import ObjectArray, TaskArray
from rain.client.handles import find_task
from rain.client.mapping import CHUNK, is_plain
from rain.core.ids import object_name
from rain.data.load import load_call


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(None, 1)
    with session.bind_only():
        yield session


@function
def add(a: Any, b: Any = 0, *rest: Any, **named: Any) -> Any:
    return a


@remote
def look(ctx: Any, a: Any, b: Any = 0) -> bytes:
    return b""


@remote(outputs=["x", "y"])
def two(ctx: Any, a: Any) -> Any:
    return b"", b""


def calls(session: Session) -> list[tuple[Any, Any, list[str]]]:
    """Per task that is not submitted: positional and keyword arguments, inputs in them as "@position", and inputs."""
    columns = session._graph.builder.columns
    found = []
    starts = accumulate(columns.n_inputs, initial=0)
    ends = accumulate(columns.args_size, initial=0)
    for (first, last), (begin, end) in zip(pairwise(starts), pairwise(ends), strict=True):
        args, kwargs = load_call(bytes(columns.args[begin:end]), lambda position: f"@{position}")
        found.append((args, kwargs, [object_name(1, number) for number in columns.inputs[first:last]]))
    return found


# ------------------------------------------------------------------ what is written


def test_an_array_is_what_as_many_calls_would_be(session: Session) -> None:
    values = [1, "two", (3, [4.0, {"five": b"6"}]), None, True]
    mapped = add.map(values)
    other = Session(None, 1)
    with other.bind_only():
        single = [add(value) for value in values]
    assert calls(session) == calls(other)
    ours, theirs = session._graph.builder, other._graph.builder
    for name in ("spec", "first_output", "n_inputs", "inputs"):
        assert getattr(ours.columns, name) == getattr(theirs.columns, name), name
    assert (ours.flags, ours.specs, len(ours.places)) == (theirs.flags, theirs.specs, len(theirs.places))
    assert session._graph.specs == other._graph.specs
    assert mapped.ids == [task.id for task in single]
    assert mapped.output.ids == [task.output.id for task in single]


def test_several_iterables_go_along_and_named_values_are_the_same_for_all(session: Session) -> None:
    add.map(iter("ab"), range(2), named="same")
    assert calls(session) == [(("a", 0), {"named": "same"}, []), (("b", 1), {"named": "same"}, [])]


def test_an_array_passes_element_by_element(session: Session) -> None:
    first = add.map([1, 2, 3])
    add.map(first, [7, 8, 9])
    add.map(first.output[::-1])
    assert calls(session)[3:6] == [
        (("@0", 7), {}, ["s1.o0"]),
        (("@0", 8), {}, ["s1.o1"]),
        (("@0", 9), {}, ["s1.o2"]),
    ]
    assert [inputs for _, _, inputs in calls(session)[6:]] == [["s1.o2"], ["s1.o1"], ["s1.o0"]]


def test_the_same_array_twice_is_read_twice_by_each(session: Session) -> None:
    first = add.map([1, 2])
    second = add.map(first, first, named=first)
    assert calls(session)[3] == (("@2", "@3"), {"named": ["@0", "@1"]}, ["s1.o0", "s1.o1", "s1.o1", "s1.o1"])
    assert second[1].inputs.data == [first.output[0], first.output[1], first.output[1], first.output[1]]


def test_objects_inside_elements_become_inputs(session: Session) -> None:
    a, b, task = blob("a"), blob("b"), tasks.concat()
    mapped = add.map([1, [a, {"k": b}], task, a], named=b)
    assert calls(session)[1:] == [
        ((1,), {"named": "@0"}, [b.id]),
        ((["@1", {"k": "@0"}],), {"named": "@0"}, [b.id, a.id]),
        (("@1",), {"named": "@0"}, [b.id, task.output.id]),
        (("@1",), {"named": "@0"}, [b.id, a.id]),
    ]
    assert [each.inputs.data for each in mapped] == [[b], [b, a], [b, task.output], [b, a]]


def test_objects_are_found_behind_many_plain_elements(session: Session) -> None:
    a = blob("a")
    mapped = add.map([*range(CHUNK), a, *range(CHUNK)])
    assert len(mapped) == 2 * CHUNK + 1
    assert mapped[CHUNK].inputs.data == [a]
    assert mapped[CHUNK - 1].inputs.data == mapped[CHUNK + 1].inputs.data == []
    made = calls(session)
    assert [inputs for _, _, inputs in made if inputs] == [[a.id]]
    assert made[-1] == ((CHUNK - 1,), {}, [])


def test_instances_among_elements_become_constants(session: Session) -> None:
    instance = DataInstance(b"[1]", content_type="json")
    mapped = look.map([1, [instance]], b=instance)
    assert [obj.data for obj in mapped[1].inputs] == [b"[1]"]
    again = look.map([DataInstance(b"x"), DataInstance(b"y")])
    assert [[obj.data for obj in task.inputs] for task in again] == [[b"x"], [b"y"]]


def test_a_large_named_value_becomes_one_object_for_all(session: Session) -> None:
    mapped = add.map([1, 2, 3], named=list(range(10_000)))
    assert {task.inputs[0] for task in mapped} == {mapped[0].inputs[0]}
    assert mapped[0].inputs[0].content_type == "cloudpickle"
    assert len(session._graph.builder.columns.args) < 1000
    assert session.dataobj_count == 4


def test_a_named_value_that_holds_objects_keeps_its_structure(session: Session) -> None:
    a = blob("a")
    add.map([1, 2], named={"deep": [a]})
    assert calls(session) == [((i,), {"named": {"deep": ["@0"]}}, [a.id]) for i in (1, 2)]


def test_large_elements_of_functions_become_objects(session: Session) -> None:
    mapped = add.map([b"x" * (300 << 10), b"small"])
    assert [len(task.inputs) for task in mapped] == [1, 0]


def test_an_array_as_an_argument_is_a_list_of_inputs(session: Session) -> None:
    array = add.map(range(3))
    a = blob("a")
    task = add(array.output, [a, array[1:]], named=array[2])
    args, kwargs, inputs = calls(session)[-1]
    assert (args, kwargs) == ((["@0", "@1", "@2"], ["@3", ["@4", "@5"]]), {"named": "@6"})
    assert inputs == ["s1.o0", "s1.o1", "s1.o2", a.id, "s1.o1", "s1.o2", "s1.o2"]
    assert task.inputs.data[:3] == list(array.output)
    joined = tasks.concat(array.output)
    assert joined.inputs.data == list(array.output)
    assert tasks.concat(a, array, a).inputs.data == [a, *array.output, a]


def test_declared_inputs_hold_for_elements_that_are_objects(session: Session) -> None:
    @remote(inputs={"a": Input(load=True)})
    def loads(ctx: Any, a: Any, b: Any = 0) -> bytes:
        return b""

    loads.map(add.map([1, 2]), b=3)
    data = bytes(session._graph.builder.columns.args)
    assert data.count(b"accept_input") == 2


def test_options_hold_for_all_and_outputs_have_labels(session: Session) -> None:
    mapped = two.map([1, 2], name="a/b", cpus=2, outputs=[None, "z"])
    assert mapped.name == "a/b"
    assert mapped[1].spec.resources == {"cpus": 2}
    assert mapped.outputs["x"].ids == ["s1.o0", "s1.o2"]
    assert mapped.outputs["z"].ids == ["s1.o1", "s1.o3"]
    assert mapped.outputs["z"][1] is mapped[1].outputs["z"]
    with pytest.raises(RainException, match="have 2 outputs each"):
        mapped.output  # noqa: B018


def test_a_program_is_mapped_over_its_labels(session: Session) -> None:
    program = Program(["cat", Input("a"), Input("b"), blob("c")], stdout=True)
    own = blob("b")
    sources = add.map([1, 2])
    mapped = program.map(a=sources, b=own, name="cats")
    constant = mapped[0].inputs[2]
    assert [task.inputs.data for task in mapped] == [[obj, own, constant] for obj in sources.output]
    listed = program.map([{"a": own, "b": obj} for obj in sources.output])
    assert [task.inputs.data for task in listed] == [[own, obj, constant] for obj in sources.output]
    assert program.map([{"a": own}, {"a": constant}], b=own)[1].inputs.data == [constant, own, constant]
    assert mapped.name == "cats"
    assert mapped.outputs["stdout"].ids == mapped.output.ids


# ------------------------------------------------------------------ views


def test_arrays_are_indexed_sliced_and_gone_through(session: Session) -> None:
    array = add.map(range(10))
    assert (len(array), len(array[2:4]), len(array.output[::3])) == (10, 2, 4)
    assert array[3] is array[3] is array[2:][1] is array[::-1][6]
    assert isinstance(array[3], Task)
    assert array[-1].id == "s1.t9"
    assert array.output[3] is array[3].output
    assert [task.id for task in array[::-4]] == array[::-4].ids == ["s1.t9", "s1.t5", "s1.t1"]
    assert array[8:][::-1].output.ids == ["s1.o9", "s1.o8"]
    with pytest.raises(IndexError, match="there are 10 tasks, numbered from 0; found 10"):
        array[10]
    with pytest.raises(TypeError, match="indexed by numbers and slices"):
        array["x"]  # type: ignore[call-overload]


def test_handles_are_made_on_demand_and_found_again(session: Session) -> None:
    array = add.map(range(1000))
    assert find_task(session, 7) is None
    for task in array:
        last = task
    assert last is array[999]
    gc.collect()
    assert find_task(session, 7) is None
    array[7]
    assert find_task(session, 7) is array[7]


def test_arrays_are_shown_briefly(session: Session) -> None:
    array = add.map(range(1000))
    assert repr(array) == "<TaskArray 1000 tasks s1.t0 … s1.t999 'add'>"
    assert repr(array[5:6]) == "<TaskArray 1 task s1.t5 'add'>"
    assert repr(array.output[:0]) == "<ObjectArray 0 objects>"
    assert repr(two.map([1]).outputs["y"]) == "<ObjectArray 1 object s1.o1001 'y'>"


def test_keeping_is_for_all_or_for_a_slice(session: Session) -> None:
    array = add.map(range(6))
    assert array.output[1::2].keep().is_kept()
    assert not array.output.is_kept()
    assert [obj.is_kept() for obj in array.output] == [False, True] * 3
    array.keep_outputs()
    assert array.output.is_kept()
    array.output[::-1][:2].unkeep()
    assert [obj.is_kept() for obj in array.output] == [True] * 4 + [False] * 2
    array[4].output.keep()
    session.unkeep([array.output[:2], array[4]])
    assert [obj.is_kept() for obj in array.output] == [False, False, True, True, False, False]


def test_states_are_counted(session: Session) -> None:
    array = add.map(range(3))
    assert array.states() == array.output.states() == {None: 3}


def test_no_elements_make_an_empty_array(session: Session) -> None:
    array = add.map([])
    assert isinstance(array, TaskArray)
    assert isinstance(array.output, ObjectArray)
    assert (len(array), list(array), array.ids, array.states(), session.task_count) == (0, [], [], {}, 0)
    assert array.keep_outputs().output.is_kept()
    assert len(add.map(array)) == 0
    assert calls(session) == []
    add(array)
    assert calls(session) == [(([],), {}, [])]


def test_constants_and_arrays_are_cut_into_parts_in_the_order_of_making(session: Session) -> None:
    add.map([blob("x"), DataInstance(b"y")])
    look.map(add.map(range(3)))
    order = session._graph.order()
    assert order is not None
    assert list(order.columns.first_output) == [2, 3, 4, 5, 6, 7, 8, 9]


# ------------------------------------------------------------------ refusals

LOCK = threading.Lock()

REFUSALS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (add.map, TypeError, r"add\.map\(\) needs an iterable"),
    (lambda: add.map(3), RainException, r"expected an iterable with one value per task, found int; to give the same"),
    (lambda: add.map(blob("x")), RainException, r"expected an iterable .* found DataObject"),
    (lambda: add.map([1, 2], [1]), RainException, r"iterable number 2 ends after 1, number 1 goes on"),
    (lambda: add.map([1], count()), RainException, r"iterable number 1 ends after 1, number 2 goes on"),
    (lambda: look.map(add.map([1]), [1, 2]), RainException, r"number 1 ends after 1"),
    (lambda: look.map([1], [2], [3]), TypeError, "too many positional"),
    (lambda: look.map([1], c=2), TypeError, "unexpected keyword argument 'c'"),
    (lambda: look.map(b=2), TypeError, "needs an iterable"),
    (lambda: look.map(two.map([1])), RainException, "have 2 outputs each"),
    (lambda: look.map([1, b"x" * (300 << 10)]), RainWarning, r"look\.map\(\), element 1: Pickled object a length"),
    (lambda: look.map([1], b=b"x" * (300 << 10)), RainWarning, r"Pickled object b length"),
    (lambda: add.map([1, LOCK]), RainException, r"add\.map\(\), element 1: .*cannot pickle"),
    (lambda: add.map([1], named=LOCK), RainException, "cannot pickle"),
    (lambda: add.map([blob("x", session=Session(None, 2))]), RainException, "belongs to another session"),
    (lambda: tasks.store(add.map([1]), "/x"), RainException, r"expected a data object .* found TaskArray: pass one"),
    (lambda: Program("cat", stdin="a").map(), KeyError, "no object for the input 'a'"),
    (lambda: Program("cat", stdin="a").map(a=blob("x")), TypeError, "an iterable of objects for at least one"),
    (lambda: Program("cat", stdin="a").map(a="text"), RainException, "make constants of values"),
    (lambda: Program("cat", stdin="a").map(a=["text"]), RainException, "expected a data object"),
    (lambda: Program("cat", stdin="a").map(a=[], b=[]), TypeError, "has no input 'b'"),
    (lambda: Program("cat", stdin="a").map([{"a": blob("x")}, {}]), RainException, r"element 1 has the labels \[\]"),
    (
        lambda: Program(["cat", Input("a"), Input("b")]).map(a=[blob("x")], b=[]),
        RainException,
        "'b' has 0 elements, fewer than 'a' with 1",
    ),
]

GIVEN_AN_ARRAY = {
    r"number 1 ends after 1",
    "have 2 outputs each",
    r"expected a data object .* found TaskArray: pass one",
}


@pytest.mark.parametrize(("call", "kind", "text"), REFUSALS)
def test_refusals_say_what_was_expected_and_make_no_task(
    session: Session, call: Callable[[], object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        call()
    # Some of these calls are given an array of one task, which was made before.
    assert session.task_count == (text in GIVEN_AN_ARRAY)


def test_what_was_not_submitted_or_not_kept_is_refused_as_for_single_objects(session: Session) -> None:
    array = add.map(range(3))
    with pytest.raises(RainException, match=r"tasks s1\.t0 … s1\.t2 'add' is not submitted"):
        session.wait(array)
    with pytest.raises(RainException, match="is not submitted, so it cannot be fetched"):
        array.output.fetch()
    other = Session(None, 2)
    with pytest.raises(RainException, match="belongs to session s1, not to s2"):
        other.wait([array])
    array.output[1:].keep()
    order = session._graph.order()
    assert order is not None
    session._graph.submitted(order)
    with pytest.raises(RainException, match=r"s1\.o0, output of 'add', was not kept"):
        add.map(array)
    with pytest.raises(RainException, match=r"s1\.o0, output of 'add', was not kept"):
        add(array.output)
    with pytest.raises(RainException, match="was submitted already"):
        array.output.keep()
    assert len(add.map(array[1:])) == 2
    assert list(session._graph.unkeep([array.output])) == []


def test_unkeeping_tells_of_what_no_task_of_the_next_submit_reads(session: Session) -> None:
    array = add.map(range(4)).keep_outputs()
    order = session._graph.order()
    assert order is not None
    session._graph.submitted(order)
    assert list(session._graph.unkeep([array.output[:1]])) == [0]
    add.map(array[2:])
    assert list(session._graph.unkeep([array.output])) == [1]
    order = session._graph.order()
    assert order is not None
    assert session._graph.submitted(order) == [2, 3]


def test_plain_values_are_told_from_those_in_which_objects_may_hide(session: Session) -> None:
    a = blob("a")
    assert is_plain([1, "a", None, (1, [2.0, {"k": (b"", True)}])])
    for hidden in (a, (a,), [[a]], {"k": a}, {a: 1}, {1, 2}, lambda: a):
        assert not is_plain([1, hidden])
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    assert not is_plain([cyclic])


def test_an_array_of_tasks_says_where_to_find_what_arrays_of_objects_have(session: Session) -> None:
    array = add.map(range(3))
    for name, said in (("keep", r"`\.output\.keep`; `\.keep_outputs\(\)` keeps all"), ("fetch", r"`\.output\.fetch`$")):
        with pytest.raises(AttributeError, match=said):
            getattr(array, name)
    with pytest.raises(AttributeError, match="'TaskArray' object has no attribute 'nothing'"):
        array.nothing  # noqa: B018
    assert not hasattr(array, "__array__")


def test_calls_with_larger_arguments_than_can_be_sent_change_nothing(session: Session) -> None:
    given, large, rest = blob("x"), bytes(17 << 20), bytes(300 << 10)

    @function
    def count(*values: object) -> int:
        return len(values)

    before = session.task_count, session.dataobj_count
    with pytest.raises(RainException, match="at most 16777216 can be sent"):
        count([given, large], rest)
    with pytest.raises(RainException, match="at most 16777216 can be sent"):
        count.map([[given, large]], [rest])
    assert (session.task_count, session.dataobj_count) == before
