"""Inputs that come inside a message: all of them, or a clear violation and nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rain.core.errors import ProtocolViolation
from rain.protocol.columns import EMPTY, pack
from rain.protocol.worker import Compute
from rain.wire.holder import Stored
from rain.worker.sources import store_inline_sources
from rain.worker.store import ObjectStore


def message(**sources: Any) -> Compute:
    return Compute(
        session=1, task=EMPTY, spec=EMPTY, attempt=EMPTY, first_output=EMPTY, n_inputs=EMPTY,
        **{
            "source": pack("I", [4, 5, 6]),
            "source_holder": pack("I", [0, 2, 0]),
            "source_size": pack("Q", [3, 100, 0]),
            "source_inline": pack("B", [1, 0, 1]),
            "source_data": memoryview(b"abc"),
            "source_types": ("text", None, None),
            **sources,
        },
    )  # fmt: skip


def test_inline_sources_are_in_the_store_and_others_are_not(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    store_inline_sources(message(), store)
    assert [store.get(1, obj) for obj in (4, 5, 6)] == [Stored(3, "text", b"abc"), None, Stored(0, None, b"")]


def test_a_message_without_sources_changes_nothing(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    store_inline_sources(
        message(source=EMPTY, source_holder=EMPTY, source_size=EMPTY, source_inline=EMPTY, source_data=EMPTY), store
    )
    assert store.get(1, 4) is None


@pytest.mark.parametrize(
    "sources",
    [
        {"source_data": memoryview(b"ab")},
        {"source_data": memoryview(b"abcd")},
        {"source_size": pack("Q", [3, 100])},
        {"source_inline": pack("B", [1])},
        {"source_types": ("text",)},
    ],
)
def test_columns_that_contradict_one_another_are_refused(tmp_path: Path, sources: dict[str, Any]) -> None:
    store = ObjectStore(tmp_path)
    with pytest.raises(ProtocolViolation):
        store_inline_sources(message(**sources), store)
    assert store.get(1, 4) is None
