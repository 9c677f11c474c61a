"""The end of a log, and what is appended to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rain.cli.tail import Tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.mark.parametrize(
    ("text", "n_lines", "shown"),
    [
        ("a\nb\nc\n", 2, "b\nc\n"),
        ("a\nb\nc", 2, "b\nc"),
        ("a\nb\n", 2, "a\nb\n"),
        ("a\n", 5, "a\n"),
        ("a\n\n", 1, "\n"),
        ("a\nb\n", 0, ""),
        ("", 3, ""),
        ("x" * 200_000 + "\n" + "y" * 100_000 + "\n", 1, "y" * 100_000 + "\n"),
        ("line\n" * 50_000, 30_000, "line\n" * 30_000),
    ],
)
def test_the_last_lines_are_shown(log: Path, text: str, n_lines: int, shown: str) -> None:
    log.write_text(text)
    assert Tail(log, n_lines).news() == shown


def test_what_is_appended_is_shown_once(log: Path) -> None:
    log.write_text("a\n")
    tail = Tail(log, 0)
    assert tail.news() == ""
    with log.open("a") as file:
        file.write("b\n")
    assert tail.news() == "b\n"
    assert tail.news() == ""


def test_a_log_that_was_cut_is_shown_anew(log: Path) -> None:
    log.write_text("a\nb\n")
    tail = Tail(log, 5)
    tail.news()
    log.write_text("c\n")
    assert tail.news() == "c\n"
