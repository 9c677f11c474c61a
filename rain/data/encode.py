"""Values to bytes of a content type, and back. Optional libraries are imported where their types are used."""

from __future__ import annotations

import io
import json
import math
import pickle
import struct
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType, GeneratorType, ModuleType
from typing import Any

from rain.core.content import checked_type, text_encoding
from rain.core.errors import RainException
from rain.data import pickling

#: The first bytes of a `cloudpickle` object with out-of-band buffers. No pickle begins like that: its first is 0x80.
_OUT_OF_BAND = b"rain.oob"
_COUNT = struct.Struct("<Q")
#: Buffers begin at multiples of it, so that arrays over a mapped file are aligned for any instruction.
_ALIGNMENT = 64
#: An `npy` begins with magic and header; numpy itself refuses headers of more than 10,000 characters.
_MAX_NPY_HEAD_BYTES = 16 << 10


def encode_value(value: Any, content_type: str | None) -> bytes:
    """The bytes of a value as this content type.

    Raises RainException where the type is unknown, has no encoder, or the value does not suit it.
    """
    name = checked_type(content_type)
    encoding = text_encoding(name)
    try:
        if name is None:
            return _as_bytes(value)
        if encoding is not None:
            return _encode_text(value, encoding)
        encoder = _ENCODERS.get(name)
        if encoder is None:
            raise RainException(f"encode the value yourself and pass the bytes with content_type={name!r}")
        return encoder(value)
    # Encoders run methods of the user's value, which may raise anything.
    except Exception as error:
        raise RainException(
            f"A value of type {type(value).__qualname__} cannot be encoded as {name!r}: {error}{_advice(value, name)}"
        ) from error


def decode_value(data: bytes | bytearray | memoryview, content_type: str | None) -> Any:
    """The value that bytes of this content type encode; large buffers in it may be read-only views of `data`.

    Raises RainException where the type is unknown or has no decoder, or the bytes are not of it.
    """
    name = checked_type(content_type)
    encoding = text_encoding(name)
    view = memoryview(data)
    try:
        if name is None:
            return bytes(view)
        if encoding is not None:
            return str(view, encoding)
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise RainException("there is no decoder for it; get_bytes() gives the bytes")
        return decoder(view)
    except Exception as error:
        hint = ""
        if name == "pickle" and isinstance(error, AttributeError | ImportError):
            hint = "; 'pickle' needs the class's module on both sides, 'cloudpickle' takes it along"
        raise RainException(f"{len(view)} bytes cannot be decoded as {name!r}: {error}{hint}") from error


def unfinished_advice(value: object) -> str:
    """What to do about a value that is not computed yet, such as a generator; "" for all others."""
    if isinstance(value, GeneratorType):
        return "it has not run yet: return list(…) of it"
    if isinstance(value, CoroutineType):
        return "it has not run yet: `await` it in a function with `async def`, which runs to its end as a task"
    if isinstance(value, AsyncGeneratorType):
        return "it has not run yet: return [each async for each in …] from a function with `async def`"
    return ""


def _advice(value: object, content_type: str | None) -> str:
    unfinished = unfinished_advice(value)
    if unfinished:
        return f"; {unfinished}"
    return "; 'cloudpickle' takes classes and functions of a script along" if content_type == "pickle" else ""


# ------------------------------------------------------------------------------------------ the encodings


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise RainException("raw bytes are needed where there is no content type")


def _encode_text(value: Any, encoding: str) -> bytes:
    if isinstance(value, str):
        return value.encode(encoding)
    raise RainException("a str is needed")


def _encode_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _decode_json(data: memoryview) -> Any:
    return json.loads(str(data, "utf-8"))


def _encode_cloudpickle(value: Any) -> bytes:
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:
            return True  # not contiguous: stays in the pickle
        # Small ones are not worth the alignment; writable ones (bytearray) must come back writable.
        if view.nbytes < 1024:
            return True
        buffers.append(view)
        return False

    stream = pickling.dumps(value, keep)
    if not buffers:
        return stream
    sizes = [len(stream), *(view.nbytes for view in buffers)]
    header = _OUT_OF_BAND + _COUNT.pack(len(sizes)) + b"".join(map(_COUNT.pack, sizes))
    parts: list[bytes | memoryview] = [header]
    offset = len(header)
    for part in (memoryview(stream), *buffers):
        padding = -offset % _ALIGNMENT
        parts += (bytes(padding), part)
        offset += padding + part.nbytes
    return b"".join(parts)


