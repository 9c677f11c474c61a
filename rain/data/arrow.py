"""Arrow values to an IPC stream and back to the same kind; pyarrow is passed in, so that nobody imports it in vain."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from rain.core.errors import RainException

#: Key of the schema's metadata that says what the value was; a stream without it is a table.
_KIND = b"rain.kind"
#: The column of an array or a list.
_COLUMN = "value"


def encode(pyarrow: ModuleType, value: Any) -> bytes:
    """The IPC stream of a table, batch, array, chunked array, list, or dict of lists."""
    kind, table = _as_table(pyarrow, value)
    if kind != b"table":
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KIND: kind})
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def decode(pyarrow: ModuleType, data: memoryview) -> Any:
    """What was encoded; tables and arrays are views of `data`."""
    with pyarrow.ipc.open_stream(pyarrow.py_buffer(data)) as reader:
        table = reader.read_all()
    metadata = dict(table.schema.metadata or {})
    kind = metadata.pop(_KIND, b"table")
    if kind == b"table":
        return table
    if kind == b"batch":
        return _only_batch(pyarrow, table.replace_schema_metadata(metadata or None))
    if kind == b"dict":
        return table.to_pydict()
    column = table.column(_COLUMN)
    if kind == b"list":
        return column.to_pylist()
    return column.combine_chunks() if kind == b"array" else column


def _as_table(pyarrow: ModuleType, value: Any) -> tuple[bytes, Any]:
    if isinstance(value, pyarrow.Table):
        return b"table", value
    if isinstance(value, pyarrow.RecordBatch):
        return b"batch", pyarrow.Table.from_batches([value])
    if isinstance(value, pyarrow.ChunkedArray):
        return b"chunked", pyarrow.table({_COLUMN: value})
    if isinstance(value, pyarrow.Array):
        return b"array", pyarrow.table({_COLUMN: value})
    if isinstance(value, list):
        return b"list", pyarrow.table({_COLUMN: pyarrow.array(value)})
    if isinstance(value, dict):
        return b"dict", pyarrow.table(value)
    hint = "; pyarrow.Table.from_pandas(…) makes one of a DataFrame" if type(value).__name__ == "DataFrame" else ""
    raise RainException(f"a pyarrow table, batch or array, a list, or a dict of lists is needed{hint}")


def _only_batch(pyarrow: ModuleType, table: Any) -> Any:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pyarrow.RecordBatch.from_pylist([], schema=table.schema)
