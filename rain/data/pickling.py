"""The pickler behind functions, arguments and values: cloudpickle that also ships the user's own modules by value.

A module that is not installed, such as a file beside the script or the notebook, is not there on the workers. What is
defined in it travels by value, as cloudpickle does for `__main__`.
"""

from __future__ import annotations

import functools
import io
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType, TracebackType
from typing import Any

import cloudpickle

PROTOCOL = 5

#: cloudpickle keeps the modules that it ships by value in one set per process; we add ours only while we pickle.
_registering = threading.RLock()


class ShippingPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles one value; a context manager around each use. Classes and functions of local modules go by value."""

    def __init__(self, file: io.BytesIO, buffer_callback: Callable[[Any], object] | None = None) -> None:
        super().__init__(file, PROTOCOL, buffer_callback)
        self._registered: list[ModuleType] = []

    def __enter__(self) -> ShippingPickler:
        _registering.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for module in self._registered:
                cloudpickle.unregister_pickle_by_value(module)
            self._registered.clear()
        finally:
            _registering.release()

    def reducer_override(self, obj: Any) -> Any:
        """Called by the C pickler for everything but plain builtin values."""
        if isinstance(obj, FunctionType | type):
            name = getattr(obj, "__module__", None)
            if isinstance(name, str):
                self._ship(sys.modules.get(name))
        elif isinstance(obj, ModuleType):
            self._ship(obj)
        return super().reducer_override(obj)

    def _ship(self, module: ModuleType | None) -> None:
        if (
            module is not None
            and is_local_module(module)
            and sys.modules.get(module.__name__) is module
            and module.__name__ not in cloudpickle.list_registry_pickle_by_value()
        ):
            cloudpickle.register_pickle_by_value(module)
            self._registered.append(module)


def dumps(value: object, buffer_callback: Callable[[Any], object] | None = None) -> bytes:
    """The pickle of a value; with a callback, buffers that support it are handed to that instead."""
    file = io.BytesIO()
    with ShippingPickler(file, buffer_callback) as pickler:
        pickler.dump(value)
    return file.getvalue()


def loads(data: bytes | memoryview, buffers: list[memoryview] | None = None) -> Any:
    """The value that `dumps` pickled."""
    return cloudpickle.loads(data, buffers=buffers)


def is_local_module(module: ModuleType) -> bool:
    """Whether a module is a Python file that is not installed, so that a worker cannot be expected to have it."""
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and _is_local_file(module.__name__, file)


@functools.lru_cache(maxsize=4096)
def _is_local_file(name: str, file: str) -> bool:
    if not file.endswith((".py", ".pyc")) or name.partition(".")[0] == "rain":
        return False
    return not any(file.startswith(folder) for folder in _installed_folders())


@functools.lru_cache(maxsize=1)
def _installed_folders() -> tuple[str, ...]:
    """Folders of the standard library and of installed packages, each with a "/" at the end."""
    folders = {path for path in sysconfig.get_paths().values() if path}
    # A virtual environment has its own site-packages, the standard library is its base's.
    folders |= {path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}}
    folders |= {sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix})}
    prefixes = {folder.rstrip("/") + "/" for folder in folders}
    # The scripts' and the data's folders would be everything below a prefix.
    return tuple(sorted(prefixes - {sys.prefix.rstrip("/") + "/", sys.base_prefix.rstrip("/") + "/"}))
