"""Task arrays in the making: from the iterables of a `map` to columns of arguments and inputs, nothing per element.

Elements of plain values take a short way: their types are looked at in bulk, and the standard pickler does the rest.
"""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.blocks import ArrayInputs, Elementwise
from rain.client.calls import MAX_ARGUMENT_BYTES, PICKLE_PROTOCOL, PLAIN, Accepted, Collected, InputAt, InputRun
from rain.client.large import as_instance
from rain.client.objects import DataObject
from rain.client.ports import Input
from rain.client.task import Task
from rain.core.errors import RainException, RainWarning

if TYPE_CHECKING:
    from rain.client.numbers import InputItem
    from rain.client.remote import RemoteFunction

#: Elements that are looked at together.
CHUNK = 4096
#: A value that all elements share becomes a data object of its own from this pickled size on.
MAX_REPEATED_BYTES = 1024
#: Containers in which plain values are looked for, so many levels deep.
_CONTAINERS = frozenset({tuple, list, dict})
_MAX_DEPTH = 4
#: Stands for a value of an element where calls are prepared.
_VALUE = object()


class ArrayPlan:
    """An array that is not part of a graph yet: arguments, and inputs in which constants are still to be made."""

    __slots__ = ("args", "args_size", "constants", "inputs", "own_constants")

    def __init__(self) -> None:
        self.args = bytearray()
        #: One per task.
        self.args_size = array("I")
        self.inputs = ArrayInputs()
        #: Place among `inputs.columns`, or among `inputs.own`, and the instance that becomes a constant there.
        self.constants: list[tuple[int, Any]] = []
        self.own_constants: list[tuple[int, Any]] = []


def plan_calls(function: RemoteFunction, iterables: Sequence[Any], common: Mapping[str, Any]) -> ArrayPlan:
    """The calls `function(a, b, …, **common)` for the elements a, b, … of the iterables.

    Raises RainException where these are of different lengths, or an element cannot be sent; the text says which.
    """
    return _CallPlanner(function, iterables, common).plan()


