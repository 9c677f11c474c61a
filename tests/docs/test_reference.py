"""The reference in the documentation is what the sources say."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import reference
from tests.docs.pages import ROOT


@pytest.mark.parametrize("name", ["api.md", "command-line.md"])
def test_the_reference_is_what_the_sources_say(name: str) -> None:
    path = reference.FOLDER / name
    assert path.read_text(encoding="utf-8") == reference.pages()[path], (
        f"{path.relative_to(ROOT)} is stale: run `make docs`, or `python -m scripts.reference`"
    )


def test_everything_public_is_described() -> None:
    page = reference.api_page()
    for name in reference.public_names():
        assert f"# {name}\n" in page
    assert "new_session(\n    name: str | None = None," in page
    assert "Attributes: `error`" not in page.partition("### TaskPlan")[2].partition("###")[0]


def test_every_command_is_described_with_its_options() -> None:
    page = reference.commands_page()
    assert "## rain worker\n\n```\nrain worker [OPTIONS] SERVER\n```\n" in page
    assert "| `--background` | Return when the worker is ready; it goes on. |" in page
    assert "The same as `rain run`." in page


def test_only_pages_that_changed_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path / "docs" / "reference")
    reference.FOLDER.mkdir(parents=True)
    reference.main()
    assert len(capsys.readouterr().out.splitlines()) == 3
    reference.main()
    assert capsys.readouterr().out == ""
