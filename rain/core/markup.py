"""Small pieces of HTML for notebooks: every text is escaped, and only what untrusted notebooks keep is used.

That is tables, `<details>`, `<pre>` and inline styles; no scripts, style sheets, classes or ids. Where a background is
set, the colour of the text on it is, too: the rest is as the theme has it, light or dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

#: Longer texts are cut.
MAX_SHOWN = 4096
_QUIET = "opacity:0.7"
_CELL = "text-align:left;vertical-align:top;padding:0.1em 1em 0.1em 0"
_PRE = "margin:0.3em 0;padding:0;background:none;white-space:pre-wrap;font-family:monospace;font-size:90%"


class Markup(str):
    """HTML already; every other string is text."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


Content = str | Markup

#: Control characters, which no page may have, to the signs that Unicode has for them.
CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: 0x2421}


def html(content: object) -> Markup:
    """Text escaped, markup as it is."""
    if isinstance(content, Markup):
        return content
    text = str(content).encode("utf-8", errors="replace").decode()
    return Markup(escape(text.translate(CONTROLS)))


def joined(*parts: Content) -> Markup:
    """Pieces one after the other."""
    return Markup("".join(map(html, parts)))


def bold(text: Content) -> Markup:
    """In bold."""
    return Markup(f"<b>{html(text)}</b>")


def quiet(text: Content) -> Markup:
    """Less important."""
    return Markup(f'<span style="{_QUIET}">{html(text)}</span>')


def code(text: str) -> Markup:
    """Lines as they are."""
    return Markup(f'<pre style="{_PRE}">{html(text)}</pre>')


def cut(text: str, most: int = MAX_SHOWN) -> str:
    """The beginning of a long text, and how much there is of it."""
    return text if len(text) <= most else f"{text[:most]}\n… {len(text) - most:,} more characters"


def end_of(text: str, most: int = MAX_SHOWN) -> str:
    """The end of a long text."""
    return text if len(text) <= most else f"… {len(text) - most:,} characters before\n{text[-most:]}"


def badge(text: Content, fill: str) -> Markup:
    """A word on a colour on which black can be read."""
    style = f"background:{fill};color:#1f2328;border-radius:3px;padding:0 0.4em"
    return Markup(f'<span style="{style}">{html(text)}</span>')


def bar(parts: Iterable[tuple[str, float]]) -> Markup:
    """Shares of a whole, as (colour, share from 0 to 1), side by side."""
    pieces = "".join(
        f'<span style="display:inline-block;height:0.6em;width:{max(1.0, 100 * share):.1f}%;background:{fill}"></span>'
        for fill, share in parts
        if share > 0
    )
    return Markup(f'<div style="max-width:24em;white-space:nowrap;overflow:hidden;font-size:80%">{pieces}</div>')


def fold(summary: Content, body: Content, *, is_open: bool = False) -> Markup:
    """What opens at a click."""
    return Markup(f"<details{' open' if is_open else ''}><summary>{html(summary)}</summary>{html(body)}</details>")


def facts(rows: Iterable[tuple[str, Content | None]]) -> Markup:
    """Names and values; rows without a value are left out."""
    lines = "".join(
        f'<tr><td style="{_CELL};white-space:nowrap">{quiet(name)}</td>{_cell(value)}</tr>'
        for name, value in rows
        if value is not None
    )
    return Markup(f"<table>{lines}</table>") if lines else Markup("")


def table(head: Sequence[str], rows: Iterable[Sequence[Content]]) -> Markup:
    """A table with a head."""
    titles = "".join(f'<th style="{_CELL}">{html(title)}</th>' for title in head)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return Markup(f"<table><tr>{titles}</tr>{lines}</table>")


def card(*parts: Content) -> Markup:
    """Pieces below one another."""
    return Markup("<div>" + "".join(f"<div>{html(part)}</div>" for part in parts if part) + "</div>")


def size_text(n_bytes: float) -> str:
    """Bytes for people: "12 bytes", "1.5 MiB"."""
    if n_bytes < 1024:
        return f"{n_bytes:,.0f} {'byte' if n_bytes == 1 else 'bytes'}"
    for unit in ("KiB", "MiB", "GiB"):
        n_bytes /= 1024
        if n_bytes < 1024:
            return f"{n_bytes:.3g} {unit}" if n_bytes < 1000 else f"{n_bytes:.0f} {unit}"
    return f"{n_bytes / 1024:,.3g} TiB"


def _cell(content: Content) -> str:
    return f'<td style="{_CELL}">{html(content)}</td>'
