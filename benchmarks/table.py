"""Rows of text, printed in columns."""

from __future__ import annotations

from collections.abc import Sequence


def show(rows: Sequence[Sequence[str]]) -> None:
    """Prints the rows; the first one is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)
