"""The columns of a `Done` while its rows are accepted, in order, and what that finds."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rain.core.errors import ProtocolViolation
from rain.protocol.columns import Column

if TYPE_CHECKING:
    from rain.server.machine.state import ServerSession


@dataclass(slots=True)
class DoneRows:
    """Columns per task and per output; `position` and `data_at` move on as outputs are accepted."""

    task: array[int]
    attempt: array[int]
    duration_us: array[int]
    size: array[int]
    inline: array[int]
    data: Column
    #: (position of the first among the outputs, of how many, type), ascending; see `check_types`.
    content_types: tuple[tuple[int, int, str], ...] = ()
    #: The next output, and where its bytes, if it is inline, begin in `data`.
    position: int = 0
    data_at: int = 0
    #: Objects whose bytes the stash is to keep, where these begin in `data`, and their sizes.
    stash_object: array[int] = field(default_factory=lambda: array("I"))
    stash_start: array[int] = field(default_factory=lambda: array("Q"))
    stash_size: array[int] = field(default_factory=lambda: array("Q"))
    #: Those before are of outputs before `position`.
    _types_at: int = 0
    #: Per spec: how many attempts were accepted, the sum of their durations, and that of the sizes of their results.
    per_spec: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def type_of(self, n: int) -> tuple[bool, str | None]:
        """The content type of the next `n` outputs, None where they have none; False where they differ in that."""
        place, types = self.position, self.content_types
        while self._types_at < len(types) and types[self._types_at][0] + types[self._types_at][1] <= place:
            self._types_at += 1
        if self._types_at == len(types) or types[self._types_at][0] >= place + n:
            return True, None
        first, count, name = types[self._types_at]
        stop = first + count
        for next_first, next_count, next_name in types[self._types_at + 1 :] if stop < place + n else ():
            if next_first != stop or next_name != name or stop >= place + n:
                break
            stop += next_count
        return (first <= place and stop >= place + n), name

    def pass_outputs(self, n: int) -> None:
        """The next outputs are not accepted."""
        stop = self.position + n
        for place in range(self.position, stop):
            if self.inline[place]:
                self.data_at += self.size[place]
        self.position = stop

    def accepted(self, spec: int, n: int, total_us: int, n_bytes: int) -> None:
        """So many attempts of tasks of this spec were accepted."""
        count, sum_us, sum_bytes = self.per_spec.get(spec, (0, 0, 0))
        self.per_spec[spec] = (count + n, sum_us + total_us, sum_bytes + n_bytes)


def check_types(content_types: tuple[tuple[int, int, str], ...], n_outputs: int) -> None:
    """Raises ProtocolViolation unless these are types of outputs of the message, one each, in order."""
    stop = 0
    for first, n, _ in content_types:
        if not (stop <= first and 0 < n <= n_outputs - first):
            raise ProtocolViolation(f"done: a content type of outputs {first} … {first + n - 1} of {n_outputs}")
        stop = first + n


def type_number(session: ServerSession, content_type: str | None) -> int:
    """The number of a content type in the session; 0, which is none, when there are too many."""
    number = session.type_numbers.get(content_type)
    if number is None:
        if len(session.content_types) > 0xFFFF:
            return 0
        number = session.type_numbers[content_type] = len(session.content_types)
        session.content_types.append(content_type)
    return number
