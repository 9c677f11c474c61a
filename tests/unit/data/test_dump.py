"""Arguments of Python tasks: references anywhere, plain values fast, and errors that name the argument."""

from __future__ import annotations

import dataclasses
import sys
import threading
import types

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rain.core.errors import RainException
from rain.data.dump import dump_call
from rain.data.function import dump_function, load_function
from rain.data.load import load_call


class Placeholder:
    """Stands where the client has a data object."""

    def __init__(self, position: int) -> None:
        self.position = position


@dataclasses.dataclass
class Holder:
    value: object


def is_reference(value):
    return value.position if isinstance(value, Placeholder) else None


def arrived(*args, **kwargs):
    """The arguments as the task gets them; an input is the text "input N"."""
    return load_call(dump_call(args, kwargs, is_reference), lambda position: f"input {position}")


def refusal(*args, function="train", parameters=(), **kwargs) -> str:
    with pytest.raises(RainException) as caught:
        dump_call(args, kwargs, is_reference, function=function, parameters=parameters)
    return str(caught.value)


def test_no_arguments_are_no_bytes():
    assert dump_call((), {}, is_reference) == b""
    assert load_call(b"", lambda position: position) == ((), {})


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(args=st.lists(plain, max_size=3).map(tuple), kwargs=st.dictionaries(st.text(max_size=3), plain, max_size=3))
def test_plain_values_arrive_equal(args, kwargs):
    assert load_call(dump_call(args, kwargs, is_reference), lambda position: None) == (args, kwargs)


def test_references_arrive_wherever_they_stood():
    first, second = Placeholder(0), Placeholder(1)
    args, kwargs = arrived(first, [second, {"k": (first,)}], more={"x": [[second]]})
    assert args == ("input 0", ["input 1", {"k": ("input 0",)}])
    assert kwargs == {"more": {"x": [["input 1"]]}}


def test_a_list_of_inputs_is_one_reference_however_long_it_is():
    def is_run(value):
        return (3, value.position) if isinstance(value, Placeholder) else None

    data = dump_call(([Placeholder(1000), 1],), {}, is_run)
    assert len(data) < 200
    assert load_call(data, lambda position: position) == (([list(range(3, 1003)), 1],), {})


def test_references_inside_own_classes_closures_and_generators_arrive():
    hidden = Placeholder(2)
    args, _ = arrived(Holder(hidden), lambda: hidden, (Placeholder(i) for i in range(2)))
    assert args[0].value == "input 2"
    assert args[1]() == "input 2"
    assert list(args[2]) == ["input 0", "input 1"]


def test_shared_structure_stays_shared():
    shared = [1]
    (first, second), _ = arrived(shared, [shared])
    assert second[0] is first


def test_text_that_looks_like_a_reference_is_text():
    assert arrived("input_at", b"rain.data.load") == (("input_at", b"rain.data.load"), {})


def test_an_argument_that_cannot_be_pickled_is_named_by_its_parameter():
    text = refusal(1, threading.Lock(), parameters=("n", "lock"))
    assert text.startswith("argument 'lock' of train(): cannot pickle '_thread.lock' object")


def test_the_place_inside_the_argument_is_named():
    text = refusal(config={"pool": [Holder(1), Holder({"x": threading.Lock()})]})
    assert "argument 'config'" in text
    assert "config['pool'][1].value['x']" in text
    assert "_thread.lock" in text


def test_a_culprit_in_a_closure_is_named():
    lock = threading.Lock()
    assert "variable 'lock'" in refusal(lambda: lock, parameters=("callback",))


def test_the_search_for_a_culprit_stops_at_what_is_rain_s_own():
    connection = type("Connection", (), {"__module__": "rain.inner"})()
    connection.inside = {"lock": threading.Lock()}
    text = refusal(lambda: connection, parameters=("callback",))
    assert "at callback's variable 'connection' (of type rain.inner.Connection)" in text


def test_an_argument_whose_own_code_fails_is_named():
    class Bad:
        def __reduce__(self):
            raise ValueError("I will not")

    assert "argument 'number 2' of train(): I will not" in refusal(1, Bad())


@pytest.fixture
def local_module(tmp_path, monkeypatch):
    """A module beside the user's script: importable here, installed nowhere."""
    name = "steps_beside_the_script"
    (tmp_path / f"{name}.py").write_text(
        "FACTOR = 2\n"
        "class Point:\n"
        "    def __init__(self, x):\n"
        "        self.x = x\n"
        "def double(x):\n"
        "    return helper(x) * FACTOR\n"
        "def helper(x):\n"
        "    return x\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    module = __import__(name)
    yield module
    sys.modules.pop(name, None)


def test_functions_of_a_module_that_is_not_installed_travel_by_value(local_module):
    data = dump_function(local_module.double)
    del sys.modules[local_module.__name__]
    sys.path_importer_cache.clear()
    sys.path.pop(0)
    assert load_function(data)(3) == 6


def test_objects_of_a_module_that_is_not_installed_travel_with_their_class(local_module):
    data = dump_call((local_module.Point(4),), {}, is_reference)
    del sys.modules[local_module.__name__]
    sys.path.pop(0)
    [point], _ = load_call(data, lambda position: None)
    assert point.x == 4


def test_a_module_itself_travels_by_value(local_module):
    def use():
        return local_module.double(5)

    data = dump_function(use)
    del sys.modules[local_module.__name__]
    sys.path.pop(0)
    assert load_function(data)() == 10


def test_cloudpickle_is_left_as_it_was(local_module):
    before = cloudpickle.list_registry_pickle_by_value()
    dump_function(local_module.double)
    refusal(local_module.Point(threading.Lock()))
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_installed_modules_travel_by_name():
    import json

    assert len(dump_function(json.dumps)) < 100
    assert load_function(dump_function(json.dumps)) is json.dumps


def test_a_function_that_cannot_travel_says_so():
    lock = threading.Lock()

    def train():
        return lock

    with pytest.raises(RainException, match=r"train\(\) cannot be sent to workers: cannot pickle '_thread.lock'"):
        dump_function(train)


def test_a_module_type_made_by_hand_travels():
    module = types.ModuleType("by_hand")
    module.value = 3
    [copied], _ = arrived(module)
    assert copied.value == 3
