"""Large arguments: values that become data objects by themselves, the same bytes only once in a session.

A loop that passes one array to a thousand calls makes one object of it, which is uploaded once.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rain.client.graph import Constant
from rain.client.objects import DataObject
from rain.client.task import Task
from rain.core.errors import RainException

if TYPE_CHECKING:
    from rain.client.session import Session
    from rain.data.instance import DataInstance

#: Arguments become data objects from this size on, once all of a call's are together too large for it.
LARGE_ARGUMENT_BYTES = 64 << 10
#: Two constants are compared in full only where pieces of this size at the beginning, middle and end are equal.
_PIECE_BYTES = 256


class LargeConstants:
    """The large constants that a session made of arguments, by their content, while anybody has a handle of them.

    Not thread-safe, its graph holds the lock.
    """

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        #: By size, type and some pieces: the latest one.
        self._latest: weakref.WeakValueDictionary[object, DataObject] = weakref.WeakValueDictionary()

    def find(self, constant: Constant) -> DataObject | None:
        """An object with the same bytes of the same type; None where there is none."""
        known = self._latest.get(_key(constant))
        return known if known is not None and known.data == constant.data else None

    def add(self, constant: Constant, obj: DataObject) -> None:
        """Remembers a new one."""
        self._latest[_key(constant)] = obj


def argument_objects(session: Session, instances: Sequence[DataInstance]) -> list[DataObject]:
    """Constants of the session, one per instance; large ones of the same content and type are the same object."""
    graph = session._graph
    found = []
    with graph.lock:
        for instance in instances:
            constant = Constant(instance.get_bytes(), instance.content_type, "argument")
            is_large = constant.size >= LARGE_ARGUMENT_BYTES
            obj = graph.large_constants.find(constant) if is_large else None
            if obj is None:
                [number] = graph.add_constants([constant])
                obj = DataObject(session, number, None, constant)
                if is_large:
                    graph.large_constants.add(constant, obj)
            found.append(obj)
    return found


def with_large_as_instances(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call with instances for the large ones; the same value twice is the same instance."""
    made: dict[int, Any] = {}

    def replaced(value: Any) -> Any:
        if id(value) not in made:
            made[id(value)] = _instance_if_large(value)
        return made[id(value)]

    return tuple(map(replaced, args)), {name: replaced(value) for name, value in kwargs.items()}


def is_large_array(value: Any) -> bool:
    """Whether it is a large numpy array in which no data object can hide."""
    kind = type(value)
    if kind.__name__ != "ndarray" or kind.__module__ != "numpy":
        return False
    return bool(value.nbytes > LARGE_ARGUMENT_BYTES and not value.dtype.hasobject)


def as_instance(value: Any) -> DataInstance:
    """The value, encoded. Raises RainException where it cannot be, as what contains data objects cannot."""
    from rain.data.encode import encode_value
    from rain.data.instance import DataInstance

    return DataInstance(encode_value(value, "cloudpickle"), content_type="cloudpickle")


def _instance_if_large(value: Any) -> Any:
    """A large value as an instance, which becomes an input; others, and what contains data objects, as they are."""
    from rain.data.instance import DataInstance

    if isinstance(value, DataObject | Task | DataInstance):
        return value
    try:
        instance = as_instance(value)
    except RainException:
        return value
    return instance if instance.size > LARGE_ARGUMENT_BYTES else value


def _key(constant: Constant) -> object:
    data, middle = constant.data, constant.size // 2
    pieces = data[:_PIECE_BYTES], data[middle : middle + _PIECE_BYTES], data[-_PIECE_BYTES:]
    return constant.size, constant.content_type, pieces
