"""The programs of the overview, and what users build from the same parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rain.client import (
    Client,
    Input,
    Output,
    Program,
    RainException,
    Session,
    blob,
    function,
    pickled,
    remote,
    tasks,
)

LIMIT_S = 20.0


def test_the_first_program_of_the_overview(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    with client.new_session() as session:
        task = tasks.concat(blob("Hello "), blob("world!"))
        task.output.keep()
        session.submit()
        result = task.output.fetch()
        print(result)
    assert capsys.readouterr().out == "Hello world!\n"


def test_a_file_is_opened_and_searched_by_an_external_program(session: Session, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("nothing\nsomething here\n")
    data = tasks.open(tmp_path / "data")
    found = tasks.execute(["grep", "something", data], stdout=True)
    assert str(session.compute(found, timeout=LIMIT_S)) == "something here\n"


def test_a_python_function_gets_the_data_object(session: Session) -> None:
    @remote()
    def my_function(ctx: Any, param_a: Any) -> Any:
        return param_a.to_str() + " world!"

    result = session.compute(my_function(blob("Hello")), timeout=LIMIT_S)
    assert result == "Hello world!"
    assert result.content_type == "text"


def test_a_diamond_of_functions_passes_values(session: Session) -> None:
    @function
    def add(a: int, b: int) -> int:
        return a + b

    top = add(1, 2)
    left, right = add(top, 10), add(top, b=20)
    assert session.compute(add(left, right), timeout=LIMIT_S).load() == 36


def test_structure_is_preserved_wherever_the_objects_are(session: Session) -> None:
    class Box:
        def __init__(self, content: Any) -> None:
            self.content = content

    @remote
    def look(ctx: Any, listed: list[Any], box: Any, *rest: Any, **named: Any) -> str:
        inside = [listed[0]["deep"][1], box.content, rest[0](), *list(rest[1]), named["key"]]
        return " ".join(each.get_str() for each in inside)

    a, b, c = blob("a"), blob("b"), tasks.concat(blob("c"))
    generated = (each for each in [a, b])
    task = look([{"deep": (None, a)}], Box(b), lambda: c, generated, key=a)
    assert session.compute(task, timeout=LIMIT_S) == "a b c a b a"


def test_outputs_have_labels_and_types(session: Session) -> None:
    @remote(outputs=["left", Output("right", encode="json")])
    def split(ctx: Any) -> dict[str, Any]:
        return {"left": b"raw", "right": [1, 2]}

    task = split().keep_outputs()
    session.submit()
    left, right = task.fetch_outputs(timeout=LIMIT_S)
    assert left == b"raw"
    assert right.load() == [1, 2]
    assert task.outputs["right"].content_type == "json"


def test_a_call_renames_outputs(session: Session) -> None:
    @remote
    def one(ctx: Any) -> bytes:
        return b"1"

    task = one(output="first")
    assert task.output.label == "first"
    assert session.compute(task, timeout=LIMIT_S) == b"1"


def test_declared_inputs_arrive_as_values_also_inside_lists(session: Session) -> None:
    @remote(inputs={"numbers": Input(load=True), "rest": Input(load=True)})
    def total(ctx: Any, numbers: Any, raw: Any, **rest: Any) -> str:
        return f"{sum(numbers)} {raw.get_str()} {rest['more']}"

    task = total([pickled(1), pickled(2), 3], blob("raw"), more=pickled("x"))
    assert session.compute(task, timeout=LIMIT_S) == "6 raw x"


def test_an_input_of_another_type_than_declared_fails_the_task(session: Session) -> None:
    @remote(inputs={"data": Input(content_type="json")})
    def read(ctx: Any, data: Any) -> str:
        return str(data.content_type)

    assert session.compute(read(blob(b"[]")), timeout=LIMIT_S) == "json"
    with pytest.raises(RainException, match="no subtype of 'json'"):
        session.compute(read(pickled([])), timeout=LIMIT_S)


def test_a_fetched_instance_is_an_argument(session: Session) -> None:
    @remote
    def shout(ctx: Any, data: Any, again: Any) -> str:
        return data.get_str().upper() + again[0].get_str()

    fetched = session.compute(tasks.concat(blob("quiet")), timeout=LIMIT_S)
    assert session.compute(shout(fetched, [fetched]), timeout=LIMIT_S) == "QUIETquiet"


def test_a_large_argument_of_a_plain_function_becomes_an_object(session: Session) -> None:
    @function
    def size(data: bytes, other: int) -> int:
        return len(data) + other

    task = size(bytes(3 << 20), 1)
    assert len(task.inputs) == 1
    assert session.compute(task, timeout=LIMIT_S).load() == (3 << 20) + 1


def test_large_constants_and_large_results_pass_whole(session: Session) -> None:
    content = bytes(range(256)) * (12 << 10)
    result = session.compute(tasks.concat(blob(content), blob(b"end")), timeout=LIMIT_S)
    assert result.size == len(content) + 3
    assert result.get_bytes() == content + b"end"


def test_a_program_is_called_with_objects_for_its_labels(session: Session) -> None:
    count = Program(["wc", "-c", Input("data")], stdout=True)
    results = session.compute(count(data=blob("12345")), count(data=blob("")), timeout=LIMIT_S)
    assert [str(each).split()[0] for each in results] == ["5", "0"]


def test_a_program_reads_standard_input_and_leaves_files(session: Session) -> None:
    tee = Program(["tee", Output("copy")], stdin="text", stdout="out")
    task = tee(text=blob("abc")).keep_outputs()
    session.submit()
    assert [str(each) for each in task.fetch_outputs(timeout=LIMIT_S)] == ["abc", "abc"]
    assert [label for label, _ in task.outputs.items()] == ["out", "copy"]


def test_a_result_is_stored_at_a_path(session: Session, tmp_path: Path) -> None:
    stored = tasks.export(tasks.concat(blob("kept")), tmp_path / "result")
    session.submit()
    stored.wait(timeout=LIMIT_S)
    assert (tmp_path / "result").read_text() == "kept"


def test_later_submits_read_kept_objects_and_constants_of_earlier_ones(session: Session) -> None:
    constant = blob("c")
    first = tasks.concat(constant, blob("1"))
    first.output.keep()
    session.submit()
    session.wait_all(timeout=LIMIT_S)
    second = tasks.concat(first, constant)
    assert str(session.compute(second, timeout=LIMIT_S)) == "c1c"


def test_a_large_constant_is_read_by_later_submits_while_earlier_ones_run(session: Session) -> None:
    large = blob(bytes(1 << 20))
    hold = tasks.sleep(blob("x"), 0.3)
    tasks.concat(hold, large)
    session.submit()
    for _ in range(3):
        assert session.compute(tasks.concat(large, blob("1")), timeout=LIMIT_S).size == (1 << 20) + 1
    session.wait_all(timeout=LIMIT_S)
    assert session.compute(tasks.concat(large), timeout=LIMIT_S).size == 1 << 20


def test_an_object_that_is_unkept_before_the_submit_that_reads_it_is_still_there(session: Session) -> None:
    first = tasks.concat(blob("data"))
    first.output.keep()
    session.submit()
    second = tasks.concat(first)
    first.output.unkeep()
    assert str(session.compute(second, timeout=LIMIT_S)) == "data"


def test_thousands_of_tasks_go_in_one_submit(session: Session) -> None:
    @function
    def nothing(number: int) -> int:
        return number

    made = [nothing(number) for number in range(3000)]
    made[-1].output.keep()
    session.submit()
    session.wait_all(timeout=LIMIT_S)
    assert made[-1].output.fetch(timeout=LIMIT_S).load() == 2999
    assert {task.state for task in made} == {"finished"}


def test_a_client_without_a_cluster_starts_one_of_its_own() -> None:
    with Client() as client, client.new_session() as session:
        assert str(session.compute(tasks.concat(blob("own")), timeout=LIMIT_S)) == "own"
        [worker] = client.get_server_info()["workers"]
        assert worker["worker_id"] == "w1"
