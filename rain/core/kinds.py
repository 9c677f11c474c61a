"""The kinds of tasks, and the form of their settings and arguments; read by client and executor, opaque in between."""

from __future__ import annotations

import enum

import msgspec


class Kind(enum.StrEnum):
    """The kind of a task; each has an entry in the executor's table."""

    #: `spec.body` is the pickled function, `spec.config` a `PythonConfig`, the arguments a pickled `(args, kwargs)` in
    #: which data objects are references to inputs by position (see `rain.data.dump`). Empty: no arguments.
    PYTHON = "python"
    #: The arguments are an `ExecuteArgs`.
    EXECUTE = "execute"
    #: No arguments; inputs in order.
    CONCAT = "concat"
    #: The arguments are a `PathArgs`: a file on the worker's machine becomes the only output.
    LOAD = "load"
    #: The arguments are a `PathArgs`: the only input is written there; no outputs.
    STORE = "store"
    #: The arguments are a `SleepArgs`; the only input is passed on.
    SLEEP = "sleep"
    #: The arguments are a `MakeDirectoryArgs`; one input per path.
    MAKE_DIRECTORY = "make_directory"
    #: The arguments are a `PathArgs`: this part of the only input, a directory, becomes the only output.
    SLICE_DIRECTORY = "slice_directory"
    #: The arguments are a `PathArgs`: a folder on the worker's machine becomes the only output.
    LOAD_DIRECTORY = "load_directory"


class PythonConfig(msgspec.Struct, frozen=True):
    """Settings of a Python task."""

    #: The function takes the context as its first argument (`@remote`), or not (`@function`).
    with_context: bool = True
    #: All inputs arrive as decoded values (untyped ones as bytes), instead of as instances.
    load_inputs: bool = False


class InputWord(msgspec.Struct, frozen=True, tag="i"):
    """An argument of a program that is the name of a file with the bytes of input number `input`."""

    input: int
    #: Where below the working folder the file appears; None: a name of its own.
    path: str | None = None
    #: The program may write to its private copy.
    write: bool = False
    #: The input has to be a directory; without this it may be one.
    is_directory: bool = False


class OutputWord(msgspec.Struct, frozen=True, tag="o"):
    """An argument of a program that is the path of output number `output`."""

    output: int


class TextWord(msgspec.Struct, frozen=True, tag="t"):
    """An argument of a program as it stands."""

    text: str


Word = TextWord | InputWord | OutputWord


class ExecuteArgs(msgspec.Struct, frozen=True):
    """How to run an external program."""

    words: tuple[Word, ...]
    #: The words, joined by blanks and unquoted, go to `sh -c`.
    shell: bool = False
    stdin: InputWord | None = None
    #: Number of the output that standard output becomes, or None: it is kept only for error messages.
    stdout: int | None = None
    stderr: int | None = None
    #: Inputs that appear as files without standing among the words.
    files: tuple[InputWord, ...] = ()
    #: Added to the worker's environment.
    env: tuple[tuple[str, str], ...] = ()


class PathArgs(msgspec.Struct, frozen=True):
    """A path: on the worker's machine and absolute, or in a directory and relative to it."""

    path: str


class MakeDirectoryArgs(msgspec.Struct, frozen=True):
    """Where the inputs go in the new directory, in their order; those with a slash at the end are directories."""

    paths: tuple[str, ...]


class SleepArgs(msgspec.Struct, frozen=True):
    """How long to hold the input back."""

    seconds: float
