"""How a user describes one input or one output of a task: `Input` and `Output`, and everything that stands for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rain.client.options import check_unicode
from rain.core.content import DIRECTORY, checked_type, is_subtype
from rain.core.errors import RainException
from rain.core.spec import OutputSpec

if TYPE_CHECKING:
    from rain.client.objects import DataObject
    from rain.client.task import Task


class Input:
    """An input of a program or a parameter of a Python function.

    `label`: by which a `Program` is given its object. `path`: where below the working folder the file appears; it
    defaults to the label, and without either the input gets a name of its own. `dataobj`: the object itself. `load`:
    the function gets the decoded value. `content_type`: that type or a subtype. `write`: the program gets its own copy.
    """

    __slots__ = ("content_type", "dataobj", "label", "load", "path", "write")

    def __init__(  # noqa: PLR0917
        self,
        label: str | None = None,
        path: str | None = None,
        dataobj: DataObject | Task | None = None,
        load: bool | None = None,
        content_type: str | None = None,
        write: bool = False,
    ) -> None:
        self.label = checked_label(label, "Input")
        self.path = checked_path(path if path is not None else (label or None), "Input")
        self.dataobj = dataobj
        self.load = _checked_choice(load, "Input(load=…)", may_be_none=True)
        self.content_type = checked_type(content_type)
        self.write = _checked_choice(write, "Input(write=…)")

    def __repr__(self) -> str:
        return _shown(self)


class InputDir(Input):
    """An input that is a directory: in the program's working folder a folder of its own with links to the files.

    The same as `Input` in all else; `write`: the program gets its own copies. Blobs are refused.
    """

    __slots__ = ()

    def __init__(
        self,
        label: str | None = None,
        path: str | None = None,
        dataobj: DataObject | Task | None = None,
        load: bool | None = None,
        *,
        write: bool = False,
    ) -> None:
        super().__init__(label, path, dataobj, load, content_type=DIRECTORY, write=write)


class Output:
    """An output of a task: its label, where a program leaves it (`path` defaults to the label), and its type.

    `encode`: values that a Python function returns are encoded as this type. `size_hint`: bytes, for the scheduler.
    """

    __slots__ = ("content_type", "encode", "label", "path", "size_hint")

    def __init__(
        self,
        label: str | None = None,
        *,
        path: str | None = None,
        content_type: str | None = None,
        encode: str | None = None,
        size_hint: int | None = None,
    ) -> None:
        self.label = checked_label(label, "Output")
        self.path = checked_path(path, "Output")
        self.content_type = checked_type(content_type)
        self.encode = checked_type(encode)
        self.size_hint = _checked_size(size_hint)
        _check_agreement(self.content_type, self.encode)

    def __repr__(self) -> str:
        return _shown(self)


class OutputDir(Output):
    """An output that is a directory: the folder that a program leaves at `path` (which defaults to the label)."""

    __slots__ = ()

    def __init__(self, label: str | None = None, *, path: str | None = None, size_hint: int | None = None) -> None:
        super().__init__(label, path=path, content_type=DIRECTORY, size_hint=size_hint)


#: What `outputs=` takes.
OutputsLike = int | str | Output | Iterable["str | Output | None"] | None


def outputs_from(outputs: OutputsLike, *, default_encode: str | None = None) -> tuple[OutputSpec, ...]:
    """The declared outputs from a number, a label, an `Output`, or an iterable of labels and `Output`s.

    Raises RainException; ValueError where an encoding contradicts a content type.
    """
    if isinstance(outputs, bool) or outputs is None:
        raise RainException(f"outputs: expected a number, a label, an Output, or several of these, found {outputs!r}")
    if isinstance(outputs, int):
        if not 0 <= outputs < 2**20:
            raise RainException(f"outputs: expected a number from 0 to {2**20 - 1}, found {outputs}")
        specs = (_output_spec(None, default_encode),) * outputs
    elif isinstance(outputs, str | Output):
        specs = (_output_spec(outputs, default_encode),)
    else:
        if isinstance(outputs, bytes | Mapping) or not isinstance(outputs, Iterable):
            raise RainException(
                f"outputs: expected a number, a label, an Output, or several of these, found {outputs!r}"
            )
        items = list(outputs)
        specs = tuple(_output_spec(item, default_encode) for item in items)
    return checked_outputs(specs)


def checked_outputs(specs: tuple[OutputSpec, ...]) -> tuple[OutputSpec, ...]:
    """The same outputs. Raises RainException where a label occurs twice."""
    labels = [spec.label for spec in specs if spec.label is not None]
    if len(set(labels)) != len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise RainException(f"outputs: the label {twice!r} occurs twice; labels of one task are unique")
    return specs


def changed_outputs(declared: tuple[OutputSpec, ...], change: Any, what: str) -> tuple[OutputSpec, ...]:
    """Declared outputs with what a call says: None keeps one, a text renames it, an `Output` adds to it.

    Raises RainException unless there are as many as declared.
    """
    changes = [change] if change is None or isinstance(change, str | Output) else change
    if isinstance(changes, int):
        changes = [None] * changes
    if isinstance(changes, bytes | Mapping) or not isinstance(changes, Iterable):
        raise RainException(f"outputs at a call: expected None, labels or Outputs, found {change!r}")
    changes = list(changes)
    if len(changes) != len(declared):
        raise RainException(f"{what} has {len(declared)} outputs, but {len(changes)} were given at the call")
    return checked_outputs(tuple(_changed(spec, each) for spec, each in zip(declared, changes, strict=True)))


def checked_label(label: object, what: str) -> str | None:
    """The label. Raises RainException for anything but text and None."""
    if label is not None and not isinstance(label, str):
        raise RainException(f"{what}: a label is a text or None, found {label!r}")
    if label is not None:
        check_unicode(label, what)
    return label


def checked_path(path: object, what: str) -> str | None:
    """A path below the working folder. Raises RainException where it would lead out of it."""
    if path is None:
        return None
    if not isinstance(path, str) or not path or "\0" in path:
        raise RainException(f"{what}: a path is a text such as 'data.txt', found {path!r}")
    check_unicode(path, what)
    if path.startswith("/") or ".." in path.split("/"):
        raise RainException(
            f"{what}: a path lies below the task's working folder, found {path!r}: no leading '/', no '..'"
        )
    return path


def _checked_choice(value: Any, what: str, *, may_be_none: bool = False) -> Any:
    if not (isinstance(value, bool) or (may_be_none and value is None)):
        expected = "True, False or None" if may_be_none else "True or False"
        raise RainException(f"{what}: expected {expected}, found {value!r}")
    return value


def _checked_size(value: Any) -> int | None:
    is_size = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if value is not None and not is_size:
        raise RainException(f"Output(size_hint=…): expected a number of bytes or None, found {value!r}")
    size: int | None = value
    return size


def _output_spec(item: object, default_encode: str | None) -> OutputSpec:
    if item is None:
        return OutputSpec(content_type=default_encode, encode=default_encode)
    if isinstance(item, str):
        checked_label(item, "outputs")
        return OutputSpec(label=item, content_type=default_encode, encode=default_encode)
    if isinstance(item, Output):
        encode = item.encode
        if encode is None and item.content_type is None:
            encode = default_encode
        return OutputSpec(
            label=item.label,
            content_type=item.content_type or encode,
            encode=encode,
            path=item.path or item.label,
            is_directory=isinstance(item, OutputDir),
        )
    raise RainException(f"outputs: expected labels and Outputs, found {item!r}")


def _changed(spec: OutputSpec, change: object) -> OutputSpec:
    if change is None:
        return spec
    if isinstance(change, str):
        checked_label(change, "outputs")
        return OutputSpec(change, spec.content_type, spec.encode, spec.path, spec.is_directory)
    if not isinstance(change, Output):
        raise RainException(f"outputs at a call: expected None, a label or an Output, found {change!r}")
    encode = change.encode or spec.encode
    content_type = change.content_type or spec.content_type
    _check_agreement(content_type, encode)
    label = change.label if change.label is not None else spec.label
    is_directory = spec.is_directory or isinstance(change, OutputDir)
    return OutputSpec(label, content_type, encode, change.path or spec.path, is_directory)


def _check_agreement(content_type: str | None, encode: str | None) -> None:
    if content_type is not None and encode is not None and not is_subtype(encode, content_type):
        raise ValueError(f"encode={encode!r} gives objects of that type, which is no {content_type!r}: leave one out")


def _shown(port: Input | Output) -> str:
    kind = Input if isinstance(port, Input) else Output
    fields = ((name, getattr(port, name)) for name in kind.__slots__)
    shown = ", ".join(f"{name}={value!r}" for name, value in fields if value is not None and value is not False)
    return f"{type(port).__name__}({shown})"