class _CallPlanner:
    def __init__(self, function: RemoteFunction, iterables: Sequence[Any], common: Mapping[str, Any]) -> None:
        self._function = function
        self._plan = ArrayPlan()
        #: The inputs that all elements have in common, and those that pass element by element.
        self._start = Collected()
        #: Objects are hidden in values that all elements share: each element has to be looked at.
        self._one_by_one = False
        self._sources = [_source(each, f"{function._name}.map()") for each in iterables]
        shared = {name: self._shared(name, value) for name, value in common.items()}
        places = [
            InputAt(self._start.add_column(Elementwise(source))) if isinstance(source, ObjectArray) else _VALUE
            for source in self._sources
        ]
        self._args, self._kwargs = function._accepted(tuple(places), shared)
        self._own: list[InputItem | None] = []
        self._own_end = array("I")

    def plan(self) -> ArrayPlan:
        plan = self._plan
        for chunks in _chunks(self._sources, f"{self._function._name}.map()"):
            n = len(chunks[0])
            values = [chunk for chunk in chunks if not isinstance(chunk, range)]
            plain = not self._one_by_one and all(map(is_plain, values))
            if not plain or not self._add_plain(values, n):
                self._add_one_by_one(values, n)
            elif self._own_end:
                self._own_end.extend(array("I", (len(self._own),)) * n)
        plan.constants = self._start.constants
        plan.inputs = ArrayInputs(self._start.inputs, self._own, self._own_end)
        return plan

    def _rows(self, chunks: Iterable[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
        """The positional arguments of each call, from the chunks of values."""
        values = iter(chunks)
        return zip(*(next(values) if place is _VALUE else repeat(place) for place in self._args), strict=False)

    def _add_plain(self, values: Sequence[Sequence[Any]], n: int) -> bool:
        """Appends calls in which nothing can hide; False, and nothing done, where one is too large for that."""
        dumps, kwargs = pickle.dumps, self._kwargs
        rows = self._rows(values) if values else (self._args,)
        blobs = [dumps((row, kwargs), PICKLE_PROTOCOL) for row in rows]
        sizes = array("I", map(len, blobs))
        if max(sizes) > MAX_ARGUMENT_BYTES:
            return False
        # Without values all calls are the same.
        repeats = 1 if values else n
        self._plan.args += b"".join(blobs) * repeats
        self._plan.args_size.extend(sizes * repeats)
        return True

    def _add_one_by_one(self, values: Sequence[Sequence[Any]], n: int) -> None:
        plan, own = self._plan, self._own
        n_common = len(self._start.inputs)
        if not self._own_end:
            self._own_end = array("I", (len(own),)) * len(plan.args_size)
        for row in self._rows(values) if values else repeat(self._args, n):
            try:
                data, collected = self._function._dumped(row, self._kwargs, self._start)
            except (RainException, RainWarning) as error:
                text = f"{self._function._name}.map(), element {len(plan.args_size)}: {error}"
                raise type(error)(text) from error.__cause__
            plan.own_constants += [
                (len(own) + place - n_common, instance) for place, instance in collected.constants if place >= n_common
            ]
            own += collected.inputs[n_common:]  # type: ignore[arg-type]
            self._own_end.append(len(own))
            plan.args += data
            plan.args_size.append(len(data))

    def _shared(self, name: str, value: Any) -> Any:
        """A value that all elements share, as it stands in each call: itself, or a reference to an input."""
        if isinstance(value, DataObject | Task | TaskArray | ObjectArray) or type(value).__name__ == "DataInstance":
            reference = self._start.reference(value)
            if reference is not None:
                return InputRun(reference) if isinstance(reference, tuple) else InputAt(reference)
        if isinstance(value, GeneratorType):
            # It can be gone through only once, and every element has a right to it.
            value = list(value)
        data, collected = self._function._dump((), {name: value})
        if collected.inputs:
            self._one_by_one = True
            return value
        if len(data) > MAX_ARGUMENT_BYTES and self._function._with_context:
            raise self._function._too_large((), {name: value}, len(data))
        if len(data) <= MAX_REPEATED_BYTES and is_plain((value,)):
            return value
        position = self._start.reference(as_instance(value))
        assert isinstance(position, int), "an instance is one input"
        place = InputAt(position)
        return place if self._function._loads_inputs else Accepted(place, Input(load=True), name)


def is_plain(values: Iterable[Any], depth: int = 0) -> bool:
    """Whether all these are values of the plain built-in types, in which no data object can hide."""
    others = set(map(type, values)) - PLAIN
    if not others:
        return True
    if not others <= _CONTAINERS or depth == _MAX_DEPTH:
        return False
    inner = list(chain.from_iterable(value for value in values if type(value) is tuple or type(value) is list))
    if dict in others:
        for value in values:
            if type(value) is dict:
                inner += value
                inner += value.values()
    return is_plain(inner, depth + 1)


def _source(iterable: Any, what: str) -> ObjectArray | Iterator[Any]:
    """An array that passes element by element, or an iterator over values. Raises RainException."""
    if isinstance(iterable, TaskArray):
        return iterable.output
    if isinstance(iterable, ObjectArray):
        return iterable
    try:
        values: Iterator[Any] = iter(iterable)
    except TypeError:
        hint = "to give the same value to every task, pass it by its name, as in map(values, common=value)"
        raise RainException(
            f"{what}: expected an iterable with one value per task, found {type(iterable).__name__}; {hint}"
        ) from None
    return values


def _chunks(sources: Sequence[ObjectArray | Iterator[Any]], what: str) -> Iterator[list[Sequence[Any]]]:
    """The elements of all sources, some thousands at a time; of arrays their numbers within the array."""
    done = 0
    while True:
        chunks = [_chunk(source, done) for source in sources]
        shortest = min(map(len, chunks))
        if shortest != max(map(len, chunks)):
            lengths = list(map(len, chunks))
            short = lengths.index(shortest)
            long = lengths.index(max(lengths))
            raise RainException(
                f"{what}: iterable number {short + 1} ends after {done + shortest}, number {long + 1} goes on: "
                "all iterables of one map are equally long"
            )
        if not shortest:
            return
        yield chunks
        done += shortest


def _chunk(source: ObjectArray | Iterator[Any], done: int) -> Sequence[Any]:
    """The next values, as a list; of an array the places of the next objects, as a range."""
    if isinstance(source, ObjectArray):
        return range(done, min(done + CHUNK, len(source)))
    return list(islice(source, CHUNK))
