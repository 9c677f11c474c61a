"""A picture without a drawing: lines for a terminal, and Mermaid, which notebooks draw themselves."""

from __future__ import annotations

from rain.client.picture.palette import LOOKS, ORDER, told
from rain.client.picture.parts import Node, Picture, Shape

#: Lines of a text at most.
MAX_LINES = 40


def as_text(picture: Picture) -> str:
    """One line per task or group, with what it reads."""
    by_key = {node.key: node for node in picture.nodes}
    reads: dict[str, list[str]] = {}
    for edge in picture.edges:
        reads.setdefault(edge.head, []).append(_named(by_key[edge.tail]))
    tasks = [node for node in picture.nodes if node.shape in (Shape.TASK, Shape.GROUP)]
    lines = [picture.caption]
    for node in tasks[:MAX_LINES]:
        before = f"  ← {', '.join(dict.fromkeys(reads[node.key]))}" if node.key in reads else ""
        lines.append(f"  {_named(node)}: {told(node.states)}{before}")
    if len(tasks) > MAX_LINES:
        lines.append(f"  … and {len(tasks) - MAX_LINES:,} more")
    return "\n".join(lines)


def as_mermaid(picture: Picture) -> str:
    """The source of a Mermaid flow chart."""
    lines = ["flowchart LR"]
    for node in picture.nodes:
        opening, closing = ('["', '"]') if node.shape in (Shape.TASK, Shape.GROUP) else ('(["', '"])')
        text = _named(node) if node.shape is Shape.CONSTANT else f"{_named(node)}\n{told(node.states)}"
        lines.append(f"  {node.key}{opening}{_escaped(text)}{closing}")
        state = next((state for state in ORDER if node.states.get(state)), None)
        lines.append(f"  style {node.key} fill:{LOOKS[state].fill},color:#000")
    lines += [f"  {edge.tail} --> {edge.head}" for edge in picture.edges]
    return "\n".join(lines)


def _named(node: Node) -> str:
    if node.shape is Shape.GROUP:
        return f"{node.title} ×{node.count:,}"
    return " ".join(part for part in (node.title, node.detail) if part)


def _escaped(text: str) -> str:
    """For a quoted label: entities are read there, so whatever could mean something is written as one."""
    return "".join(each if each.isalnum() or each in " .,:_-/×✓✗▶…–·∅" else f"#{ord(each)};" for each in text).replace(
        "#10;", "<br/>"
    )
