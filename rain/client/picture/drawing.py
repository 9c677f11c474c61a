"""From a session to the picture of its graph: what is drawn, and in how much detail."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec.structs import replace as changed

from rain.client.picture.collapse import Grouping, collapsed, grouped
from rain.client.picture.known import KnownGraph
from rain.client.picture.parts import Picture
from rain.client.picture.selection import Centre, Selection, around, everything, in_group
from rain.client.picture.shape import GraphShape
from rain.client.picture.spelt_out import objects_of, only_tasks, spelt_out
from rain.core.errors import RainException

if TYPE_CHECKING:
    from rain.client.session import Session

#: A drawing waits so long for the server to tell the graph, and then is made of what is known here.
READ_LIMIT_S = 10.0
OBJECTS_LIMIT_S = 1.0


class SessionDrawing:
    """Draws one session, and remembers for the next time what does not change."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.known = KnownGraph(session)
        self._grouping: tuple[GraphShape, int, Grouping] | None = None

    def picture(
        self,
        *,
        centre: Centre | None,
        depth: int,
        group: str | None,
        collapse: bool | None,
        limit: int,
        read_limit_s: float = READ_LIMIT_S,
    ) -> Picture:
        """The picture. Raises RainException for what cannot be meant."""
        _check(group, depth, limit)
        shape, moment, remark = self.known.look(read_limit_s)
        selection = _selected(shape, centre, depth, group)
        is_small = collapse is False or (collapse is None and len(selection.tasks) <= limit)
        objects = objects_of(shape, selection) if is_small else None
        if objects is None:
            picture = collapsed(shape, moment, selection, self._grouped(shape, selection, limit))
        elif collapse is None and len(selection.tasks) + len(objects) > limit:
            picture = only_tasks(shape, moment, selection)
        else:
            found = {} if remark else self.known.object_states(objects, OBJECTS_LIMIT_S)
            picture = spelt_out(shape, replace(moment, object_states=found), selection)
        return changed(picture, caption=f"{picture.caption} ({remark})") if remark else picture

    def _grouped(self, shape: GraphShape, selection: Selection, limit: int) -> Grouping:
        if not selection.is_everything:
            return grouped(shape, selection, limit)
        if self._grouping is None or self._grouping[0] is not shape or self._grouping[1] != limit:
            self._grouping = (shape, limit, grouped(shape, selection, limit))
        return self._grouping[2]


def _check(group: object, depth: object, limit: object) -> None:
    if group is not None and (not isinstance(group, str) or not group.strip("/")):
        raise RainException(f"group: expected the beginning of tasks' names such as 'main/train', found {group!r}")
    if not isinstance(depth, int) or isinstance(depth, bool) or depth < 0:
        raise RainException(f"depth: expected a number of steps, 0 or more, found {depth!r}")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise RainException(f"limit: expected how many nodes are drawn at most, 1 or more, found {limit!r}")


def _selected(shape: GraphShape, centre: Centre | None, depth: int, group: str | None) -> Selection:
    if centre is not None:
        if group is not None:
            raise RainException("graph(): around= and group= exclude one another")
        return around(shape, centre, depth)
    if group is None:
        return everything(shape)
    selection = in_group(shape, group)
    if not selection.tasks:
        names = sorted({name.split("/")[0] for name in shape.names})
        there = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise RainException(f"no task's name begins with {group!r}; there are: {there or 'none'}")
    return selection
