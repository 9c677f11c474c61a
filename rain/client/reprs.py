"""How handles look in a notebook. Nothing here raises, nor asks a server for longer than a blink."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from rain.client.facts import resources_text, workers_table
from rain.client.picture.palette import LOOKS, ORDER, told
from rain.client.records import TASK_STATES
from rain.core.cells import shown_place
from rain.core.errors import RainException
from rain.core.ids import session_name
from rain.core.markup import (
    Content,
    Markup,
    badge,
    bar,
    bold,
    card,
    code,
    end_of,
    facts,
    fold,
    joined,
    quiet,
    size_text,
)

if TYPE_CHECKING:
    from rain.client.arrays import ObjectArray, TaskArray
    from rain.client.building import SessionGraph
    from rain.client.client import Client
    from rain.client.objects import DataObject
    from rain.client.session import Session
    from rain.client.task import Task

P = ParamSpec("P")
T = TypeVar("T")

#: A server that does not answer within this is not waited for.
BLINK_S = 0.2
_MAX_LISTED = 10


def or_text(shown: Callable[P, Markup]) -> Callable[P, str | None]:
    """None, which has the text shown, where something unforeseen stands in the way of the HTML."""

    @wraps(shown)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> str | None:
        try:
            return shown(*args, **kwargs)
        except Exception:  # a repr that raises hides what one wants to look at
            return None

    return guarded


@or_text
def client_html(client: Client) -> Markup:
    """The connection, the workers as far as the server tells them at once, and the sessions of this client."""
    state = "closed" if client._closed else ("connected" if client._shell.lost_reason is None else "connection lost")
    workers: Content = ""
    if state == "connected":
        try:
            workers = workers_table(client._workers(BLINK_S))
        except (RainException, TimeoutError):
            workers = quiet("the server does not answer at once")
    rows = [(each.name or "", each) for each in list(client._sessions.values())]
    sessions = [f"{session_name(each.session_id)} {name!r} {each.state}" for name, each in rows[:_MAX_LISTED]]
    return card(
        joined(bold("Client"), f" of {client.address} ", _badge(state)),
        workers,
        facts([("sessions", ", ".join(sessions) or None)]),
    )


@or_text
def session_html(session: Session) -> Markup:
    """How many tasks are in which state; no loop over tasks."""
    states = session._drawing.known.states(BLINK_S)
    counts = {name: states.count(number) for number, name in enumerate(TASK_STATES)}
    counts[None] += session.task_count
    label = f" '{session.name}'" if session.name else ""
    n_new = session.dataobj_count
    return card(
        joined(bold(f"Session {session_name(session.session_id)}"), f"{label} ", _badge(session.state)),
        states_view(counts, "task"),
        facts(
            [
                ("objects not submitted", f"{n_new:,}" if n_new else None),
                ("failed by", _first_line(session._trouble.reason) if session._trouble is not None else None),
                ("waits", session._unrunnable.reason or None),
            ]
        ),
    )


@or_text
def task_html(task: Task) -> Markup:
    """What it is, and what became of it as far as is known here."""
    spec, graph, info = task._spec, task._session._graph, task.info
    resources, outputs = _within_a_blink(graph, lambda: (task.spec.resources, list(task.outputs)))
    place = graph.places.text(graph.builder.places[task._number])
    known: list[tuple[str, Content | None]] = [
        ("kind", str(spec.kind)),
        ("asks for", resources_text(resources)),
        ("reads", None if task._inputs is None else _names(task._inputs)),
        ("makes", _names(outputs)),
        ("made at", None if place is None else shown_place(place)[0]),
    ]
    folds: list[Content] = []
    if info is not None:
        known += [
            ("worker", info.worker),
            ("attempt", f"{info.attempt + 1}" if info.attempt else None),
            ("took", None if info.duration is None else f"{info.duration:.3g} s"),
            ("progress", None if info.progress is None else f"{info.progress.fraction:.0%} {info.progress.text}"),
            ("error", None if info.error is None else _first_line(info.error)),
        ]
        said = (("stdout", info.stdout), ("stderr", info.stderr), ("debug", info.debug))
        folds = [fold(title, code(end_of(text))) for title, text in said if text]
    return card(joined(bold(type(task).__name__), f" {task._described()} ", _badge(task.state)), facts(known), *folds)


@or_text
def task_array_html(array: TaskArray) -> Markup:
    """How many are in which state."""
    return card(joined(bold("TaskArray"), f" {array._described()}"), states_view(array.states(), "task"))


@or_text
def object_array_html(array: ObjectArray) -> Markup:
    """How many are in which state."""
    rows = [("kept", "all" if array.is_kept() else "not all"), ("type", array.content_type)]
    view = states_view(array.states(), "object")
    return card(joined(bold("ObjectArray"), f" {array._described()}"), view, facts(rows))


@or_text
def object_html(obj: DataObject) -> Markup:
    """What it is, and a constant's value."""
    info = obj.info
    constant = obj._constant
    size = info.size if info is not None else (constant.size if obj._is_here else None)  # type: ignore[union-attr]
    rows: list[tuple[str, Content | None]] = [
        ("label", obj.label),
        ("type", obj.content_type),
        ("size", None if size is None else size_text(size)),
        ("kept", "yes" if obj.is_kept() else None),
        ("error", None if info is None or info.error is None else _first_line(info.error)),
    ]
    value: Content = ""
    if constant is not None and obj._is_here:
        from rain.data.instance import DataInstance
        from rain.data.instance_view import preview

        value = preview(DataInstance(constant.data, content_type=constant.content_type))
    state = "" if constant is not None else _badge(obj.state)
    return card(joined(bold("DataObject"), f" {obj._described()} ", state), facts(rows), value)


def states_view(counts: Mapping[str | None, int], what: str) -> Markup:
    """A bar and words: how many of these are in which state."""
    total = sum(counts.values())
    if not total:
        return quiet(f"no {what}s")
    shares = [(LOOKS[state].fill, counts.get(state, 0) / total) for state in ORDER]
    return joined(f"{total:,} {what}{'' if total == 1 else 's'}: {told(counts)}", bar(shares))


def _within_a_blink(graph: SessionGraph, look: Callable[[], T]) -> T:
    """What needs the lock of a graph, which another thread may hold for as long as it submits."""
    if not graph.lock.acquire(timeout=BLINK_S):
        raise TimeoutError
    try:
        return look()
    finally:
        graph.lock.release()


def _badge(state: str | None) -> Markup:
    look = LOOKS.get(state)
    if look is not None:
        return badge(f"{look.sign} {look.word}", look.fill)
    as_task = {"open": "finished", "connected": "finished", "failed": "failed", "connection lost": "failed"}
    return badge(str(state), LOOKS[as_task.get(str(state), "removed")].fill)


def _names(items: Sequence[Any]) -> str | None:
    """Ids of objects, and what arrays of them are called."""
    shown = [item.id if hasattr(item, "id") else item._described() for item in items[:_MAX_LISTED]]
    if len(items) > _MAX_LISTED:
        shown.append(f"and {len(items) - _MAX_LISTED:,} more")
    return ", ".join(shown) or None


def _first_line(text: str) -> str:
    first, _, rest = text.partition("\n")
    return first + (" …" if rest else "")
