"""Watches the cells of a shell: one that is interrupted takes along what it submitted, and says so in one line."""

from __future__ import annotations

import asyncio
import signal
import threading
from array import array
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from rain.client.session import Session
from rain.client.stopping import described_tasks, n_submitted, open_tasks, stop_tasks
from rain.core.errors import RainException
from rain.core.ids import session_name
from rain.kernel_ext.notebook import Notebook

#: An answer of the server is waited for so long; asking takes two of them.
ANSWER_LIMIT_S = 0.2
#: Frames of this module are those of calls that wait for the server.
_WAITING = "rain.client.pending"


class CellWatch:
    """What one shell does around each cell."""

    def __init__(self, shell: Any, notebook: Notebook) -> None:
        self._shell = shell
        self._notebook = notebook
        #: How many tasks had been submitted when the cell began.
        self._before: dict[Session, int] = {}
        self._sigint: Any = None
        self._interrupted = False
        self._earlier: tuple[Any, Any] = ((), None)

    def register(self) -> None:
        """Begins to watch."""
        self._shell.events.register("pre_run_cell", self._begin)
        self._shell.events.register("post_run_cell", self._finish)
        self._earlier = (self._shell.custom_exceptions, self._shell.CustomTB)
        self._shell.set_custom_exc((KeyboardInterrupt, asyncio.CancelledError), self._show)

    def unregister(self) -> None:
        """Ends watching."""
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._finish)
        self._shell.custom_exceptions, self._shell.CustomTB = self._earlier
        self._restore()

    def _begin(self, info: Any = None) -> None:
        self._interrupted = False
        self._before = {session: n_submitted(session) for session in self._notebook.sessions()}
        task = _task_of_cell()
        if task is not None and threading.current_thread() is threading.main_thread():
            self._bridge(task)

    def _finish(self, result: Any = None) -> None:
        self._restore()
        self._before.clear()
        for session in self._notebook.sessions():
            session._let_go()

    def _bridge(self, task: asyncio.Task[Any]) -> None:
        """Has Ctrl-C reach a cell that awaits: it is cancelled at once, whatever the event loop is busy with."""
        loop = task.get_loop()

        def interrupt(number: int, frame: FrameType | None) -> None:
            if asyncio.current_task(loop) is task:
                raise KeyboardInterrupt
            self._interrupted = True
            loop.call_soon_threadsafe(task.cancel)

        self._sigint = signal.signal(signal.SIGINT, interrupt)

    def _restore(self) -> None:
        if self._sigint is not None:
            signal.signal(signal.SIGINT, self._sigint)
            self._sigint = None

    def _show(
        self,
        shell: Any,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
        tb_offset: int | None = None,
    ) -> list[str]:
        """Shows an interrupt: what was stopped, in one line, where Rain had to do with it."""
        is_interrupt = issubclass(kind, KeyboardInterrupt) or self._interrupted
        lines = list(self._stopped()) if is_interrupt else []
        if is_interrupt and not lines and _waited(trace):
            lines = ["nothing was stopped: this cell submitted none of the tasks that are not done"]
        if not lines:
            shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)
            return []
        text = f"KeyboardInterrupt: {'; '.join(lines)}"
        shell._showtraceback(KeyboardInterrupt, KeyboardInterrupt("; ".join(lines)), [text])
        return [text]

    def _stopped(self) -> Iterator[str]:
        for session in self._notebook.sessions():
            where = session_name(session.session_id) + (f" '{session.name}'" if session.name else "")
            try:
                tasks = open_tasks(session, self._first_of_cell(session), ANSWER_LIMIT_S)
                if not tasks:
                    continue
                if self._notebook.on_interrupt(session) == "detach":
                    yield f"{described_tasks(session, tasks)} of {where} go on"
                    continue
                stopped: array[int] = stop_tasks(session, tasks, ANSWER_LIMIT_S)
                yield f"stopped {described_tasks(session, stopped)} of {where}" if stopped else f"{where} had ended"
            except (RainException, TimeoutError) as problem:
                yield f"what this cell submitted to {where} could not be stopped: {problem}"

    def _first_of_cell(self, session: Session) -> int:
        return self._before.get(session, session._graph.n_adopted)


def _task_of_cell() -> asyncio.Task[Any] | None:
    """The task whose coroutine is the running cell; None where the cell runs without an event loop."""
    from IPython.core.interactiveshell import InteractiveShell

    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    code = getattr(task.get_coro() if task is not None else None, "cr_code", None)
    return task if code is InteractiveShell.run_cell_async.__code__ else None


def _waited(trace: TracebackType | None) -> bool:
    """Whether the interrupt came while a call waited for the server."""
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == _WAITING:
            return True
        trace = trace.tb_next
    return False
