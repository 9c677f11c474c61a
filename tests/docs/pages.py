"""The pages of the documentation as programs: their blocks are found, run in order, and compared with their output."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]

#: Commands that prepare a machine rather than use Rain; lines of a `sh` block that begin with one are left out.
NOT_RUN = ("apt-get", "cd", "git", "make", "pip", "python3", "source", "ssh", "sudo")

#: Stands for any text in what a block is expected to print.
WILDCARD = "…"

#: s3, s3.t17, s3.o17, w2.
_ID = re.compile(r"\b(?:s\d+(?:\.[to]\d+)?|w\d+)\b")
_FENCE = re.compile(r"```(\w*)$")
_SKIP = re.compile(r"<!-- not run: (.+) -->$")
#: `print(x)  # prints: 3`, or without the words.
_PRINTED = re.compile(r"^\s*print\(.*\)  # (?:prints: )?(.+)$")


class Block(msgspec.Struct, frozen=True):
    """Code of a page, and what it is said to print (None: nothing is said)."""

    language: str
    code: str
    #: Where it begins in the page.
    line: int
    expected: str | None = None
    #: Why it is not run.
    skipped: str | None = None


def all_pages() -> list[Path]:
    """Every page of the documentation, ordered by path."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """The path of a page below the root of the project."""
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    """The `python` and `sh` blocks of a page, in order. A `text` block is what the block before it prints."""
    found: list[Block] = []
    reason: str | None = None
    # Whether nothing but blank lines came after the last block.
    follows = False
    for line, language, text in _pieces(page):
        if language is None:
            skip = _SKIP.match(text.strip())
            reason = skip[1] if skip else reason
            follows = follows and not text.strip()
        elif language == "text":
            assert follows, f"{name_of(page)}:{line}: a text block is the output of the block right before it"
            found[-1] = msgspec.structs.replace(found[-1], expected=text)
            follows = False
        else:
            if language in ("python", "sh"):
                found.append(Block(language, text, line, _printed(text), reason))
            follows, reason = language in ("python", "sh"), None
    return found


def run_page(page: Path, environment: dict[str, str]) -> None:
    """Runs the blocks in one namespace, as one program. Raises AssertionError where a block prints something else."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    try:
        for block in blocks_of(page):
            if block.skipped is not None:
                continue
            where = f"{name_of(page)}:{block.line}"
            run = _run_python if block.language == "python" else _run_shell
            printed = run(block, where, namespace, environment)
            if block.expected is not None:
                assert matches(printed, block.expected), (
                    f"{where} was expected to print\n{block.expected}\nand printed\n{printed}"
                )
    finally:
        _close_clients(namespace)


def matches(printed: str, expected: str) -> bool:
    """Whether the output is as expected.

    `…` stands for any text. Blanks at the ends of lines do not count, nor do the numbers of sessions, tasks, objects
    and workers, which depend on what ran before.
    """
    pattern = ".*".join(re.escape(part) for part in _comparable(expected).split(WILDCARD))
    return re.fullmatch(pattern, _comparable(printed), re.DOTALL) is not None


def _pieces(page: Path) -> Iterator[tuple[int, str | None, str]]:
    """Lines outside of fences with language None, and the contents of fences with the number of their first line."""
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            yield number, None, line
            continue
        content = []
        for _, inner in lines:
            if inner == "```":
                break
            content.append(inner)
        yield number + 1, fence[1], "\n".join(content)


def _printed(code: str) -> str | None:
    """What the comments behind `print(…)` say; None where there are none."""
    found = [match[1] for match in map(_PRINTED.match, code.splitlines()) if match]
    return "\n".join(found) if found else None


def _run_python(block: Block, where: str, namespace: dict[str, Any], environment: dict[str, str]) -> str:
    path, _, _ = where.rpartition(":")
    # The line numbers of tracebacks are those of the page.
    program = compile("\n" * (block.line - 1) + block.code, path, "exec", dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(program, namespace)
    return printed.getvalue()


def _run_shell(block: Block, where: str, namespace: dict[str, Any], environment: dict[str, str]) -> str:
    script = "\n".join(line for line in block.code.splitlines() if not line.startswith(NOT_RUN))
    answer = subprocess.run(
        ["sh", "-eu"], input=script, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    said = answer.stdout + answer.stderr
    assert answer.returncode == 0, f"{where} ended with {answer.returncode}:\n{said}"
    return said


def _comparable(text: str) -> str:
    return _ID.sub(lambda match: re.sub(r"\d+", "#", match[0]), "\n".join(map(str.rstrip, text.strip().splitlines())))


def _close_clients(namespace: dict[str, Any]) -> None:
    from rain.client import Client

    for value in list(namespace.values()):
        if isinstance(value, Client):
            value.close()
