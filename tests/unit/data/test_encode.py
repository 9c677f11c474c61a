"""Values to bytes of every content type, and back."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rain.core.errors import RainException
from rain.data.encode import decode_value, encode_value

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("content_type", ["json", "pickle", "cloudpickle"])
@given(value=json_values)
def test_values_come_back_equal(content_type, value):
    assert decode_value(encode_value(value, content_type), content_type) == value


def test_json_and_pickle_are_what_the_standard_library_writes():
    value = {"a": [1, "é"]}
    assert encode_value(value, "json") == json.dumps(value).encode()
    assert encode_value(value, "pickle") == pickle.dumps(value)


def test_text_is_encoded_as_its_type_says():
    assert encode_value("é", "text") == b"\xc3\xa9"
    assert encode_value("é", "text-latin1") == b"\xe9"
    assert decode_value(b"\xe9", "text-latin1") == "é"


@pytest.mark.parametrize("content_type", [None, ""])
def test_raw_bytes_stay_what_they_are(content_type):
    assert encode_value(bytearray(b"x"), content_type) == b"x"
    assert decode_value(memoryview(b"x"), content_type) == b"x"


@pytest.mark.parametrize(
    ("value", "content_type"), [(3, None), ("s", None), (b"x", "text"), ({1}, "json"), (lambda: 0, "pickle")]
)
def test_a_value_that_does_not_suit_the_type_is_refused(value, content_type):
    with pytest.raises(RainException, match=r"cannot be encoded as"):
        encode_value(value, content_type)


@pytest.mark.parametrize("content_type", ["json", "pickle", "cloudpickle", "text"])
def test_bytes_that_are_not_of_the_type_are_refused(content_type):
    with pytest.raises(RainException, match=rf"cannot be decoded as '{content_type}'"):
        decode_value(b"\xff{", content_type)


def test_a_pickle_of_an_unknown_class_points_to_cloudpickle():
    with pytest.raises(RainException, match="'cloudpickle' takes it along"):
        decode_value(b"c__main__\nNoSuchClass\n.", "pickle")


@pytest.mark.parametrize("content_type", ["user/a", "mime/image/png", "dir", "protobuf"])
def test_types_without_a_codec_say_what_to_do(content_type):
    with pytest.raises(RainException):
        encode_value(b"x", content_type)
    with pytest.raises(RainException, match="get_bytes"):
        decode_value(b"x", content_type)


def test_a_function_travels_as_cloudpickle():
    assert decode_value(encode_value(lambda x: x + 1, "cloudpickle"), "cloudpickle")(1) == 2


def test_large_arrays_are_views_of_the_encoded_bytes():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(10_000.0)
    data = encode_value({"a": array, "b": array[:3]}, "cloudpickle")
    assert len(data) < array.nbytes + 1000, "both share one buffer or a small copy"
    found = decode_value(data, "cloudpickle")
    assert (found["a"] == array).all()
    assert (found["b"] == array[:3]).all()
    assert found["a"].ctypes.data % 8 == 0
    assert not found["a"].flags.owndata
    assert not found["a"].flags.writeable


def test_an_object_cut_short_is_refused():
    numpy = pytest.importorskip("numpy")
    data = encode_value(numpy.arange(10_000), "cloudpickle")
    for length in (len(data) - 1, 60, 9):
        with pytest.raises(RainException, match="cannot be decoded"):
            decode_value(data[:length], "cloudpickle")


def test_arrays_travel_as_npy_without_pickles():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(6).reshape(2, 3)
    assert (decode_value(encode_value(array, "npy"), "npy") == array).all()
    with pytest.raises(RainException, match="npy"):
        encode_value(numpy.array([object()]), "npy")


def test_npy_arrays_are_views_of_the_encoded_bytes_in_either_order():
    numpy = pytest.importorskip("numpy")
    record = [("a", "i4"), ("b", "f8")]
    for array in (numpy.ones((30, 20)), numpy.asfortranarray(numpy.ones((30, 20))), numpy.zeros(9, record)):
        found = decode_value(encode_value(array, "npy"), "npy")
        assert (found == array).all()
        assert found.dtype == array.dtype
        assert found.flags.f_contiguous == array.flags.f_contiguous
        assert not found.flags.owndata
        assert not found.flags.writeable
    for array in (numpy.zeros((3, 0)), numpy.float64(2.5), numpy.array(["ž"])):
        found = decode_value(encode_value(array, "npy"), "npy")
        assert numpy.array_equal(found, array)
        assert found.shape == numpy.shape(array)


def test_what_has_not_run_yet_is_told_from_a_value():
    async def later():
        return 1

    coroutine = later()
    with pytest.raises(RainException, match=r"generator cannot be encoded.* return list\(…\) of it"):
        encode_value((i for i in range(3)), "cloudpickle")
    with pytest.raises(RainException, match="`await` it in a function with `async def`"):
        encode_value(coroutine, "cloudpickle")
    coroutine.close()


def test_a_data_frame_is_no_arrow_value_and_the_error_says_how_it_becomes_one():
    pytest.importorskip("pyarrow")
    frame = type("DataFrame", (), {})()
    with pytest.raises(RainException, match=r"pyarrow\.Table\.from_pandas"):
        encode_value(frame, "arrow")


def test_values_travel_as_cbor():
    pytest.importorskip("cbor2")
    value = {"a": [1, b"x", None]}
    assert decode_value(encode_value(value, "cbor"), "cbor") == value


def test_arrow_gives_back_the_kind_it_took():
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"a": [1, 2], "b": ["x", None]})
    batch = pyarrow.record_batch({"a": [1, 2]})
    array = pyarrow.array([1.5, 2.5])
    chunked = pyarrow.chunked_array([[1], [2, 3]])
    empty = pyarrow.table({"a": pyarrow.array([], pyarrow.int64())}).schema.empty_table()
    for value in (table, batch, array, chunked, [1, 2, None], {"a": [1], "b": ["x"]}, empty):
        found = decode_value(encode_value(value, "arrow"), "arrow")
        assert type(found) is type(value)
        assert found == value
    with pytest.raises(RainException, match="pyarrow table"):
        encode_value(3, "arrow")


@pytest.mark.parametrize(("content_type", "package"), [("cbor", "cbor2"), ("arrow", "pyarrow"), ("npy", "numpy")])
def test_a_missing_package_is_named(monkeypatch, content_type, package):
    import importlib

    def missing(name, *args):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    for call in (encode_value, decode_value):
        with pytest.raises(RainException, match=f"pip install {package}"):
            call(b"", content_type)
