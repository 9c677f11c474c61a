"""Everything that a program which uses Rain needs: `from rain.client import Client, tasks, blob`."""

from typing import TYPE_CHECKING, Any

from rain.client import tasks
from rain.client.active import get_active_session
from rain.client.client import Client
from rain.client.execute import Program
from rain.client.local import local
from rain.client.objects import DataObject, blob, directory, file, pickled, to_dataobj
from rain.client.ports import Input, InputDir, Output, OutputDir
from rain.client.remote import function, remote
from rain.client.session import Session
from rain.client.task import Task
from rain.core.errors import RainException, RainWarning, SessionException, TaskException
from rain.core.labeled import LabeledList

if TYPE_CHECKING:
    from rain.data.encode import decode_value, encode_value
    from rain.data.instance import DataInstance

__all__ = [
    "Client",
    "DataInstance",
    "DataObject",
    "Input",
    "InputDir",
    "LabeledList",
    "Output",
    "OutputDir",
    "Program",
    "RainException",
    "RainWarning",
    "Session",
    "SessionException",
    "Task",
    "TaskException",
    "blob",
    "decode_value",
    "directory",
    "encode_value",
    "file",
    "function",
    "get_active_session",
    "local",
    "pickled",
    "remote",
    "tasks",
    "to_dataobj",
]


def __getattr__(name: str) -> Any:
    """Names that bring the pickling machinery with them are imported when they are first used."""
    if name == "DataInstance":
        from rain.data.instance import DataInstance

        return DataInstance
    if name in ("decode_value", "encode_value"):
        from rain.data import encode

        return encode.decode_value if name == "decode_value" else encode.encode_value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
