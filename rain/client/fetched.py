"""From what a fetch brought to what a user sees: one value per object, a list of them per array."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
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
            yield _elements(obj, islice(found, len(obj)), users)
            continue
        user = users.get(obj._number, b"")
        if isinstance(obj._constant, Constant):
            instance = DataInstance(obj._constant.data, content_type=obj._constant.content_type, spec=obj.spec)
        else:
            instance = _instance(next(found), obj.spec, user)
        obj._info = ObjectRecord(instance.size, instance.content_type, user=user)
        yield instance


def _elements(array: ObjectArray, stored: Iterable[Stored], users: dict[int, bytes]) -> list[DataInstance]:
    """The values of an array; there may be many, so what is seldom asked for is made when it is."""
    from rain.data.instance import instance_of

    plan = array._plan
    with _without_collections():
        return [
            instance_of(each.data, each.content_type, plan, number)
            if type(each.data) is bytes and number not in users
            else _instance(each, plan(number), users.get(number, b""))
            for number, each in zip(array._numbers, stored, strict=True)
        ]


@contextmanager
def _without_collections() -> Iterator[None]:
    """Garbage collections meanwhile would look at all the new instances again and again, and find nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _instance(stored: Stored, spec: Any, user: bytes) -> DataInstance:
    from rain.data.instance import DataInstance
    from rain.data.instance_info import InstanceInfo

    info = InstanceInfo(stored.size, stored.content_type, decode_user(user))
    if isinstance(stored.data, bytes):
        return DataInstance(stored.data, content_type=stored.content_type, size=stored.size, spec=spec, info=info)
    assert isinstance(stored.data, Path), "what was fetched is in memory or in a file of our own"
    return DataInstance(
        path=stored.data, temporary=True, content_type=stored.content_type, size=stored.size, spec=spec, info=info
    )
