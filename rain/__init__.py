"""Rain: distributed computations from Python. Everything public is here and in `rain.client`, the same objects.

The names are looked up when they are first used: servers, workers and executors are `rain.…` modules, too, and carry no
client.
"""

from typing import TYPE_CHECKING, Any

from rain.core.version import VERSION

if TYPE_CHECKING:
    from rain.client import Client as Client
    from rain.client import DataInstance as DataInstance
    from rain.client import DataObject as DataObject
    from rain.client import Input as Input
    from rain.client import InputDir as InputDir
    from rain.client import LabeledList as LabeledList
    from rain.client import Output as Output
    from rain.client import OutputDir as OutputDir
    from rain.client import Program as Program
    from rain.client import RainException as RainException
    from rain.client import RainWarning as RainWarning
    from rain.client import Session as Session
    from rain.client import SessionException as SessionException
    from rain.client import Task as Task
    from rain.client import TaskException as TaskException
    from rain.client import blob as blob
    from rain.client import decode_value as decode_value
    from rain.client import directory as directory
    from rain.client import encode_value as encode_value
    from rain.client import file as file
    from rain.client import function as function
    from rain.client import get_active_session as get_active_session
    from rain.client import local as local
    from rain.client import pickled as pickled
    from rain.client import remote as remote
    from rain.client import tasks as tasks
    from rain.client import to_dataobj as to_dataobj

__version__ = VERSION

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


def load_ipython_extension(shell: Any) -> None:
    """Called by `%load_ext rain`."""
    from rain.kernel_ext import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Called by `%unload_ext rain`."""
    from rain.kernel_ext import unload_ipython_extension as unload

    unload(shell)


def __getattr__(name: str) -> Any:
    if name in __all__:
        from rain import client

        value = getattr(client, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
