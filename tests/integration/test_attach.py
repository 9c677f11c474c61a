"""Sessions that outlive their client: the goodbye, and what another client finds in them."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from rain.client import Client, Input, RainException, Task, blob, function, remote, tasks
from rain.deploy.local import LocalCluster

LIMIT_S = 20.0


@function
def double(number: int) -> int:
    return 2 * number


@remote()
def pair(ctx: Any, a: Any, b: Any = None) -> bytes:
    return b"pair"


def begin(cluster: LocalCluster, name: str) -> None:
    """A client builds, submits, and goes before anything need be done."""
    with Client(access=cluster.access_path) as first, first.new_session(name, ttl=60).bind_only() as session:
        text = blob("a", content_type="text")
        text.spec.user["source"] = "lab"
        made = tasks.concat(text, blob(b"b"), name="made")
        made.spec.user["step"] = 1
        made.output.spec.user["final"] = True
        made.keep_outputs()
        tasks.execute(["sh", "-c", "cat >out; echo x", "x"], stdin=made, stdout=True, output_paths=["out"], name="two")
        pair(made, [made, text], name="pair", cpus=1, priority=2)
        session.submit()


def test_a_session_can_be_attached_as_soon_as_its_client_is_closed(cluster: LocalCluster, client: Client) -> None:
    for _ in range(20):
        with Client(access=cluster.access_path) as first:
            first.new_session("quick", ttl=60)
        client.attach("quick").close()


def test_what_was_submitted_before_the_client_was_closed_arrives(cluster: LocalCluster, client: Client) -> None:
    with Client(access=cluster.access_path) as first, first.new_session("heavy", ttl=60).bind_only() as session:
        whole = tasks.concat(*(blob(bytes(1 << 20)) for _ in range(48)), name="whole")
        whole.keep_outputs()
        session.submit()
    with client.attach("heavy") as session:
        assert session.tasks["whole"].output.fetch(timeout=LIMIT_S).size == 48 << 20


def test_attached_tasks_are_complete(cluster: LocalCluster, client: Client) -> None:
    begin(cluster, "complete")
    with client.attach("complete") as session:
        two, one = session.tasks["two"], session.tasks["pair"]
        made = two.inputs[0]
        assert list(two.inputs) == [session.tasks["made"].output]
        assert [output.label for output in two.outputs] == ["stdout", "out"]
        assert two.outputs["out"].spec.label == "out"
        assert (two.name, two.spec.name, two.spec.kind, two.state) == ("two", "two", "execute", "waiting")
        assert one.spec.resources == {"cpus": 1}
        assert one.inputs.data[0] is made
        # The inputs of a task that was only met as an input of another one.
        text, other = session.tasks["made"].inputs
        assert (text.content_type, other.content_type) == ("text", None)
        assert (text.data, text.label, repr(text)) == (None, None, f"<DataObject {text.id}, a constant>")
        assert one.inputs.data[1] is text
        assert text.spec.user == {"source": "lab"}
        assert session.tasks["made"].spec.user == {"step": 1}
        assert made.spec.user == {"final": True}
        session.wait_all(timeout=LIMIT_S)
        assert made.fetch(timeout=LIMIT_S) == "ab"
        # A constant that its client did not keep went with it.
        with pytest.raises(RainException, match=r"a constant, was not kept, so it is gone"):
            tasks.concat(text)
        assert session.compute(tasks.concat(made, blob("c")), timeout=LIMIT_S) == "abc"


def test_the_inputs_of_a_task_that_was_met_as_an_input_can_be_asked_for(cluster: LocalCluster, client: Client) -> None:
    begin(cluster, "met")
    with client.attach("met") as session:
        made = session.tasks["two"].inputs[0]._task
        assert made is not None
        assert [each.content_type for each in made.inputs] == ["text", None]
        assert made.spec.inputs == tuple(each.id for each in made.inputs)


def test_labels_of_inputs_are_known_to_whoever_attaches(cluster: LocalCluster, client: Client) -> None:
    with Client(access=cluster.access_path) as first, first.new_session("labels", ttl=60).bind_only() as session:
        a = blob("a")
        task = Task([("left", a), blob("b")], task_type="concat", name="labelled")
        assert task.inputs["left"] is a
        session.submit()
    with client.attach("labels") as session:
        found = session.tasks["labelled"].inputs
        assert [found.get_label(0), found.get_label(1)] == ["left", None]


def test_kept_constants_of_another_client_are_there(cluster: LocalCluster, client: Client) -> None:
    with Client(access=cluster.access_path) as first, first.new_session("constants", ttl=60).bind_only() as session:
        tasks.concat(blob("kept").keep(), name="reader")
        session.submit()
        session.wait_all(timeout=LIMIT_S)
    with client.attach("constants") as session:
        [constant] = session.tasks["reader"].inputs
        assert constant.is_kept()
        assert constant.fetch(timeout=LIMIT_S) == "kept"
        assert session.compute(tasks.concat(constant, constant), timeout=LIMIT_S) == "keptkept"


def test_the_own_session_is_attached_as_the_same_handle(client: Client) -> None:
    with client.new_session("mine") as session:
        assert client.attach("mine") is session
        assert client.attach(f"s{session.session_id}") is session


def test_a_session_whose_handle_was_lost_is_attached_again(client: Client) -> None:
    session = client.new_session("lost")
    with session.bind_only():
        made = double(4)
        made.keep_outputs()
        session.submit()
    number = session.session_id
    del session, made
    gc.collect()
    with client.attach("lost") as again:
        assert again.session_id == number
        assert again.tasks["double"].output.fetch(timeout=LIMIT_S).load() == 8


def test_of_many_tasks_of_a_name_the_own_handles_are_found(client: Client) -> None:
    with client.new_session("many") as session:
        array = double.map(range(3000))
        array[7].keep_outputs()
        session.submit()
        with pytest.raises(RainException, match="3000 tasks are called 'double'"):
            session.tasks["double"]
        assert session.tasks.all("double")[7] is array[7]
        session.wait_all(timeout=LIMIT_S)


def test_a_closed_session_is_not_searched(client: Client) -> None:
    with client.new_session() as session:
        pass
    with pytest.raises(RainException, match="is closed and cannot be searched for tasks"):
        session.tasks["any"]


def test_sessions_may_be_called_anything(cluster: LocalCluster, client: Client) -> None:
    for name in ("ä €/\n'\"", "s1x", " ", "日本", "a" * 10_000):
        with Client(access=cluster.access_path) as first:
            first.new_session(name, ttl=60)
        assert name in [each["name"] for each in client.sessions()]
        with client.attach(name) as session:
            assert session.name == name
    assert json.dumps(client.sessions())
    with pytest.raises(RainException, match="no Unicode text"):
        client.new_session("\ud800")
    with pytest.raises(RainException, match="no Unicode text"):
        client.attach("\ud800")


def test_programs_are_found_with_what_they_read(cluster: LocalCluster, client: Client) -> None:
    with Client(access=cluster.access_path) as first, first.new_session("program", ttl=60).bind_only() as session:
        data = blob("x")
        tasks.execute(["cat", Input("a", dataobj=data), data], name="cat")
        session.submit()
    with client.attach("program") as session:
        found = session.tasks["cat"].inputs
        assert [each.id for each in found] == [found[0].id] * 2
