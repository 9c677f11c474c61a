"""How a session shows itself: its graph as a picture, and itself in a notebook."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

from rain.core.errors import RainException

if TYPE_CHECKING:
    from rain.client.handles import Items
    from rain.client.live.widget import SessionProgress
    from rain.client.picture.digraph import TaskGraph
    from rain.client.picture.drawing import SessionDrawing
    from rain.client.picture.selection import Centre
    from rain.client.session import Session


class SessionViews:
    """What a session has for its looks."""

    def graph(
        self,
        around: Items | None = None,
        depth: int = 2,
        group: str | None = None,
        collapse: bool | None = None,
        limit: int = 150,
    ) -> TaskGraph:
        """The task graph, coloured by state: a `graphviz.Digraph` that a notebook shows as a picture.

        Of more than `limit` nodes tasks of one name and layer become one node, unless `collapse=False`. `around`:
        only these tasks and objects, and what lies `depth` steps before and after. `group`: only tasks whose name
        begins so ("main/train"). Raises RainException where graphviz is not installed: pip install 'rain[jupyter]'.
        """
        digraph = _digraph()
        picture = self._drawing.picture(
            centre=None if around is None else _centre(cast("Session", self), around),
            depth=depth,
            group=group,
            collapse=collapse,
            limit=limit,
        )
        return digraph(picture)

    def progress(self) -> SessionProgress:
        """How its tasks stand, live: an ipywidget for any layout, with a filter of names and a button that cancels.

        Raises RainException without a server, and where ipywidgets is not installed: pip install 'rain[jupyter]'.
        """
        session = cast("Session", self)
        session._check_open("shown")
        if session.client is None:
            raise RainException(f"{session!r} has no server, so there is no progress to show: make one with a client")
        return _progress_widget()(session, session.client._shell)

    def _repr_html_(self) -> str | None:
        from rain.client.reprs import session_html

        return session_html(cast("Session", self))

    @cached_property
    def _drawing(self) -> SessionDrawing:
        from rain.client.picture.drawing import SessionDrawing

        return SessionDrawing(cast("Session", self))


def _digraph() -> type[TaskGraph]:
    try:
        from rain.client.picture.digraph import TaskGraph
    except ModuleNotFoundError as error:
        if error.name != "graphviz":
            raise
        raise RainException("graph() needs the package graphviz: pip install 'rain[jupyter]'") from None
    return TaskGraph


def _progress_widget() -> type[SessionProgress]:
    try:
        from rain.client.live.widget import SessionProgress
    except ModuleNotFoundError as error:
        if error.name != "ipywidgets":
            raise
        raise RainException("progress() needs the package ipywidgets: pip install 'rain[jupyter]'") from None
    return SessionProgress


def _centre(session: Session, items: Items) -> Centre:
    from rain.client.handles import listed, split_items
    from rain.client.numbers import awaited_tasks
    from rain.client.objects import DataObject
    from rain.client.picture.selection import Centre

    tasks, objects = split_items(listed(items))
    session._check_own([*tasks, *objects])
    constants = [obj._number for obj in objects if isinstance(obj, DataObject) and obj._task is None]
    return Centre(awaited_tasks(tasks, objects), constants)
