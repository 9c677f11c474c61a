"""What a parameter of a Python task asks of its input; arguments are pickled as calls of it, so executors run it."""

from __future__ import annotations

from typing import Any

from rain.core.content import settled_type
from rain.data.instance import DataInstance, source_of


def accept_input(instance: DataInstance | list[DataInstance], content_type: str | None, load: bool) -> Any:
    """The input as the parameter wants it: of this type or a subtype (one without a type is taken as it), or its value.

    Of a list each one. Raises RainException where the input is of another type, or cannot be decoded.
    """
    if isinstance(instance, list):
        return [accept_input(each, content_type, load) for each in instance]
    settled = settled_type(content_type, instance.content_type)
    if settled != instance.content_type:
        instance = _retyped(instance, settled)
    return instance.load() if load else instance


def _retyped(instance: DataInstance, content_type: str | None) -> DataInstance:
    source = source_of(instance)
    if isinstance(source, bytes):
        return DataInstance(source, content_type=content_type, info=instance.info)
    return DataInstance(path=source, content_type=content_type, size=instance.size, info=instance.info)
