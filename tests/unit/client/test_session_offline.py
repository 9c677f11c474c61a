"""Sessions without a server: building graphs, being the active one, and every refusal of bad input."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from rain.client import (
    DataInstance,
    Input,
    LabeledList,
    Output,
    Program,
    RainException,
    RainWarning,
    Session,
    SessionException,
    Task,
    blob,
    function,
    get_active_session,
    pickled,
    remote,
    tasks,
    to_dataobj,
)
from rain.client.calls import Collected, dump_plain
from rain.data.dump import dump_call
from rain.data.load import load_call


@pytest.fixture
def session() -> Any:
    with Session(None, 1) as opened:
        yield opened


@remote()
def plain(ctx: Any, a: Any, b: Any = 1) -> None:
    """A function to call."""


@remote(outputs=2)
def two(ctx: Any) -> None:
    """Two outputs."""


# ------------------------------------------------------------------ the stack of sessions


def test_sessions_are_a_stack() -> None:
    outer, inner = Session(None, 1), Session(None, 2)
    with outer:
        assert get_active_session() is outer
        with inner:
            assert get_active_session() is inner
            with outer:
                assert get_active_session() is outer
            assert outer.active
            assert get_active_session() is inner
        assert not inner.active
        assert get_active_session() is outer
    assert outer.state == "closed"


def test_bind_only_does_not_close() -> None:
    session = Session(None, 1)
    with session.bind_only() as bound:
        assert bound is session is get_active_session()
    assert session.active
    with session, session.bind_only():
        assert session.active
    assert not session.active


def test_without_an_active_session_there_is_the_default_one() -> None:
    with pytest.raises(RainException, match=r"there is no active session: write `with client\.new_session"):
        blob("x")
    default, other = Session(None, 1), Session(None, 2)
    default.set_as_default()
    assert blob("x").session is default
    with other:
        assert blob("x").session is other
    default.close()
    with pytest.raises(RainException, match="there is no active session"):
        get_active_session()


def test_a_closed_session_cannot_be_entered_or_added_to() -> None:
    session = Session(None, 7)
    session.close()
    with pytest.raises(SessionException, match="session s7 is closed and cannot be entered"), session:
        pass
    with pytest.raises(SessionException, match="s7 is closed"), session.bind_only():
        pass
    with pytest.raises(SessionException, match="s7 is closed and cannot be added to"):
        blob("x", session=session)
    with pytest.raises(SessionException, match="s7 is closed and cannot be added to"):
        plain(1, session=session)


def test_threads_have_stacks_of_their_own(session: Session) -> None:
    found: list[str] = []

    def look() -> None:
        try:
            get_active_session()
        except RainException as error:
            found.append(str(error))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert len(found) == 1


# ------------------------------------------------------------------ graphs


def test_counts_are_of_what_is_not_submitted(session: Session) -> None:
    assert (session.task_count, session.dataobj_count) == (0, 0)
    task = tasks.concat(blob("a"), blob("b"))
    two()
    assert (session.task_count, session.dataobj_count) == (2, 5)
    assert [obj.data for obj in task.inputs] == [b"a", b"b"]


def test_handles_know_who_they_are(session: Session) -> None:
    first, second = blob("a", label="name"), plain(1, name="group/one")
    assert (first.id, first.label, first.content_type, first.data) == ("s1.o0", "name", "text", b"a")
    assert (second.id, second.name, second.output.id) == ("s1.t0", "group/one", "s1.o1")
    assert (second.state, second.info, second.output.state, second.output.info) == (None, None, None, None)
    assert second.output is second.output is second.outputs[0]
    assert second != plain(1)
    assert repr(second) == "<Task s1.t0 'group/one', not submitted>"
    assert plain(2).name == "plain"
    assert tasks.concat().name is None


def test_keep_can_be_taken_back_before_the_submit(session: Session) -> None:
    task = two()
    first, second = task.outputs
    assert first.keep() is first
    assert (first.is_kept(), second.is_kept()) == (True, False)
    task.keep_outputs()
    assert second.is_kept()
    task.unkeep_outputs()
    assert not first.is_kept()
    session.keep_all()
    assert first.is_kept()
    assert second.is_kept()


def test_inputs_and_outputs_have_labels(session: Session) -> None:
    a, b = blob("a"), blob("b")
    task = Task([("left", a), b], ["x", Output("y", content_type="json"), Output()], task_type="own")
    assert task.inputs == LabeledList([a, b], ["left", None])
    assert [label for label, _ in task.outputs.items()] == ["x", "y", None]
    assert task.outputs["y"].content_type == "json"


def test_a_task_stands_for_its_only_output(session: Session) -> None:
    task = tasks.concat()
    assert to_dataobj(task) is task.output
    assert tasks.concat([task, task.output]).inputs.data == [task.output, task.output]
    assert plain({"deep": [task]}, lambda: task).inputs.data == [task.output]


def test_references_are_inputs_once_each_in_the_order_met(session: Session) -> None:
    a, b = blob("a"), blob("b")
    assert plain([b, {"k": (a, b)}], a).inputs.data == [b, a]


def test_plain_calls_and_others_are_read_alike(session: Session) -> None:
    a, b = blob("a"), blob("b")
    for call, shape in (((b, 1, a, "x"), (0, 1, 1, "x")), ((b, [a], (1,), None), (0, [1], (1,), None))):
        collected = Collected()
        data = dump_plain(call, {"k": b}, collected) or dump_call(call, {"k": b}, collected.reference)
        assert load_call(data, lambda position: position) == (shape, {"k": 0})
        assert collected.inputs == [b, a]


def test_a_data_instance_among_the_arguments_becomes_a_constant(session: Session) -> None:
    instance = DataInstance(b"[1]", content_type="json")
    task = plain([instance, blob("x"), instance], instance)
    assert [(obj.data, obj.content_type) for obj in task.inputs] == [(b"[1]", "json"), (b"x", "text")]


def test_resources_may_be_changed_in_the_spec_until_the_submit(session: Session) -> None:
    first, second = tasks.concat(cpus=2), tasks.concat(cpus=2)
    first.spec.resources["cpus"] = 3
    first.spec.resources["license"] = 1
    assert session._graph.order() is not None
    assert first.spec.resources == {"cpus": 3, "license": 1}
    assert second.spec.resources == {"cpus": 2}
    assert first._spec.request.describe() == "cpus=3, license=1"


def test_every_kind_of_task_takes_the_options() -> None:
    with Session(None, 1), Session(None, 2) as other:
        options: dict[str, Any] = {
            "name": "n",
            "cpus": 0.5,
            "gpus": 1,
            "memory": "4 GiB",
            "resources": {"license": 2},
            "retries": 3,
            "priority": -1,
            "timeout": 9,
            "session": other,
        }
        x = blob("x", session=other)
        made = [
            tasks.concat(x, **options),
            tasks.open("f", **options),
            tasks.export(x, "f", **options),
            tasks.sleep(x, 1, **options),
            tasks.execute("ls", **options),
            Program("ls")(**options),
            Program(["ls", Input("a")], **options)(a=x),
            plain(1, **options),
            remote(**options)(plain.__wrapped__)(1),
            function(**options)(abs)(1),
            Task((), task_type="own", **options),
        ]
        for task in made:
            spec = task._spec
            assert task.session is other
            assert spec.request.describe() == "cpus=0.5, gpus=1, memory=4294967296, license=2"
            assert (spec.name, spec.retries, spec.priority, spec.timeout_s) == ("n", 3, -1, 9.0)


def test_options_that_are_parameters_of_the_function_go_to_the_function(session: Session) -> None:
    @remote
    def named(ctx: Any, name: str) -> None:
        """Has a parameter that is also an option."""

    task = named(name="mine", cpus=2)
    assert task.name == "named"
    assert task.spec.resources == {"cpus": 2}


def test_where_a_task_was_made_is_known(session: Session) -> None:
    task = plain(1)
    place = session._graph.places.text(session._graph.builder.places[task._number])
    assert place is not None
    assert place.startswith(f"{__file__}:")


# ------------------------------------------------------------------ refusals

REFUSALS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: blob(5), RainException, "expected bytes or str, found int: say how it becomes bytes"),
    (lambda: blob(blob("a")), RainException, "found DataObject: it stands for data of the session already"),
    (lambda: blob(tasks.concat()), RainException, "found Concat: it stands for data of the session already"),
    (lambda: blob(DataInstance(b"a")), RainException, r"found DataInstance: .* blob\(instance\.get_bytes\(\)"),
    (lambda: blob("x", content_type="text", encode="json"), RainException, "exclude one another"),
    (lambda: blob("x", content_type="texst"), RainException, "Unknown content type 'texst'"),
    (lambda: blob(b"x", label=3), RainException, "a label is a text, found 3"),
    (lambda: blob(object(), encode="json"), RainException, "cannot be encoded as 'json'"),
    (lambda: to_dataobj("x"), RainException, "found str: make it a constant, blob"),
    (lambda: to_dataobj([1]), RainException, "found list: pass its items one by one"),
    (lambda: to_dataobj(two()), RainException, r"has 2 outputs, use `.outputs\[number or label\]`"),
    (lambda: two().output, RainException, "exactly one was expected"),
    (lambda: tasks.concat("x"), RainException, "expected a data object or a task with one output, found str"),
    (lambda: tasks.concat(5), RainException, "Concat: expected data objects, found 5"),
    (lambda: tasks.open(5), RainException, "Load: expected a path as text, found 5"),
    (lambda: tasks.open(""), RainException, "Load: expected a path"),
    (lambda: tasks.sleep(blob("x"), -1), RainException, "Sleep: expected seconds from 0"),
    (lambda: tasks.sleep(blob("x"), "1"), RainException, "Sleep: expected seconds from 0 .* found '1'"),
    (lambda: tasks.execute([]), RainException, "needs at least its name in args"),
    (lambda: tasks.execute("a 'b"), RainException, "cannot be split as a shell would: No closing quotation"),
    (lambda: tasks.execute(["ls", 5]), RainException, "found 5: turn it into text"),
    (lambda: tasks.execute(["ls", Input("a")]), RainException, r"has no object: pass Input\(…, dataobj=…\)"),
    (lambda: tasks.execute("ls", stdout=5), RainException, "stdout: expected True, a label or an Output, found 5"),
    (lambda: tasks.execute("ls", env={"A": 1}), RainException, "env: expected names and values as texts"),
    (lambda: tasks.execute("ls", output_paths="x"), RainException, "output_paths: expected a list, found 'x'"),
    (lambda: tasks.execute("ls", output_paths=["/etc/x"]), RainException, "below the task's working folder"),
    (lambda: tasks.execute("ls", output_paths=["x", "x"]), RainException, "the label 'x' occurs twice"),
    (lambda: tasks.execute(["a", Output("x", encode="json")]), RainException, "nothing to encode"),
    (lambda: Program(["ls", Input()]), RainException, "of a Program needs a label"),
    (Program(["ls", Input("a")]), KeyError, "no object for the input 'a'"),
    (lambda: Program(["ls", Input("a")])(a=blob("x"), b=1), TypeError, "the program has no input 'b'"),
    (lambda: Input("a", path="../x"), RainException, "no leading '/', no '..'"),
    (lambda: Input(5), RainException, "a label is a text or None, found 5"),
    (lambda: Output("a", content_type="json", encode="pickle"), ValueError, "which is no 'json'"),
    (lambda: Task((), 1), RainException, "a task needs a kind"),
    (lambda: Task((), True, task_type="t"), RainException, "outputs: expected a number, a label, an Output"),
    (lambda: Task((), -1, task_type="t"), RainException, "outputs: expected a number from 0"),
    (lambda: Task((), ["a", "a"], task_type="t"), RainException, "the label 'a' occurs twice"),
    (lambda: Task([("a", blob("")), ("a", blob(""))], task_type="t"), RainException, "a label occurs twice"),
    (lambda: tasks.concat(cpu=1), TypeError, "Concat got an unexpected keyword argument 'cpu'"),
    (lambda: tasks.concat(cpus=-1), RainException, "cpus: expected a number from 0 to .*, found -1"),
    (lambda: tasks.concat(cpus="2"), RainException, "cpus: expected a number .* found '2'"),
    (lambda: tasks.concat(cpus=float("nan")), RainException, "cpus: expected a number"),
    (lambda: tasks.concat(cpus=0.00001), RainException, "cpus: the smallest amount is 0.0001"),
    (lambda: tasks.concat(memory="4 apples"), RainException, 'memory: expected bytes or a text such as "4 GiB"'),
    (lambda: tasks.concat(resources={"cpus": 1}), RainException, "has an argument of its own: write cpus=1"),
    (lambda: tasks.concat(resources=[1]), RainException, "resources: expected a dict"),
    (lambda: tasks.concat(retries=-1), RainException, "retries: expected a whole number from 0"),
    (lambda: tasks.concat(priority=1.5), RainException, "priority: expected a whole number"),
    (lambda: tasks.concat(timeout=0), RainException, "timeout: expected seconds above 0"),
    (lambda: tasks.concat(name=5), RainException, "name: expected a text or None, found 5"),
    (plain, TypeError, "^missing a required argument: 'a'$"),
    (lambda: plain(1, 2, 3), TypeError, "^too many positional arguments$"),
    (lambda: plain(1, c=3), TypeError, "^got an unexpected keyword argument 'c'$"),
    (lambda: plain(1, outputs=2), RainException, "has 1 outputs, but 2 were given at the call"),
    (lambda: plain(1, output="a", outputs="b"), RainException, "are the same thing, give one of them"),
    (lambda: plain(two()), RainException, "has 2 outputs"),
    (lambda: plain(threading.Lock()), RainException, r"argument 'a' of plain\(\): cannot pickle"),
    (
        lambda: plain(bytes(1 << 20)),
        RainWarning,
        r"^Pickled object a length \d{7} is over 262144 bytes: make it a data",
    ),
    (lambda: remote(lambda: 1), RainException, "takes the context as its first parameter"),
    (lambda: remote(5), RainException, "expected a function to decorate, found 5"),
    (
        lambda: remote(inputs={"z": Input()})(plain.__wrapped__),
        RainException,
        "there is no parameter 'z'; there are a, b",
    ),
    (lambda: remote(outputs=0.5)(plain.__wrapped__), RainException, "outputs: expected a number, a label"),
    (lambda: get_active_session().fetch(blob("x")), RainException, "is not submitted, so it cannot be fetched"),
    (lambda: plain(1).wait(), RainException, "is not submitted, so it cannot be waited for"),
    (lambda: get_active_session().wait([5]), RainException, "expected tasks and data objects, found int: 5"),
    (lambda: get_active_session().submit(), RainException, "session s1 has no server, graphs can only be built in it"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSALS, ids=[text[:40] for _, _, text in REFUSALS])
def test_bad_input_is_refused_in_the_callers_stack_with_what_was_expected(
    session: Session, call: Callable[[], object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_a_refused_call_changes_nothing(session: Session) -> None:
    with Session(None, 2) as other:
        foreign = blob("x")
    before = (session.task_count, session.dataobj_count)
    calls: list[Callable[[], object]] = [
        lambda: tasks.concat(foreign),
        lambda: plain([DataInstance(b"instance"), foreign]),
        lambda: plain(b"x" * (1 << 20)),
        lambda: Task([foreign], task_type="own"),
    ]
    for call in calls:
        with pytest.raises((RainException, RainWarning)):
            call()
        assert (session.task_count, session.dataobj_count) == before
    with pytest.raises(RainException, match=r"s2\.o0, constant 'const' belongs to another session"):
        tasks.concat(foreign)
    with pytest.raises(RainException, match="belongs to session s2, not to s1: call it there"):
        session.wait(foreign)
    assert other.dataobj_count == 1


def test_a_failed_submit_leaves_the_graph_as_it_was(session: Session) -> None:
    task = tasks.concat(blob("x"))
    with pytest.raises(RainException, match="has no server"):
        session.submit()
    assert (session.task_count, session.dataobj_count, task.state) == (1, 2, None)
    task.output.keep()


def test_handles_cannot_be_pickled_by_accident(session: Session) -> None:
    held = blob("x")

    @remote
    def refers(ctx: Any) -> Any:
        return held

    with pytest.raises(RainException, match=r"s1\.o0, constant 'const' cannot be pickled"):
        refers()
    assert session.task_count == 0


# ------------------------------------------------------------------ small things


def test_text_and_values_become_constants(session: Session) -> None:
    assert blob("é").data == "é".encode()
    assert blob("é", content_type="text-latin1").data == b"\xe9"
    assert (blob({"a": 1}, encode="json").data, blob(b"raw").content_type) == (b'{"a": 1}', None)
    assert pickled([1]).content_type == "pickle"


def test_return_annotations_and_input_annotations_declare(session: Session) -> None:
    source = (
        "def annotated(ctx, x: Input(load=True), y: int = 0) -> ('first', Output('second', encode='json')):\n    pass\n"
    )
    for header in ("", "from __future__ import annotations\n"):
        namespace: dict[str, Any] = {"Input": Input, "Output": Output}
        exec(compile(header + source, "made", "exec", dont_inherit=True), namespace)
        task = remote(namespace["annotated"])(1)
        assert [label for label, _ in task.outputs.items()] == ["first", "second"]
        assert task.outputs["second"].content_type == "json"


def test_other_annotations_are_left_alone(session: Session) -> None:
    @remote
    def typed(ctx: Any, x: int) -> dict[str, int]:
        return {}

    assert len(typed(1).outputs) == 1


def test_an_argument_error_of_a_plain_function_is_pythons_own(session: Session) -> None:
    @function
    def add(a: int, b: int) -> int:
        return a + b

    with pytest.raises(TypeError, match="missing a required argument: 'b'"):
        add(1)
    assert add(1, b=2).output.content_type == "cloudpickle"


def test_program_patterns_make_tasks_with_labels(session: Session) -> None:
    program = Program(["sort", Input("data", path="in.txt"), "-o", Output("sorted")], stdout=True, stdin="text")
    a, b = blob("a"), blob("b")
    task = program(data=a, text=b, outputs=[None, "other"])
    assert task.inputs.data == [a, b]
    assert [label for label, _ in task.outputs.items()] == ["stdout", "other"]
    assert [spec.path for spec in task._spec.outputs] == [None, "sorted"]


def test_everything_public_is_in_both_modules() -> None:
    import rain
    import rain.client

    assert set(rain.__all__) == set(rain.client.__all__)
    for name in rain.__all__:
        assert getattr(rain, name) is getattr(rain.client, name)
    assert set(rain.__all__) <= set(dir(rain))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rain.nothing
