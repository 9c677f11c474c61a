"""The end of a file, and what is appended to it from then on."""

from __future__ import annotations

from pathlib import Path

_BLOCK_BYTES = 64 << 10


class Tail:
    """Reads a file from its last `n_lines` lines on. Raises OSError where it cannot be read."""

    def __init__(self, path: Path, n_lines: int) -> None:
        self.path = path
        self._n_lines = n_lines
        self._offset: int | None = None

    def news(self) -> str:
        """The last lines at the first call; then what was appended since. A file that was cut is read anew."""
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            if self._offset is None:
                self._offset = _start_of_last_lines(self.path, size, self._n_lines)
            elif self._offset > size:
                self._offset = 0
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        return data.decode(errors="replace")


def _start_of_last_lines(path: Path, size: int, n_lines: int) -> int:
    """Where the last lines begin; the newline at the very end ends a line, it begins none."""
    start, missing = size, n_lines
    with path.open("rb") as file:
        while start:
            stop, start = start, max(0, start - _BLOCK_BYTES)
            file.seek(start)
            block = file.read(stop - start)
            position = len(block)
            if stop == size and block.endswith(b"\n"):
                position -= 1
            while missing and (position := block.rfind(b"\n", 0, position)) >= 0:
                missing -= 1
            if not missing:
                return start + position + 1 if n_lines else size
    return 0
