"""The table of what is public and which test covers it: reading it, and comparing it with the sources and the tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from rain.cli.main import VERBS
from scripts.reference import public_names
from tests.docs.pages import ROOT

TABLE = ROOT / "docs" / "reference" / "coverage.md"

_ROW = re.compile(r"\| `(.+?)` \| `(.+?)` \|$")
_TEST = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)(?:\[(.+)\])?$")

#: Users are given these and never type their names.
GIVEN = frozenset(
    {
        "LocalRain",
        "RemoteFunction",
        "Context",
        "TaskArray",
        "ObjectArray",
        "TaskOptions",
        "TaskPlan",
        "TaskRecord",
        "ObjectPlan",
        "ObjectRecord",
    }
)


def covered_names() -> list[str]:
    """Everything that a user may type: names of `rain.client` with their members, and commands."""
    return [*public_names(), *(f"rain {verb}" for verb in VERBS)]


def read_table(path: Path = TABLE) -> dict[str, str]:
    """Name → test, in the order of the table."""
    rows = map(_ROW.match, path.read_text(encoding="utf-8").splitlines())
    return {row[1]: row[2] for row in rows if row}


def complaints(table: dict[str, str], names: Iterable[str], root: Path = ROOT) -> list[str]:
    """What is wrong with the table: missing rows, needless ones, tests that are not there or never say the name."""
    names = list(names)
    found = [f"{name}: no row; add one with the test that covers it" for name in names if name not in table]
    found += [f"{name}: a row, but no such name" for name in table if name not in names]
    for name, test in table.items():
        text = _text_of(test, root)
        if text is None:
            found.append(f"{name}: there is no test {test}")
        elif not _says(text, name):
            found.append(f"{name}: not a word of it in {test}")
    return found


def _says(text: str, name: str) -> bool:
    word = re.split(r"[. ]", name)[-1]
    if name in GIVEN or word.startswith("__"):
        return True
    return re.search(rf"(?<![a-z_]){re.escape(word)}(?![a-z_])", text, re.IGNORECASE) is not None


def _text_of(test: str, root: Path) -> str | None:
    """The source of a test, or the page that it runs; None where there is no such test."""
    parts = _TEST.match(test)
    if parts is None:
        return None
    path, function, page = parts.groups()
    if not (root / path).is_file():
        return None
    source = (root / path).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            if page is None:
                return ast.get_source_segment(source, node)
            return (root / page).read_text(encoding="utf-8") if (root / page).is_file() else None
    return None