def _decode_cloudpickle(data: memoryview) -> Any:
    if bytes(data[: len(_OUT_OF_BAND)]) != _OUT_OF_BAND:
        return pickling.loads(data)
    offset = len(_OUT_OF_BAND)
    (count,) = _COUNT.unpack_from(data, offset)
    sizes = [_COUNT.unpack_from(data, offset + 8 * (i + 1))[0] for i in range(count)]
    offset += 8 * (count + 1)
    parts = []
    for size in sizes:
        offset += -offset % _ALIGNMENT
        parts.append(data[offset : offset + size].toreadonly())
        offset += size
    if offset > len(data):
        raise RainException(f"it ends after {len(data)} of {offset} bytes")
    return pickling.loads(parts[0], parts[1:])


def _encode_cbor(value: Any) -> bytes:
    encoded: bytes = _optional("cbor2", "cbor2", "cbor").dumps(value)
    return encoded


def _decode_cbor(data: memoryview) -> Any:
    return _optional("cbor2", "cbor2", "cbor").loads(bytes(data))


def _encode_npy(value: Any) -> bytes:
    file = io.BytesIO()
    numpy = _optional("numpy", "numpy", "numpy")
    numpy.save(file, numpy.asarray(value), allow_pickle=False)
    return file.getvalue()


def _decode_npy(data: memoryview) -> Any:
    numpy = _optional("numpy", "numpy", "numpy")
    head = io.BytesIO(data[:_MAX_NPY_HEAD_BYTES])
    readers = {
        (1, 0): numpy.lib.format.read_array_header_1_0,
        (2, 0): numpy.lib.format.read_array_header_2_0,
    }
    reader = readers.get(numpy.lib.format.read_magic(head))
    if reader is not None:
        shape, is_fortran, dtype = reader(head)
        if not dtype.hasobject and math.prod(shape) and dtype.itemsize:
            flat = numpy.frombuffer(data.toreadonly(), dtype, math.prod(shape), head.tell())
            return flat.reshape(shape, order="F" if is_fortran else "C")
    # Rare: nothing in it, field names outside of latin1, or objects, which are refused.
    return numpy.load(io.BytesIO(data), allow_pickle=False)


def _encode_arrow(value: Any) -> bytes:
    from rain.data import arrow

    return arrow.encode(_optional("pyarrow", "pyarrow", "arrow"), value)


def _decode_arrow(data: memoryview) -> Any:
    from rain.data import arrow

    return arrow.decode(_optional("pyarrow", "pyarrow", "arrow"), data)


def _encode_protobuf(value: Any) -> bytes:
    if not hasattr(value, "SerializeToString"):
        raise RainException("a protobuf message is needed")
    encoded: bytes = value.SerializeToString()
    return encoded


def _decode_protobuf(data: memoryview) -> Any:
    raise RainException("the bytes do not say which message they are; use YourMessage.FromString(instance.get_bytes())")


def _optional(module: str, package: str, extra: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RainException(
            f"the package '{package}' is not installed here: pip install {package} (or rain[{extra}])"
        ) from error


_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "json": _encode_json,
    "pickle": pickle.dumps,
    "cloudpickle": _encode_cloudpickle,
    "cbor": _encode_cbor,
    "arrow": _encode_arrow,
    "npy": _encode_npy,
    "protobuf": _encode_protobuf,
}
_DECODERS: dict[str, Callable[[memoryview], Any]] = {
    "json": _decode_json,
    "pickle": pickle.loads,
    "cloudpickle": _decode_cloudpickle,
    "cbor": _decode_cbor,
    "arrow": _decode_arrow,
    "npy": _decode_npy,
    "protobuf": _decode_protobuf,
}
