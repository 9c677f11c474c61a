"""External programs: `Execute` runs one, `Program` is a reusable pattern with places for objects."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack

import msgspec

from rain.client.active import chosen_session
from rain.client.arrays import TaskArray
from rain.client.blocks import Elementwise
from rain.client.growing import add_array
from rain.client.labels import check_lengths, columns_of, elements_of, plan_rows
from rain.client.objects import DataObject, to_dataobj
from rain.client.options import OPTION_NAMES, TaskOptions, settings_from
from rain.client.ports import Input, InputDir, Output, OutputDir, changed_outputs, checked_outputs, checked_path
from rain.client.task import Task, spec_from
from rain.core.content import DIRECTORY
from rain.core.errors import RainException
from rain.core.kinds import ExecuteArgs, InputWord, Kind, OutputWord, TextWord, Word
from rain.core.spec import OutputSpec
from rain.protocol.codec import encode

#: Of one name in a path, as Linux has it.
_MAX_NAME_BYTES = 255

Argument = str | DataObject | Task | Input | Output


class Pattern(msgspec.Struct, frozen=True, eq=False):
    """A program with its inputs numbered; an input is an object, or the label by which a call gives one."""

    args: ExecuteArgs
    inputs: tuple[DataObject | str, ...]
    outputs: tuple[OutputSpec, ...]

    @property
    def labels(self) -> list[str]:
        """The labels that a call has to give objects for."""
        return list(dict.fromkeys(each for each in self.inputs if isinstance(each, str)))

    def bound(self, objects: Mapping[str, Any]) -> list[DataObject]:
        """The inputs in order, with objects for the labels. Raises TypeError for a blob in the place of a directory."""
        bound = [to_dataobj(objects[each]) if isinstance(each, str) else each for each in self.inputs]
        for word in (*self.args.words, *self.args.files):
            if isinstance(word, InputWord) and word.is_directory:
                _check_directory(bound[word.input])
        return bound


def parse_program(
    args: str | Sequence[Argument],
    *,
    stdout: bool | str | Output | None,
    stdin: Any,
    stderr: bool | str | Output | None,
    input_paths: Iterable[Any],
    output_paths: Iterable[str | Output],
    shell: bool,
    env: Mapping[str, str] | None,
    labels_allowed: bool,
) -> Pattern:
    """The pattern that the arguments of `Execute` and `Program` describe. Raises RainException."""
    parser = _Parser(labels_allowed)
    # Outputs are numbered in this order: standard streams, output_paths, those among the words.
    out = parser.stream(stdout, "stdout")
    err = parser.stream(stderr, "stderr")
    for path in _several(output_paths, "output_paths"):
        parser.file_output(path)
    words = tuple(parser.word(word) for word in _words(args, shell))
    if not words:
        raise RainException("a program needs at least its name in args, found none")
    program = ExecuteArgs(
        words=words,
        shell=bool(shell),
        stdin=None if stdin is None else parser.input(stdin, "stdin"),
        stdout=out,
        stderr=err,
        files=tuple(parser.file_input(each) for each in _several(input_paths, "input_paths")),
        env=_environment(env),
    )
    return Pattern(program, tuple(parser.inputs), checked_outputs(tuple(parser.outputs)))


class _Parser:
    """Numbers inputs and outputs as they are met."""

    def __init__(self, labels_allowed: bool) -> None:
        self.inputs: list[DataObject | str] = []
        self.outputs: list[OutputSpec] = []
        self._labels_allowed = labels_allowed
        self._paths: dict[str, DataObject | str] = {}

    def word(self, word: object) -> Word:
        if isinstance(word, str):
            if "\0" in word:
                raise RainException(f"args: a word of a program cannot have a NUL in it, found {word!r}")
            return TextWord(word)
        if isinstance(word, Output):
            return OutputWord(self.file_output(word))
        if isinstance(word, Input | DataObject | Task):
            return self.input(word, "args")
        raise RainException(
            f"args: expected texts, data objects, tasks, Input or Output, found {word!r}: turn it into text, or blob(…)"
        )

    def input(self, value: Any, where: str) -> InputWord:
        if isinstance(value, str) and self._labels_allowed:
            value = Input(value)
        if not isinstance(value, Input):
            return self._add(to_dataobj(value), Input())
        if value.dataobj is not None:
            return self._add(to_dataobj(value.dataobj), value)
        if not self._labels_allowed:
            raise RainException(f"{where}: {value!r} has no object: pass Input(…, dataobj=…); labels are for a Program")
        if value.label is None:
            raise RainException(f"{where}: {value!r} of a Program needs a label, by which calls give its object")
        return self._add(value.label, value)

    def file_input(self, value: Any) -> InputWord:
        word = self.input(value, "input_paths")
        if word.path is None:
            raise RainException(f"input_paths: {value!r} has no path: pass Input(path=…), so that the program finds it")
        return word

    def file_output(self, value: object) -> int:
        if isinstance(value, str):
            value = Output(value)
        if not isinstance(value, Output):
            raise RainException(f"expected a path or an Output for an output, found {value!r}")
        path = checked_path(value.path or value.label or f"output_{len(self.outputs)}", "Output")
        _check_file(path, "Output")
        return self._add_output(value, path)

    def stream(self, value: object, name: str) -> int | None:
        if value is None or value is False:
            return None
        if value is True:
            value = name
        if isinstance(value, str):
            value = Output(value)
        if not isinstance(value, Output):
            raise RainException(f"{name}: expected True, a label or an Output, found {value!r}")
        return self._add_output(value, None)

    def _add_output(self, output: Output, path: str | None) -> int:
        if output.encode is not None:
            raise RainException(f"{output!r}: a program leaves bytes, so there is nothing to encode: use content_type=")
        if path is None and output.content_type == DIRECTORY:
            raise RainException(f"{output!r}: what a program prints is no directory: use output_paths=[OutputDir(…)]")
        is_directory = isinstance(output, OutputDir)
        self.outputs.append(OutputSpec(output.label, output.content_type, None, path, is_directory))
        return len(self.outputs) - 1

    def _add(self, source: DataObject | str, port: Input) -> InputWord:
        path = port.path
        _check_file(path, "Input")
        if path is not None and self._paths.setdefault(path, source) is not source and self._paths[path] != source:
            raise RainException(f"two different inputs have the path {path!r}: give one of them another")
        self.inputs.append(source)
        return InputWord(len(self.inputs) - 1, path, port.write, isinstance(port, InputDir))


class Execute(Task):
    """Runs an external program in a fresh folder.

    `args`: a text (split as a shell would) or a list of texts, objects, tasks, `Input`s and `Output`s. `stdout`: True
    (labelled "stdout"), a label or an `Output`. `stdin`: an object. `shell`: the words, unquoted, go to `sh -c`.
    Outputs in order: stdout, stderr, `output_paths`, those in `args`.
    """

    TASK_TYPE = Kind.EXECUTE
    __slots__ = ()

    def __init__(  # noqa: PLR0917
        self,
        args: str | Sequence[Argument],
        stdout: bool | str | Output | None = None,
        stdin: DataObject | Task | Input | None = None,
        stderr: bool | str | Output | None = None,
        input_paths: Iterable[Input] = (),
        output_paths: Iterable[str | Output] = (),
        shell: bool = False,
        env: Mapping[str, str] | None = None,
        **options: Unpack[TaskOptions],
    ) -> None:
        pattern = parse_program(
            args,
            stdout=stdout,
            stdin=stdin,
            stderr=stderr,
            input_paths=input_paths,
            output_paths=output_paths,
            shell=shell,
            env=env,
            labels_allowed=False,
        )
        self._run(pattern, pattern.bound({}), pattern.outputs, options, "Execute")

    def _run(
        self,
        pattern: Pattern,
        inputs: list[DataObject],
        outputs: tuple[OutputSpec, ...],
        options: Mapping[str, Any],
        what: str,
    ) -> None:
        self._build(
            Kind.EXECUTE,
            inputs,
            outputs,
            settings_from(options, what),
            session=options.get("session"),
            args=encode(pattern.args),
        )


class Program:
    """A reusable external program; takes what `Execute` takes, with `Input("label")` where calls give objects.

    A text as `stdin` or in `input_paths` is such a label. `program(label=obj)` makes a task; a call also takes
    `output=`/`outputs=` and what `TaskOptions` names. A missing label is a KeyError.
    """

    def __init__(  # noqa: PLR0917
        self,
        args: str | Sequence[Argument],
        stdout: bool | str | Output | None = None,
        stdin: DataObject | Task | Input | str | None = None,
        stderr: bool | str | Output | None = None,
        input_paths: Iterable[Input | str] = (),
        output_paths: Iterable[str | Output] = (),
        shell: bool = False,
        env: Mapping[str, str] | None = None,
        **options: Unpack[TaskOptions],
    ) -> None:
        self._pattern = parse_program(
            args,
            stdout=stdout,
            stdin=stdin,
            stderr=stderr,
            input_paths=input_paths,
            output_paths=output_paths,
            shell=shell,
            env=env,
            labels_allowed=True,
        )
        settings_from(options, "Program")
        self._options = dict(options)

    def __call__(self, **objects: Any) -> Execute:
        """Makes a task with these objects for the labels."""
        options, outputs = self._told(objects)
        task = Execute.__new__(Execute)
        task._run(self._pattern, self._pattern.bound(objects), outputs, options, "a Program")
        return task

    def map(self, rows: Iterable[Mapping[str, Any]] | None = None, /, **objects: Any) -> TaskArray:
        """Makes one task per element: `program.map(data=[a, b, c])` calls `program(data=a)` and so on.

        A label is given an iterable of objects, an array (task i reads output i), or a single object that all tasks
        read. Or all of it as one iterable of dicts: `program.map([{"data": a}, {"data": b}])`; labels that are given
        by name are added to each. Options hold for all. Raises what a call raises, and RainException for iterables of
        different lengths, with nothing made.
        """
        if rows is not None:
            objects = {**columns_of(rows, "a Program's map()"), **objects}
        options, outputs = self._told(objects)
        given = {label: elements_of(value, f"map(): {label!r}") for label, value in objects.items()}
        lengths = {repr(label): len(each.values) for label, each in given.items() if isinstance(each, Elementwise)}
        if not lengths:
            raise TypeError("map() of a program needs an iterable of objects for at least one of its labels")
        n_tasks = check_lengths(lengths, "map()")
        session = chosen_session(options.get("session"))
        spec = session._graph.intern(spec_from(Kind.EXECUTE, outputs, settings_from(options, "a Program")))
        columns = [given[each] if isinstance(each, str) else each for each in self._pattern.inputs]
        return add_array(session, spec, outputs, plan_rows(encode(self._pattern.args), columns, n_tasks))

    def _told(self, objects: dict[str, Any]) -> tuple[dict[str, Any], tuple[OutputSpec, ...]]:
        """Takes the options out of what a call was given; they, and the outputs. Raises KeyError and TypeError."""
        labels = self._pattern.labels
        settable = (OPTION_NAMES | {"output", "outputs"}) - set(labels)
        options = {name: objects.pop(name) for name in list(objects) if name in settable}
        missing = [label for label in labels if label not in objects]
        if missing:
            raise KeyError(f"no object for the input {missing[0]!r}; the program has inputs {', '.join(labels)}")
        unknown = [name for name in objects if name not in labels]
        if unknown:
            raise TypeError(f"the program has no input {unknown[0]!r}; it has {', '.join(labels) or 'none'}")
        outputs = self._pattern.outputs
        for spelling in ("output", "outputs"):
            if spelling in options:
                outputs = changed_outputs(outputs, options.pop(spelling), "the program")
        return {**self._options, **options}, outputs

    def __repr__(self) -> str:
        words = " ".join(word.text if isinstance(word, TextWord) else "…" for word in self._pattern.args.words)
        return f"<Program {words}>"


def _check_file(path: str | None, what: str) -> None:
    """Raises RainException for what may be a label but is no path of a file of a program."""
    if path is None:
        return
    names = [name for name in path.split("/") if name not in {"", "."}]
    if not names:
        raise RainException(f"{what}: {path!r} is the program's working folder itself, a name in it is needed")
    size = max(len(name.encode()) for name in names)
    if size > _MAX_NAME_BYTES:
        raise RainException(f"{what}: a file's name has at most {_MAX_NAME_BYTES} bytes, found {size} in {path!r}")


def _check_directory(obj: DataObject) -> None:
    # The output of a task without a declared type may turn out to be one.
    if obj._is_here or obj.content_type is not None:
        obj.expect_dir()


def _words(args: object, shell: bool) -> list[object]:
    if isinstance(args, str):
        if shell:
            return [args] if args.strip() else []
        try:
            return list(shlex.split(args))
        except ValueError as error:
            raise RainException(f"args: {args!r} cannot be split as a shell would: {error}") from None
    return _several(args, "args")


def _several(items: object, what: str) -> list[object]:
    if isinstance(items, str | bytes | Input | Output | DataObject | Task) or not isinstance(items, Iterable):
        raise RainException(f"{what}: expected a list, found {items!r}")
    return list(items)


def _environment(env: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    if env is None:
        return ()
    if not isinstance(env, Mapping):
        raise RainException(f'env: expected a dict such as {{"LANG": "C"}}, found {env!r}')
    for name, value in env.items():
        is_text = all(isinstance(each, str) for each in (name, value))
        if not is_text or not name or "=" in name or "\0" in name + value:
            raise RainException(f"env: expected names and values as texts without NUL, found {name!r}: {value!r}")
    return tuple(env.items())
