"""From what a fetch brought to what a user sees: one value per object, a list of them per array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rain.client.arrays import ObjectArray
from rain.client.graph import Constant
from rain.client.objects import DataObject
from rain.client.records import ObjectRecord
from rain.core.user import decode_user

if TYPE_CHECKING:
    from rain.data.instance import DataInstance
    from rain.wire.holder import Stored


@dataclass(slots=True, frozen=True)
class FetchedData:
    """What a fetch brought: the objects in the order asked for, and by number the JSON of each `info.user` there is."""

    stored: list[Stored]
    users: dict[int, bytes]


def fetched_values(
    objects: Sequence[DataObject | ObjectArray], fetched: FetchedData
) -> Iterator[DataInstance | list[DataInstance]]:
    """The values in the order of the objects; `fetched`: those that are no constants, arrays element by element."""
    from rain.data.instance import DataInstance

    found, users = iter(fetched.stored), fetched.users
    for obj in objects:
        if isinstance(obj, ObjectArray):
            yield [_instance(next(found), obj._plan(number), users.get(number, b"")) for number in obj._numbers]
            continue
        user = users.get(obj._number, b"")
        if isinstance(obj._constant, Constant):
            instance = DataInstance(obj._constant.data, content_type=obj._constant.content_type, spec=obj.spec)
        else:
            instance = _instance(next(found), obj.spec, user)
        obj._info = ObjectRecord(instance.size, instance.content_type, user=user)
        yield instance


def _instance(stored: Stored, spec: Any, user: bytes) -> DataInstance:
    from rain.data.instance import DataInstance

    info = SimpleNamespace(user=decode_user(user))
    if isinstance(stored.data, bytes):
        return DataInstance(stored.data, content_type=stored.content_type, size=stored.size, spec=spec, info=info)
    assert isinstance(stored.data, Path), "what was fetched is in memory or in a file of our own"
    return DataInstance(
        path=stored.data, temporary=True, content_type=stored.content_type, size=stored.size, spec=spec, info=info
    )
