"""Which view suits whom."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rain.core.errors import RainException
from rain.kernel_ext.view import modes
from rain.kernel_ext.view.modes import Mode, may_control, mode


def kernel(*, asks: bool) -> SimpleNamespace:
    return SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=asks))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes.sys.stdout, "isatty", lambda: True)


@pytest.mark.parametrize("word", ["html", "text", "static", "off", " HTML "])
def test_a_word_decides(word: str) -> None:
    assert mode(None, {"RAIN_PROGRESS": word, "CI": "1"}) == word.strip().lower()


def test_a_word_that_is_none_says_what_there_is() -> None:
    with pytest.raises(RainException, match="expected one of auto, html, text, static, off, found 'loud'"):
        mode(None, {"RAIN_PROGRESS": "loud"})


@pytest.mark.usefixtures("terminal")
def test_a_notebook_that_somebody_watches_has_the_picture() -> None:
    assert mode(kernel(asks=True), {}) is Mode.HTML
    assert mode(kernel(asks=True), {"RAIN_PROGRESS": "auto", "CI": "false"}) is Mode.HTML
    assert mode(kernel(asks=False), {}) is Mode.STATIC
    assert mode(kernel(asks=True), {"CI": "true"}) is Mode.STATIC


@pytest.mark.usefixtures("terminal")
def test_a_terminal_has_text() -> None:
    assert mode(SimpleNamespace(), {}) is Mode.TEXT
    assert may_control({"TERM": "xterm"})
    assert not may_control({"NO_COLOR": "1"})
    assert not may_control({"TERM": "dumb"})


def test_what_is_no_terminal_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes.sys.stdout, "isatty", lambda: False)
    assert mode(SimpleNamespace(), {}) is Mode.STATIC
    assert not may_control({})
