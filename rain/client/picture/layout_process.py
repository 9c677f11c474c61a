"""The program that lays a graph out: DOT on standard input, a file on standard output; arguments: format, engine."""

from __future__ import annotations

import sys

import pygraphviz


def main(file_format: str, engine: str) -> None:
    """Reads, lays out, writes."""
    graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
    sys.stdout.buffer.write(graph.draw(format=file_format, prog=engine))


if __name__ == "__main__":
    main(*sys.argv[1:])
