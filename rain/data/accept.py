"""What a parameter of a Python task asks of its input; arguments are pickled as calls of it, so executors run it."""

from __future__ import annotations

from typing import Any

from rain.core.content import is_subtype
from rain.core.errors import RainException
from rain.data.instance import DataInstance, source_of


def accept_input(
    instance: DataInstance | list[DataInstance], content_type: str | None, load: bool, parameter: str
) -> Any:
    """The input as the parameter wants it: of this type or a subtype (one without a type is taken as it), or its value.

    Of a list each one. Raises RainException where the input is of another type, or cannot be decoded.
    """
    if isinstance(instance, list):
        return [accept_input(each, content_type, load, parameter) for each in instance]
    found = instance.content_type
    if found is not None and not is_subtype(found, content_type):
        raise RainException(
            f"argument '{parameter}': the object's content type {found!r} is no subtype of {content_type!r}, "
            "which its Input asks for"
        )
    if found is None and content_type is not None:
        instance = _retyped(instance, content_type)
    return instance.load() if load else instance


def _retyped(instance: DataInstance, content_type: str | None) -> DataInstance:
    source = source_of(instance)
    if isinstance(source, bytes):
        return DataInstance(source, content_type=content_type, spec=instance.spec, info=instance.info)
    return DataInstance(
        path=source, content_type=content_type, size=instance.size, spec=instance.spec, info=instance.info
    )
