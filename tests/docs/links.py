"""Links between pages: to files that are there, and to headings that these have."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import ROOT

_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def broken_links(page: Path) -> list[str]:
    """What is wrong with the links of a page; links to other sites are not looked at."""
    found = []
    for file, heading in _LINK.findall(_prose(page)):
        target = (page.parent / file).resolve() if file else page
        shown = file or page.name
        if not target.exists():
            found.append(f"{page.relative_to(ROOT)}: there is no file {shown}")
        elif heading and heading not in _anchors(target):
            found.append(f"{page.relative_to(ROOT)}: there is no heading {shown}#{heading}")
    return found


def _anchors(page: Path) -> set[str]:
    """The headings as links name them: lower case, without punctuation, joined by hyphens."""
    headings = _HEADING.findall(_prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text(encoding="utf-8"))
