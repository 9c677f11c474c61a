"""A notebook's cells as people know them: "Cell In[3]" instead of the file names that IPython makes up for them."""

from __future__ import annotations

import linecache
import re
import sys

#: The first line of a frame, as Python and as IPython write it.
FRAME = re.compile(r'^  (?:File "(?P<file>[^"\n]+)"|(?P<cell>Cell In\[\d+\])), line (?P<line>\d+)(?:, in .*)?$')


def with_cell_names(text: str) -> str:
    """A traceback as text, with cells by their names."""
    lines = text.splitlines(keepends=True)
    for place, line in enumerate(lines):
        frame = FRAME.match(line.rstrip("\n"))
        cell = None if frame is None or frame["file"] is None else cell_of(frame["file"])
        if frame is not None and cell is not None:
            lines[place] = line.replace(f'File "{frame["file"]}"', cell, 1)
    return "".join(lines)


def cell_of(file: str) -> str | None:
    """ "Cell In[3]" for the name that IPython gives the source of a cell; None for files."""
    # Not imported for this: a program without IPython has no cells.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    named = getattr(getattr(shell, "compile", None), "format_code_name", None)
    found = None if named is None else named(file)
    return None if found is None else " ".join(found)


def shown_place(place: str) -> tuple[str, str]:
    """A place "file.py:12", a cell by its name ("Cell In[3]:12"); and the line of code there, "" where unknown."""
    file, _, line = place.rpartition(":")
    cell = cell_of(file)
    source = linecache.getline(file, int(line)).strip() if line.isdigit() else ""
    return place if cell is None else f"{cell}:{line}", source
