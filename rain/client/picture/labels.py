"""What stands in the nodes of a drawing, in Graphviz' own kind of HTML; what users wrote is escaped."""

from __future__ import annotations

import re
from html import escape

from rain.client.picture.palette import LOOKS, ORDER, told
from rain.client.picture.parts import Node, Shape
from rain.core.markup import CONTROLS

#: Titles are cut to so many characters.
MAX_TITLE = 48
#: How wide the bar of a group is, in points, and how thin a part of it may be.
_BAR = 72
_THINNEST = 2

#: A title is one line.
_CONTROLS = CONTROLS | {ord("\n"): ord("⏎"), ord("\t"): ord(" ")}


#: Backslashes that mean something to Graphviz.
_SUBSTITUTED = re.compile(r"\\(?=[NGETHL])")


def label_of(node: Node) -> str:
    """The label of a node, as HTML."""
    if node.shape is Shape.GROUP:
        return _group(node)
    if node.shape is Shape.TASK:
        return f"<<b>{shown(node.title)}</b><br/>{_small(f'{node.detail} {told(node.states)}')}>"
    name = shown(node.title) or escape(node.detail)
    sign = "".join(LOOKS[state].sign for state in node.states if state in ("removed", "running"))
    return f"<{f'{name} {sign}'.strip()}>"


def shown(text: str, most: int = MAX_TITLE) -> str:
    """A text of a user's, cut, as HTML."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    printable = cut.translate(_CONTROLS).encode("utf-8", errors="replace").decode()
    # Graphviz puts the name of the node for "\\N", in any spelling; what is between them now has no width.
    return escape(_SUBSTITUTED.sub("\\\\\u2060", printable))


def _group(node: Node) -> str:
    title = f"<b>{shown(node.title)}</b>" + (f" ×{node.count:,}" if node.count > 1 else "")
    present = [state for state in ORDER if node.states.get(state)]
    words = "<br/>".join(filter(None, (_small(node.detail), *(_small(line) for line in _told_in_lines(node)))))
    if len(present) < 2:
        return f"<{title}<br/>{words}>"
    widths = [max(_THINNEST, round(_BAR * node.states[state] / node.count)) for state in present]
    cells = "".join(
        f'<td bgcolor="{LOOKS[state].fill}" width="{width}" height="6" fixedsize="true"></td>'
        for state, width in zip(present, widths, strict=True)
    )
    # The bar is a table of its own of just that size, or its columns would grow with the words.
    size = f'fixedsize="true" width="{sum(widths)}" height="6"'
    bar = f'<table border="0" cellborder="0" cellspacing="0" cellpadding="0" {size}><tr>{cells}</tr></table>'
    rows = f"<tr><td>{title}</td></tr><tr><td {size}>{bar}</td></tr><tr><td>{words}</td></tr>"
    return f'<<table border="0" cellborder="0" cellspacing="0" cellpadding="1">{rows}</table>>'


def _told_in_lines(node: Node) -> list[str]:
    """The states in words, two to a line."""
    parts = told(node.states).split(", ")
    return [", ".join(parts[i : i + 2]) for i in range(0, len(parts), 2)]


def _small(text: str) -> str:
    return f'<font point-size="8">{escape(text)}</font>' if text else ""
