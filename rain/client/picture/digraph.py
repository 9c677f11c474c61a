"""A picture as `graphviz.Digraph`, the class that its users know, which also shows itself in a notebook."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

import graphviz

from rain.client.picture.labels import label_of
from rain.client.picture.layout import LayoutFailed, laid_out
from rain.client.picture.palette import KEPT_LINE, LINE, LOOKS, ORDER, QUIET
from rain.client.picture.parts import Node, Picture, Shape
from rain.client.picture.texts import as_mermaid, as_text

_GRAPH = {"bgcolor": "transparent", "rankdir": "LR", "ranksep": "0.3", "nodesep": "0.15", "pad": "0.05"}
_NODE = {
    "fontname": "Helvetica,Arial,sans-serif",
    "fontsize": "10",
    "fontcolor": "#1f2328",
    "color": LINE,
    "penwidth": "0.8",
    "margin": "0.12,0.06",
}
_EDGE = {
    "fontname": "Helvetica,Arial,sans-serif",
    "fontsize": "8",
    "fontcolor": LINE,
    "color": LINE,
    "penwidth": "0.8",
    "arrowsize": "0.5",
}
_SMALL = {"fontsize": "8", "height": "0.2", "width": "0.3", "margin": "0.04,0.02", "penwidth": "0.6"}


class TaskGraph(graphviz.Digraph):  # type: ignore[misc]
    """A drawn task graph: `.source`, `.render()`, `.node()` and the rest are those of `graphviz.Digraph`.

    Without the program `dot` it is rendered by pygraphviz, whose wheel brings Graphviz along.
    """

    def __init__(self, picture: Picture) -> None:
        super().__init__(name="rain", graph_attr=_GRAPH, node_attr=_NODE, edge_attr=_EDGE)
        self.picture = picture
        self._svg: tuple[str, bytes] | None = None
        for node in picture.nodes:
            self.node(node.key, label_of(node), **_attributes(node))
        for edge in picture.edges:
            self.edge(edge.tail, edge.head, label=f" {edge.count:,} " if edge.count > 1 else "")

    def copy(self) -> TaskGraph:
        """An independent copy."""
        copied = TaskGraph(self.picture)
        for name, value in vars(self).items():
            setattr(copied, name, value.copy() if isinstance(value, list | dict) else value)
        return copied

    def pipe(self, format: str | None = None, *args: Any, **options: Any) -> Any:
        """As `graphviz.Digraph.pipe`, also where there is no program `dot`."""
        try:
            return super().pipe(format, *args, **options)
        except graphviz.ExecutableNotFound as missing:
            data = _rendered(missing, self.source, format or self.format, options.get("engine") or self.engine)
        encoding = options.get("encoding")
        return data if encoding is None else data.decode(encoding)

    def render(self, filename: Any = None, *args: Any, **options: Any) -> str:
        """As `graphviz.Digraph.render`, also where there is no program `dot`."""
        try:
            path: str = super().render(filename, *args, **options)
            return path
        except graphviz.ExecutableNotFound as missing:
            return self._render_here(missing, filename, **options)

    def _render_here(self, missing: Exception, filename: Any, **options: Any) -> str:
        """Writes what `render` writes, by what can lay it out here."""
        directory, outfile = options.get("directory"), options.get("outfile")
        target: Path | None = None
        if outfile is not None:
            target = Path(directory or self.directory or ".", outfile)
            directory, filename = target.parent, filename or f"{target.stem}.gv"
        file_format = options.get("format") or (target.suffix[1:] if target is not None else self.format)
        saved = Path(self.save(filename, directory=directory))
        target = target or saved.with_name(f"{saved.name}.{file_format}")
        target.write_bytes(_rendered(missing, self.source, file_format, options.get("engine") or self.engine))
        if options.get("cleanup"):
            saved.unlink()
        if options.get("view"):
            graphviz.view(str(target))
        return str(target)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> dict[str, str]:
        """HTML that survives in an untrusted notebook, and text; without a way to lay it out, Mermaid."""
        text = as_text(self.picture)
        try:
            html = self._as_html()
        except LayoutFailed as failed:
            return {"text/vnd.mermaid": as_mermaid(self.picture), "text/plain": f"{text}\n({failed})"}
        return {"text/html": html, "text/plain": text}

    def _repr_html_(self) -> str:
        """An image; the text where it cannot be laid out."""
        try:
            return self._as_html()
        except LayoutFailed as failed:
            return f"<pre>{escape(as_text(self.picture))}\n({escape(str(failed))})</pre>"

    def _repr_image_svg_xml(self) -> str:
        return self._laid_out().decode()

    def _as_html(self) -> str:
        return as_image(self._laid_out(), self.picture.caption)

    def _laid_out(self) -> bytes:
        """Laid out once, as long as nobody edits it."""
        source = self.source
        if self._svg is None or self._svg[0] != source:
            self._svg = (source, laid_out(source))
        return self._svg[1]


def as_image(svg: bytes, caption: str) -> str:
    """An image that is kept where scripts, styles and inline drawings are taken out."""
    data = base64.b64encode(svg).decode()
    told = escape(caption)
    return (
        f'<div><img alt="{told}" style="max-width:100%" src="data:image/svg+xml;base64,{data}">'
        f'<div style="opacity:0.7;font-size:90%">{told}</div></div>'
    )


def _rendered(missing: Exception, source: str, file_format: str, engine: str) -> bytes:
    try:
        return laid_out(source, file_format, engine)
    except LayoutFailed as failed:
        raise missing from failed


def _attributes(node: Node) -> dict[str, str]:
    if node.shape in (Shape.OBJECT, Shape.CONSTANT):
        attributes = _SMALL | {"shape": "ellipse" if node.shape is Shape.OBJECT else "note", "style": "filled"}
    else:
        attributes = {"shape": "box", "style": "filled,rounded"}
    present = [state for state in ORDER if node.states.get(state)]
    attributes["fillcolor"] = LOOKS[present[0]].fill if len(present) == 1 else QUIET
    if present == [None]:
        attributes["style"] += ",dashed"
    if node.is_kept:
        attributes |= {"penwidth": "1.8", "color": KEPT_LINE}
    return attributes
