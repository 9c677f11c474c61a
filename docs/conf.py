"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

project = "Rain"
author = "The Rain authors"
version = release = version_of("rain")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"

html_theme = "furo"
html_title = "Rain"
html_show_copyright = False
html_copy_source = False

#: Links to headings, such as `resources.md#named-resources`, down to this level.
myst_heading_anchors = 4

#: Title → pages, in the order of the menu; a pattern stands for all pages that are not named before.
MENU = {
    "": ("installation",),
    "Guide": (
        "guide/first-steps",
        "guide/sessions",
        "guide/long-sessions",
        "guide/graphs",
        "guide/data",
        "guide/builtin-tasks",
        "guide/programs",
        "guide/python-tasks",
        "guide/structures",
        "guide/arrays",
        "guide/keeping",
        "guide/dynamic",
        "guide/failures",
        "guide/resources",
        "guide/cluster",
        "guide/*",
    ),
    "Reference": ("reference/api", "reference/command-line", "security", "reference/*"),
    "How it works": ("architecture", "*", "decisions/*"),
}


def add_menu(app: Any, page: str, source: list[str]) -> None:
    """Appends the menu to the first page, so that its Markdown stays readable where nothing is built."""
    if page != root_doc:
        return
    for title, pages in menu(Path(app.srcdir)).items():
        options = [":hidden:", *([f":caption: {title}"] if title else [])]
        source[0] += "\n".join(["", "```{toctree}", *options, "", *pages, "```", ""])


def menu(folder: Path) -> dict[str, list[str]]:
    """The menu with pages for its patterns."""
    placed = {root_doc, *(page for pages in MENU.values() for page in pages)}

    def expanded(pages: tuple[str, ...]) -> Iterator[str]:
        for page in pages:
            if "*" not in page:
                yield page
                continue
            for path in sorted(folder.glob(f"{page}.md")):
                name = str(path.relative_to(folder).with_suffix(""))
                if name not in placed:
                    yield name

    return {title: list(expanded(pages)) for title, pages in MENU.items()}


def setup(app: Any) -> None:
    app.connect("source-read", add_menu)
