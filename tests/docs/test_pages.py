"""Every block of code in the documentation runs and prints what the page says."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.links import broken_links
from tests.docs.machine import Machine, new_machine, start_cluster
from tests.docs.pages import Block, all_pages, blocks_of, matches, name_of, run_page

PAGES = [page for page in all_pages() if blocks_of(page)]


@pytest.fixture(scope="module")
def running_machine() -> Iterator[Machine]:
    """A machine on which a cluster runs, for all pages that start none themselves."""
    with new_machine() as machine:
        start_cluster(machine)
        yield machine


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_programs_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    if any("rain run" in block.code for block in blocks_of(page) if block.language == "sh"):
        with new_machine() as machine:
            machine.enter(monkeypatch)
            run_page(page, machine.environment)
            gc.collect()
    else:
        machine = request.getfixturevalue("running_machine")
        machine.enter(monkeypatch)
        run_page(page, machine.environment)


def test_every_link_leads_to_a_page_and_a_heading_that_are_there() -> None:
    pages = [page for page in all_pages() if "docs" in page.parts]
    assert [complaint for page in pages for complaint in broken_links(page)] == []


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.links.ROOT", tmp_path)
    text = "# A `b` c\n[x](page.md#a-b-c) [y](#a-b) [z](gone.md) [w](https://example.org/)\n```\n[v](gone.md)\n```\n"
    assert broken_links(page_with(tmp_path, text)) == [
        "page.md: there is no heading page.md#a-b",
        "page.md: there is no file gone.md",
    ]


def page_with(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


def test_blocks_are_found_with_what_they_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    text = "Words.\n\n```python\nprint(1)  # prints: 1\n```\n\n```sh\nls\n```\n\n```text\na…\n```\n"
    skipped = "<!-- not run: it takes a day -->\n```python\nx = 1\n```\n\n```\nno language\n```\n"
    assert blocks_of(page_with(tmp_path, text + skipped)) == [
        Block("python", "print(1)  # prints: 1", 4, "1"),
        Block("sh", "ls", 8, "a…"),
        Block("python", "x = 1", 16, None, "it takes a day"),
    ]


def test_output_without_a_block_before_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    with pytest.raises(AssertionError, match=r"page\.md:6: a text block is the output"):
        blocks_of(page_with(tmp_path, "```python\nx = 1\n```\nWords.\n```text\n1\n```\n"))


def test_a_page_that_prints_something_else_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    page = page_with(tmp_path, "```python\nx = 2\n```\n\n```python\nprint(x)  # prints: 1\n```\n")
    with pytest.raises(AssertionError, match="was expected to print\n1\nand printed\n2"):
        run_page(page, {})


@pytest.mark.parametrize(
    ("printed", "expected", "agree"),
    [
        ("a  \nb\n", "a\nb", True),
        ("w1 at 127.0.0.1:7210", "w1 at …", True),
        ("ab", "a", False),
        ("a+b", "a+b", True),
        ("task s12.t3 failed on w2", "task s1.t0 failed on w1", True),
        ("task s12.t3", "task s1.o3", False),
    ],
)
def test_dots_stand_for_any_text_and_numbers_of_ids_do_not_count(printed: str, expected: str, agree: bool) -> None:
    assert matches(printed, expected) == agree
