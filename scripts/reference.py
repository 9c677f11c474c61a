"""Writes the reference pages of the documentation from docstrings and from the tree of commands.

`python -m scripts.reference`; a test fails where the pages are not what this writes.
"""

from __future__ import annotations

import enum
import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

#: Title → what stands there: names of `rain.client`, or `module:name` for what users meet without importing it.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Client and cluster": ("Client", "local", "rain.client.local:LocalRain"),
    "Sessions": ("Session", "get_active_session"),
    "Data": (
        "blob",
        "pickled",
        "file",
        "directory",
        "to_dataobj",
        "encode_value",
        "decode_value",
        "DataObject",
        "DataInstance",
    ),
    "Python functions": ("function", "remote", "rain.client.remote:RemoteFunction", "rain.executor.context:Context"),
    "Task arrays": ("rain.client.arrays:TaskArray", "rain.client.arrays:ObjectArray"),
    "Tasks": (
        "Task",
        "rain.client.tasks:Concat",
        "rain.client.tasks:Load",
        "rain.client.tasks:Store",
        "rain.client.tasks:Sleep",
        "rain.client.tasks:LoadDir",
        "rain.client.tasks:MakeDirectory",
        "rain.client.tasks:SliceDirectory",
        "rain.client.tasks:Execute",
        "Program",
        "Input",
        "InputDir",
        "Output",
        "OutputDir",
        "rain.client.options:TaskOptions",
        "LabeledList",
    ),
    "Plans and records": (
        "rain.client.records:TaskPlan",
        "rain.client.records:TaskRecord",
        "rain.client.records:ObjectPlan",
        "rain.client.records:ObjectRecord",
    ),
    "Errors": ("RainException", "SessionException", "TaskException", "RainWarning"),
}

_MADE = "<!-- Made by `python -m scripts.reference`; change the {source} instead. -->"
_API_HEAD = """# Python interface

Everything here is imported from `rain.client`, or from `rain`; the built-in tasks are in `rain.client.tasks`. The
[guide](../index.md#guide) says how the parts are used together.
"""
_COMMANDS_HEAD = """# Command line

`rain --help` and `rain COMMAND --help` say the same. Addresses have the port 7210 where none is given.
"""
_MAGICS_HEAD = """# Magics of a notebook

`%load_ext rain` brings them; `%rain COMMAND --help` says the same. [Rain in a notebook](../guide/notebook.md) shows how
they are used together.
"""
#: A line of a signature is no longer than this.
_WIDTH = 96


def pages() -> dict[Path, str]:
    """The reference pages: where they lie, and what they say."""
    return {
        FOLDER / "api.md": api_page(),
        FOLDER / "command-line.md": commands_page(),
        FOLDER / "magics.md": magics_page(),
    }


def api_page() -> str:
    """The page of the Python interface."""
    parts = [_MADE.format(source="docstrings"), _API_HEAD]
    for title, names in _sections().items():
        parts.append(f"## {title}\n")
        parts.extend(part for name in names for part in _described(*_found(name)))
    return "\n".join(parts)


def public_names() -> list[str]:
    """Every name that a user may type: `Client`, `Client.close`, `tasks.Concat`, …; what the reference describes."""
    names: list[str] = []
    for members in _sections().values():
        for reference in members:
            name, thing = _found(reference)
            names.append(name)
            if isinstance(thing, type):
                names.extend(f"{name}.{member}" for member, _ in _members(thing))
    return names


def commands_page() -> str:
    """The page of the command line."""
    from rain.cli.main import tree

    return "\n".join([_MADE.format(source="commands"), _COMMANDS_HEAD, *_commands(tree, "rain")])


def magics_page() -> str:
    """The page of the magics."""
    from rain.kernel_ext.tree import CELL_TREE, LINE_TREE

    parts = [_MADE.format(source="commands"), _MAGICS_HEAD]
    return "\n".join([*parts, *_commands(LINE_TREE, "%rain"), *_commands(CELL_TREE, "%%rain")])


def _commands(tree: click.Group, program: str) -> Iterator[str]:
    with click.Context(tree, info_name=program) as context:
        for verb in tree.list_commands(context):
            command = tree.get_command(context, verb)
            assert command is not None, "the tree has what it lists"
            yield from _command(verb, command, context)


def _sections() -> dict[str, tuple[str, ...]]:
    """The sections, and one more for public names that stand in none."""
    client = importlib.import_module("rain.client")
    known = {name for names in SECTIONS.values() for name in names} | {"tasks"}
    rest = tuple(name for name in client.__all__ if name not in known)
    return {**SECTIONS, "More": rest} if rest else SECTIONS


