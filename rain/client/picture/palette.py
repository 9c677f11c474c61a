"""How states look: a sign, a word and a colour, so that none carries it alone; readable on light and on dark."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Look(msgspec.Struct, frozen=True):
    """One state."""

    word: str
    sign: str
    #: Filled with this, written on in black.
    fill: str


LOOKS: Mapping[str | None, Look] = {
    None: Look("not submitted", "·", "#ffffff"),
    "waiting": Look("waiting", "…", "#d0d5dd"),
    "unfinished": Look("unfinished", "…", "#d0d5dd"),
    "running": Look("running", "▶", "#fdd35c"),
    "finished": Look("finished", "✓", "#86d19a"),
    "failed": Look("failed", "✗", "#f58f85"),
    "cancelled": Look("cancelled", "–", "#bfa9d6"),
    "removed": Look("removed", "∅", "#f2f4f7"),
}
#: Lines and what is written beside nodes, on whatever lies behind.
LINE = "#7f8896"
#: Around what is kept.
KEPT_LINE = "#1f6feb"
#: Filled with this: what has no state, or several.
QUIET = "#f6f8fa"

#: In which order states are told.
ORDER = ("failed", "running", "finished", "cancelled", "waiting", "unfinished", "removed", None)


def told(states: Mapping[str | None, int]) -> str:
    """States in words: "✓ finished" where that is all, "✓ 12 finished, … 3 waiting" of several."""
    present = [(LOOKS[state], states[state]) for state in ORDER if states.get(state)]
    if len(present) == 1:
        return f"{present[0][0].sign} {present[0][0].word}"
    return ", ".join(f"{look.sign} {count:,} {look.word}" for look, count in present)
