"""Which session a new task belongs to: the innermost active one, else the default of the process."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from rain.core.errors import RainException

if TYPE_CHECKING:
    from rain.client.session import Session

#: Active sessions of this thread or coroutine, the innermost last.
_stack: ContextVar[tuple[Session, ...]] = ContextVar("rain_sessions", default=())


class _Default:
    """The one session of the process that holds where none is active."""

    session: Session | None = None


def get_active_session() -> Session:
    """The active session, else the default one. Raises RainException where there is neither."""
    stack = _stack.get()
    if stack:
        return stack[-1]
    session = _Default.session
    if session is None:
        raise RainException(
            "there is no active session: write `with client.new_session() as session:` around it, "
            "make one with `client.new_session(default=True)`, or pass session="
        )
    return session


def chosen_session(session: object) -> Session:
    """The session that a call was told, else the active one. Raises RainException."""
    if session is None:
        return get_active_session()
    from rain.client.session import Session

    if not isinstance(session, Session):
        raise RainException(f"session: expected a Session or None, found {session!r}")
    return session


def push_session(session: Session) -> None:
    """Makes a session the active one."""
    _stack.set((*_stack.get(), session))


def pop_session(session: Session) -> None:
    """Takes away the innermost entry of this session; others stay as they are."""
    stack = list(_stack.get())
    for place in reversed(range(len(stack))):
        if stack[place] is session:
            del stack[place]
            break
    _stack.set(tuple(stack))


def set_default_session(session: Session) -> None:
    """Makes it the default session of the process."""
    _Default.session = session


def drop_default_session(session: Session) -> None:
    """Leaves the process without a default session, where this is it."""
    if _Default.session is session:
        _Default.session = None