def _found(reference: str) -> tuple[str, Any]:
    """What users call it, and the thing itself."""
    module, _, name = reference.rpartition(":")
    thing = getattr(importlib.import_module(module or "rain.client"), name)
    return (f"tasks.{name}" if module == "rain.client.tasks" else name), thing


def _described(name: str, thing: Any) -> Iterator[str]:
    yield f"### {name}\n"
    if isinstance(thing, type):
        yield from _described_class(name, thing)
    elif callable(thing):
        yield _fenced(_signature(name, thing))
        yield _text(thing)
    else:
        yield _text(thing)


def _described_class(name: str, kind: type) -> Iterator[str]:
    if "__init__" in vars(kind) and not issubclass(kind, Exception) and not _is_given(kind):
        yield _fenced(_signature(name.rpartition(".")[2], kind))
    yield _text(kind)
    fields = vars(kind).get("__annotations__", {}) if issubclass(kind, dict) else {}
    for field, annotation in fields.items():
        yield f"- `{field}`: `{annotation}`"
    if _is_record(kind):
        yield f"Attributes: {', '.join(f'`{name}`' for name in kind.__dict__['__slots__'])}."
    if fields or _is_record(kind):
        yield ""
    for member, value in _members(kind):
        yield f"#### {name}.{member}\n"
        function = _function_of(value)
        if function is not None:
            yield _fenced(_signature(f"{'await ' if inspect.iscoroutinefunction(function) else ''}{member}", function))
        yield _text(value)


def _members(kind: type) -> list[tuple[str, Any]]:
    """What the class itself, or a class of Rain above it, says in public, in the order of the source."""
    if _is_record(kind):
        return []
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("rain."):
            found.update(vars(base))
    if kind.__base__ is not None and kind.__base__.__name__ == "Task":
        # The built-in tasks have what every task has.
        found = dict(vars(kind))
    return [
        (name, value)
        for name, value in found.items()
        if (not name.startswith("_") or name == "__call__")
        and (_function_of(value) is not None or isinstance(value, property) or hasattr(value, "func"))
    ]


def _is_record(kind: type) -> bool:
    """Whether users are only given it, and all that they do is read its attributes."""
    return kind.__module__ == "rain.client.records"


def _is_given(kind: type) -> bool:
    """Whether users never make one themselves."""
    return kind.__module__ in {"rain.client.arrays", "rain.client.records", "rain.executor.context"}


def _function_of(value: Any) -> Callable[..., Any] | None:
    if isinstance(value, classmethod | staticmethod):
        return value.__func__
    return value if inspect.isfunction(value) else None


def _signature(name: str, thing: Callable[..., Any]) -> str:
    signature = inspect.signature(thing)
    words: list[str] = []
    kinds = inspect.Parameter
    previous = None
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if previous is kinds.POSITIONAL_ONLY and parameter.kind is not kinds.POSITIONAL_ONLY:
            words.append("/")
        if parameter.kind is kinds.KEYWORD_ONLY and previous not in (kinds.KEYWORD_ONLY, kinds.VAR_POSITIONAL):
            words.append("*")
        previous = parameter.kind
        words.append(_parameter(parameter))
    if previous is kinds.POSITIONAL_ONLY:
        words.append("/")
    result = signature.return_annotation
    arrow = "" if isinstance(thing, type) or result is signature.empty else f" -> {_annotation(result)}"
    line = f"{name}({', '.join(words)}){arrow}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){arrow}"])


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_annotation(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    default = parameter.default.name if isinstance(parameter.default, enum.Enum) else repr(parameter.default)
    return f"{text} = {default}" if ":" in text else f"{text}={default}"


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _fenced(text: str) -> str:
    return f"```\n{text}\n```\n"


def _text(thing: Any) -> str:
    return f"{(inspect.getdoc(thing) or '').strip()}\n"


def _command(verb: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    with click.Context(command, info_name=verb, parent=parent) as context:
        program = parent.info_name
        yield f"## {program} {verb}\n"
        yield _fenced(f"{program} {verb} {' '.join(command.collect_usage_pieces(context))}")
        if command.name != verb and program == "rain":
            yield f"The same as `rain {command.name}`.\n"
            return
        yield f"{inspect.cleandoc(command.help or '')}\n"
        options = [each for each in command.params if isinstance(each, click.Option)]
        rows = [record for option in options if (record := option.get_help_record(context))]
        if rows:
            yield "| option | meaning |"
            yield "|---|---|"
            for option, text in rows:
                yield f"| `{_cell(option)}` | {_cell(text)} |"
            yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Writes the pages that changed."""
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(FOLDER.parents[1])}")


if __name__ == "__main__":
    main()
