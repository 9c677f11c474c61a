"""The effects of one `handle` call, gathered so that each kind leaves as few batches as possible."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rain.core.note import TaskNote, note_bytes
from rain.protocol.columns import column, counting, unpack
from rain.protocol.executor import RangeDone, TaskDone
from rain.protocol.worker import MAX_INLINE_RESULT, Done, Fetched, FromWorker
from rain.worker.machine.effects import Discard, Effect, Fetch, ReportDone, RunBatch, Tell
from rain.worker.machine.numbers import NumberSet

if TYPE_CHECKING:
    from rain.worker.machine.state import HeldRun

#: A report with more than this in notes is closed, and another one begun.
MAX_NOTES_BYTES = 8 << 20


@dataclass(slots=True)
class Results:
    """Columns of a `Done` that grows; what they are stands there."""

    task: array[int] = field(default_factory=lambda: array("I"))
    attempt: array[int] = field(default_factory=lambda: array("I"))
    duration_us: array[int] = field(default_factory=lambda: array("I"))
    size: array[int] = field(default_factory=lambda: array("Q"))
    inline: array[int] = field(default_factory=lambda: array("B"))
    objects: array[int] = field(default_factory=lambda: array("I"))
    content_types: list[tuple[int, int, str]] = field(default_factory=list)
    notes: list[tuple[int, TaskNote]] = field(default_factory=list)
    object_users: list[tuple[int, bytes]] = field(default_factory=list)
    notes_bytes: int = 0

    def add(self, done: TaskDone, first_output: int) -> None:
        """One more task."""
        if done.note is not None:
            self.notes.append((len(self.task), done.note))
            self.notes_bytes += note_bytes(done.note)
        self.task.append(done.task)
        self.attempt.append(done.attempt)
        self.duration_us.append(min(done.duration_us, 0xFFFFFFFF))
        for obj, output in enumerate(done.outputs, first_output):
            if output.content_type is not None:
                self.content_types.append((len(self.size), 1, output.content_type))
            if output.user:
                self.object_users.append((len(self.size), output.user))
            self.size.append(output.size)
            self.inline.append(output.size <= MAX_INLINE_RESULT)
            self.objects.append(obj)

    def add_range(self, done: RangeDone, start: int, run: HeldRun) -> int:
        """The tasks of the run, of which the first is the one at `start` of a range; the microseconds of all."""
        n_outputs = run.spec.n_outputs
        stop = start + run.count
        durations = unpack("I", done.duration_us[4 * start : 4 * stop], "duration_us")
        sizes = unpack("Q", done.size[8 * start * n_outputs : 8 * stop * n_outputs], "size")
        if done.content_type is not None:
            self.content_types.append((len(self.size), len(sizes), done.content_type))
        self.task.extend(counting(run.task, run.count))
        self.attempt.extend(array("I", (done.attempt,)) * run.count)
        self.duration_us.extend(durations)
        self.size.extend(sizes)
        if max(sizes, default=0) <= MAX_INLINE_RESULT:
            self.inline.extend(array("B", (1,)) * len(sizes))
        else:
            self.inline.extend(array("B", [size <= MAX_INLINE_RESULT for size in sizes]))
        self.objects.extend(counting(run.first_output, run.n_outputs))
        return sum(durations)

    def report(self, session: int, urgent: bool) -> ReportDone:
        """The order to send them."""
        done = Done(
            session=session,
            task=column(self.task),
            attempt=column(self.attempt),
            duration_us=column(self.duration_us),
            size=column(self.size),
            inline=column(self.inline),
            content_types=tuple(self.content_types),
            notes=tuple(self.notes),
            object_users=tuple(self.object_users),
        )
        return ReportDone(done, self.objects, urgent)


@dataclass(slots=True)
class TurnEffects:
    """Effects in order, and the batches that are still open."""

    effects: list[Effect] = field(default_factory=list)
    _results: dict[int, Results] = field(default_factory=dict)
    _fetched: dict[int, array[int]] = field(default_factory=dict)
    _fetches: dict[tuple[int, int], tuple[array[int], array[int]]] = field(default_factory=dict)
    #: Per session.
    _discards: dict[int, NumberSet] = field(default_factory=dict)

    @property
    def has_results(self) -> bool:
        """Results wait for `close`."""
        return bool(self._results)

    def order(self, effect: Effect) -> None:
        """An effect that need not wait for others."""
        self.effects.append(effect)

    def run(self, batch: RunBatch) -> None:
        """Tasks for an executor, which may be quick: what is to go of an older attempt at them goes before they run.

        The files of both have the same names.
        """
        discards = self._discards.get(batch.session)
        if discards and any(discards.any_of(run.first_output, run.count * run.n_outputs) for run in batch.runs):
            # A report may carry the bytes of what goes.
            self._flush_news(urgent=False)
            self._flush_discards()
        self.effects.append(batch)

    def tell(self, message: FromWorker) -> None:
        """A message, after the news that came before it."""
        self._flush_news(urgent=True)
        self.effects.append(Tell(message))

    def results(self, session: int) -> Results:
        """Where to add results of a session; valid until the next `tell`."""
        found = self._results.get(session)
        if found is not None and found.notes_bytes > MAX_NOTES_BYTES:
            self._flush_news(urgent=False)
            found = None
        if found is None:
            found = self._results[session] = Results()
        return found

    def fetched(self, session: int, obj: int) -> None:
        """The server is to know that this object is here now."""
        self._fetched.setdefault(session, array("I")).append(obj)

    def fetch(self, session: int, holder: int, obj: int, size: int) -> None:
        """An object to get."""
        objects, sizes = self._fetches.setdefault((session, holder), (array("I"), array("Q")))
        objects.append(obj)
        sizes.append(size)

    def discard(self, session: int, obj: int, count: int = 1) -> None:
        """An object to remove, or several neighbours, unless it comes back within this call."""
        self._discards.setdefault(session, NumberSet()).add(obj, count)

    def keep(self, session: int, obj: int, count: int = 1) -> None:
        """The object is in the store anew: it must not be removed for what was said before."""
        if session in self._discards:
            self._discards[session].discard(obj, count)

    def forget_session(self, session: int) -> None:
        """Nobody wants to hear of this session any more."""
        self._results.pop(session, None)
        self._fetched.pop(session, None)
        self._discards.pop(session, None)
        for key in [key for key in self._fetches if key[0] == session]:
            del self._fetches[key]

    def close(self, urgent: bool) -> list[Effect]:
        """All effects of the call. Removals come before fetches, which may bring the same object again."""
        self._flush_news(urgent)
        self._flush_discards()
        self.effects += [Fetch(*key, *columns) for key, columns in self._fetches.items()]
        return self.effects

    def _flush_news(self, urgent: bool) -> None:
        self.effects += [results.report(session, urgent) for session, results in self._results.items()]
        self.effects += [Tell(Fetched(session, column(objects))) for session, objects in self._fetched.items()]
        self._results.clear()
        self._fetched.clear()

    def _flush_discards(self) -> None:
        self.effects += [Discard(session, _numbers(objects)) for session, objects in self._discards.items() if objects]
        self._discards.clear()


def _numbers(objects: NumberSet) -> array[int]:
    numbers = array("I")
    for first, count in objects.stretches():
        numbers.extend(counting(first, count))
    return numbers
