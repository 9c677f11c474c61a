"""Count the words of a large text with `tr`, `sort` and `uniq`, a chunk at a time on several workers, then merge.

The text is put together from what is found on the machine: Python's own sources and the texts below /usr/share.
"""

from __future__ import annotations

import itertools
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import rain
from rain.client import Program, Session, tasks

#: Size of the text, at least.
TEXT_BYTES = 50_000_000
CHUNKS = 8

#: Words of one chunk with their counts, ordered by word.
count_chunk = Program(
    "tr -cs 'A-Za-z' '\\n' | tr 'A-Z' 'a-z' | sort | uniq -c",
    stdin="chunk",
    stdout="counts",
    shell=True,
    env={"LC_ALL": "C"},
    name="count",
)

#: Sums up neighbouring lines of the same word of lists that are ordered by word; most frequent first.
SUM = "awk '$2 != word { if (word != \"\") print n, word; word = $2; n = 0 } { n += $1 } END { print n, word }'"


def find_texts() -> Iterator[Path]:
    """Text files of this machine, in a fixed order."""
    places = [(Path(sysconfig.get_path("stdlib")), "*.py"), (Path("/usr/share/common-licenses"), "*")]
    for folder, pattern in places:
        yield from sorted(path for path in folder.glob(pattern) if path.is_file())


def make_text(path: Path, size_bytes: int = TEXT_BYTES) -> None:
    """Write a text of at least `size_bytes`, repeating what was found as often as needed."""
    texts = [found.read_bytes() for found in find_texts()]
    if not texts:
        sys.exit("no texts were found on this machine")
    written = 0
    with path.open("wb") as file:
        for text in itertools.cycle(texts):
            written += file.write(text + b"\n")
            if written >= size_bytes:
                return


def run(session: Session, text: Path, most: int = 10) -> str:
    """The most frequent words and their counts, a line each."""
    whole = tasks.open(str(text))
    names = [f"chunk.{i}" for i in range(CHUNKS)]
    split = tasks.execute(
        ["split", "--number", f"l/{CHUNKS}", "--numeric-suffixes", "--suffix-length=1", whole, "chunk."],
        output_paths=names,
        name="split",
    )
    counts = [count_chunk(chunk=chunk) for chunk in split.outputs]
    merged = tasks.execute(
        ["sort", "-m", "-k2,2", *counts, "|", SUM, "|", "sort", "-k1,1nr", "-k2,2", "|", "head", "-n", str(most)],
        stdout=True,
        shell=True,
        env={"LC_ALL": "C"},
        name="merge",
    )
    merged.output.keep()
    session.submit()
    return str(merged.output.fetch())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text"
        make_text(text)
        with (
            rain.local(workers=2, cpus=1) as cluster,
            cluster.client() as client,
            client.new_session("word count") as session,
        ):
            print(run(session, text))


if __name__ == "__main__":
    main()
