"""The picture as a `graphviz.Digraph`, laid out by whatever is there."""

from __future__ import annotations

import base64
import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rain.client import RainException, Session, blob, function
from rain.client.picture import layout
from rain.client.picture.parts import Edge, Node, Picture, Shape

graphviz = pytest.importorskip("graphviz")
pytest.importorskip("pygraphviz")

from rain.client.picture.digraph import TaskGraph  # noqa: E402

HOSTILE = '<b>"quo\\ted" & \\N</b>]];\n-->\x00\x1b\udc80" onload="alert(1)' + "x" * 500


@function
def one(value: object) -> object:
    return value


def svg_in(html: str) -> ElementTree.Element:
    data = html.partition("base64,")[2].partition('"')[0]
    return ElementTree.fromstring(base64.b64decode(data))


def words(root: ElementTree.Element) -> str:
    return " ".join(root.itertext())


def test_a_graph_is_a_digraph_that_shows_itself() -> None:
    session = Session(None, 1)
    with session.bind_only():
        one(one(blob("a")), name="second")
    graph = session.graph()
    assert isinstance(graph, graphviz.Digraph)
    bundle = graph._repr_mimebundle_()
    assert bundle["text/html"].startswith('<div><img alt="2 tasks"')
    assert "second" in words(svg_in(bundle["text/html"]))
    assert bundle["text/plain"].splitlines()[0] == "2 tasks"


def test_what_users_wrote_stays_text() -> None:
    nodes = (
        Node("t0", Shape.TASK, HOSTILE, "s1.t0", {"failed": 1}),
        Node("o0", Shape.CONSTANT, HOSTILE),
        Node("g0", Shape.GROUP, HOSTILE, "layer 0", {"failed": 1, "finished": 999_999}),
    )
    bundle = TaskGraph(Picture(HOSTILE, nodes, (Edge("o0", "t0", 3),)))._repr_mimebundle_()
    drawn = words(svg_in(bundle["text/html"])).replace("\u2060", "")
    assert drawn.count('<b>"quo\\ted" & \\N</b>]];⏎-->␀␛?" onload=') == 3
    assert "onload=" not in bundle["text/html"].replace("onload=&quot;", "")


def test_what_is_edited_is_laid_out_again() -> None:
    graph = TaskGraph(Picture("", (Node("t0", Shape.TASK, "a", "", {None: 1}),), ()))
    before = graph._repr_html_()
    assert graph._repr_html_() is not None
    copied = graph.copy()
    graph.node("mine", "my own")
    assert "my own" in words(svg_in(graph._repr_html_()))
    assert copied._repr_html_() == before


def test_it_is_rendered_without_the_program_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    graph = TaskGraph(Picture("", (Node("t0", Shape.TASK, "title", "", {None: 1}),), ()))
    assert "title" in graph.pipe("svg", encoding="utf-8")
    path = Path(graph.render("drawn", directory=tmp_path, format="png", cleanup=True))
    assert path == tmp_path / "drawn.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert Path(graph.render(outfile=tmp_path / "other.svg")).read_text().startswith("<?xml")


def test_without_anything_that_lays_it_out_there_is_mermaid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(layout.importlib.util, "find_spec", lambda name: None)
    nodes = (Node("t0", Shape.TASK, 'a"]; b', "", {"failed": 1}), Node("g1", Shape.GROUP, "g", "", {"finished": 2}))
    graph = TaskGraph(Picture("2 tasks", nodes, (Edge("t0", "g1"),)))
    bundle = graph._repr_mimebundle_()
    assert set(bundle) == {"text/vnd.mermaid", "text/plain"}
    assert 't0["a#34;#93;#59; b<br/>✗ failed"]' in bundle["text/vnd.mermaid"]
    assert "pip install 'rain[jupyter]'" in bundle["text/plain"]
    assert graph._repr_html_().startswith("<pre>2 tasks")


def test_laying_out_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    forever = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(layout, "_command", lambda file_format, engine: forever)
    with pytest.raises(layout.LayoutFailed, match=r"took more than 0\.1 s: draw less of it"):
        layout.laid_out("digraph {}", limit_s=0.1)


def test_a_layout_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(layout.LayoutFailed, match="could not be laid out"):
        layout.laid_out("no graph at all")

    def refuse(*args: Any, **options: Any) -> None:
        raise OSError("no processes left")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(layout.LayoutFailed, match="no processes left"):
        layout.laid_out("digraph {}")


def test_a_missing_graphviz_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "graphviz":
            raise ModuleNotFoundError("No module named 'graphviz'", name="graphviz")
        return original(name, *args, **options)

    monkeypatch.delitem(sys.modules, "rain.client.picture.digraph")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RainException, match=r"pip install 'rain\[jupyter\]'"):
        Session(None, 1).graph()
