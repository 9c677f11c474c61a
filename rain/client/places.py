"""Where in the user's program tasks were made: a number per place, cheap enough to note for every task."""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType

#: Frames of code below this folder are Rain's own.
OWN_FOLDER = str(Path(__file__).parent) + "/"

#: No place is known.
NOWHERE = 0


class Places:
    """Numbers places; the same line called a million times is one place."""

    __slots__ = ("_codes", "_numbers", "_own", "_texts")

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        #: Keeps the code objects, by whose addresses places are known.
        self._codes: list[CodeType] = []
        self._texts: list[str | None] = [None]
        #: Files of Rain's own that were met.
        self._own: set[str] = set()

    def note(self) -> int:
        """The number of the place in the user's program from which Rain was called."""
        frame = sys._getframe(1)
        code = frame.f_code
        own = self._own
        while code.co_filename in own or self._is_own(code):
            back = frame.f_back
            if back is None:
                return NOWHERE
            frame = back
            code = frame.f_code
        key = (id(code), frame.f_lasti)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._texts)
            self._codes.append(code)
            self._texts.append(f"{code.co_filename}:{frame.f_lineno}")
        return number

    def _is_own(self, code: CodeType) -> bool:
        is_own = code.co_filename.startswith(OWN_FOLDER)
        if is_own:
            self._own.add(code.co_filename)
        return is_own

    def text(self, number: int) -> str | None:
        """The place as "file.py:12"."""
        return self._texts[number]
