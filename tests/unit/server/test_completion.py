"""Messages completed by the stash: the right bytes for every task, and never a message that is too large."""

from __future__ import annotations

from array import array
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rain.core.errors import InvariantViolation
from rain.protocol.client import Located
from rain.protocol.columns import EMPTY, pack
from rain.protocol.transfer import Peer
from rain.protocol.worker import Compute
from rain.server import completion
from rain.server.completion import complete_compute, complete_located
from rain.server.stash import Stash
from tests.unit.server.bench import pieces, submit


def stash_of(args: list[bytes], small: dict[int, bytes] | None = None) -> Stash:
    stash = Stash(Path("unused"))
    stash.open(1, 1)
    stash.take_submit(1, submit(args=args, inline=[(obj, data, None) for obj, data in (small or {}).items()]))
    return stash


def order(inputs: list[list[int]], sources: dict[int, tuple[int, int]] | None = None) -> Compute:
    """One task per list of inputs; sources: object to (size, 1 when its bytes travel inside)."""
    sources = sources or {}
    n = len(inputs)
    return Compute(
        session=1,
        task=pack("I", range(n)),
        spec=pack("I", [0] * n),
        attempt=pack("I", [1] * n),
        first_output=pack("I", range(100, 100 + n)),
        n_inputs=pack("I", map(len, inputs)),
        inputs=pack("I", [obj for row in inputs for obj in row]),
        source=pack("I", sources),
        source_holder=pack("I", [0] * len(sources)),
        source_size=pack("Q", (size for size, _ in sources.values())),
        source_inline=pack("B", (inline for _, inline in sources.values())),
        source_types=(None,) * len(sources),
        peers=(Peer(2, "h", 1, "k"),),
    )


def test_arguments_and_inline_sources_are_filled_in():
    stash = stash_of([b"a", b"", b"ccc"], {7: b"seven", 9: b"nine"})
    [compute] = complete_compute(stash, order([[7], [8], [9]], {7: (5, 1), 8: (10**9, 0), 9: (4, 1)}))
    assert pieces(compute.args_size, compute.args) == [b"a", b"", b"ccc"]
    assert bytes(compute.source_data) == b"sevennine"
    assert list(compute.source_inline) == [1, 0, 1]


def test_without_arguments_the_sizes_are_zero_for_each_task():
    [compute] = complete_compute(stash_of([b"", b""]), order([[], []]))
    assert bytes(compute.args_size) == bytes(8)
    assert compute.args == EMPTY


def test_a_source_that_the_stash_has_not_got_is_our_mistake():
    with pytest.raises(InvariantViolation, match=r"s1.o7 is not in the stash"):
        complete_compute(stash_of([b""]), order([[7]], {7: (5, 1)}))


def test_more_inline_sources_than_fit_are_left_to_the_data_endpoint(monkeypatch):
    monkeypatch.setattr(completion, "INLINE_BYTES", 6)
    stash = stash_of([b""], {7: b"seven", 8: b"eight", 9: b"9"})
    [compute] = complete_compute(stash, order([[7, 8, 9]], {7: (5, 1), 8: (5, 1), 9: (1, 1)}))
    sent = [size for size, inline in zip([5, 5, 1], compute.source_inline, strict=True) if inline]
    assert len(compute.source_data) == sum(sent) <= 6
    assert compute.source_inline[0] == 1


@given(
    st.lists(st.tuples(st.binary(max_size=30), st.lists(st.integers(50, 60), max_size=4)), min_size=1, max_size=12),
    st.integers(1, 150),
)
def test_a_message_that_is_too_large_becomes_several_with_the_same_tasks(tasks, limit):
    args = [data for data, _ in tasks]
    inputs = [row for _, row in tasks]
    sources = {obj: (3, obj % 2) for row in inputs for obj in row}
    stash = stash_of(args, {obj: f"o{obj}".encode() for obj in range(50, 61)})
    messages = complete_compute(stash, order(inputs, sources), limit)
    seen: set[int] = set()
    found: list[tuple[bytes, list[int]]] = []
    for message in messages:
        objects = array("I", bytes(message.source))
        lengths = [3 if inline else 0 for inline in message.source_inline]
        assert bytes(message.source_data) == b"".join(f"o{o}".encode() for o in objects if o % 2)
        assert len(message.source_data) == sum(lengths)
        assert not seen.intersection(objects)
        seen.update(objects)
        own = array("I", bytes(message.inputs))
        assert seen.issuperset(own)
        position = 0
        rows = zip(array("I", bytes(message.n_inputs)), pieces(message.args_size, message.args), strict=True)
        for n, data in rows:
            found.append((data, list(own[position : position + n])))
            position += n
    assert found == tasks
    assert b"".join(bytes(message.task) for message in messages) == bytes(pack("I", range(len(tasks))))
    assert [len(message.peers) for message in messages] == [1] + [0] * (len(messages) - 1)
    for message in messages:
        cost = len(message.args) + len(message.inputs) + 24 * (len(message.task) // 4)
        assert cost <= limit or len(message.task) == 4


def test_located_objects_travel_inside_the_answer_where_the_machine_says_so():
    stash = stash_of([], {3: b"abc", 5: b"de"})
    located = Located(
        request=1,
        holder=pack("I", [0, 2, 0]),
        size=pack("Q", [3, 10**6, 2]),
        inline=pack("B", [1, 0, 1]),
        data=EMPTY,
        content_types=(None, None, "text"),
    )
    completed = complete_located(stash, 1, pack("I", [3, 4, 5]), located)
    assert bytes(completed.data) == b"abcde"
    assert list(completed.inline) == [1, 0, 1]


def test_what_users_attached_goes_with_the_tasks_and_inputs_it_is_of():
    users = {"task_users": ((0, b"t0"), (2, b"t2")), "object_users": ((7, b"s7", b""), (8, b"", b"i8"))}
    compute = msgspec.structs.replace(order([[7], [8], [7, 8]]), **users)
    stash = stash_of([b"a" * 100] * 3)
    assert (complete_compute(stash, compute)[0].task_users) == users["task_users"]
    first, second, third = complete_compute(stash, compute, limit=1)
    assert (first.task_users, first.object_users) == (((0, b"t0"),), ((7, b"s7", b""),))
    assert (second.task_users, second.object_users) == ((), ((8, b"", b"i8"),))
    assert (third.task_users, third.object_users) == (((0, b"t2"),), users["object_users"])
