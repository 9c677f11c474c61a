"""From what a fetch brought to what a user sees: one value per object, a list of them per array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rain.client.arrays import ObjectArray
from rain.client.objects import DataObject
from rain.client.records import ObjectRecord

if TYPE_CHECKING:
    from rain.data.instance import DataInstance
    from rain.wire.holder import Stored


def fetched_values(
    objects: Sequence[DataObject | ObjectArray], stored: Iterable[Stored]
) -> Iterator[DataInstance | list[DataInstance]]:
    """The values in the order of the objects; `stored`: those that are no constants, arrays element by element."""
    from rain.data.instance import DataInstance

    found = iter(stored)
    for obj in objects:
        if isinstance(obj, ObjectArray):
            yield [_instance(next(found), obj._plan(number)) for number in obj._numbers]
            continue
        if obj._constant is not None:
            instance = DataInstance(obj._constant.data, content_type=obj._constant.content_type, spec=obj.spec)
        else:
            instance = _instance(next(found), obj.spec)
        obj._info = ObjectRecord(instance.size, instance.content_type)
        yield instance


def _instance(stored: Stored, spec: Any) -> DataInstance:
    from rain.data.instance import DataInstance

    if isinstance(stored.data, bytes):
        return DataInstance(stored.data, content_type=stored.content_type, size=stored.size, spec=spec)
    return DataInstance(path=stored.data, temporary=True, content_type=stored.content_type, size=stored.size, spec=spec)
