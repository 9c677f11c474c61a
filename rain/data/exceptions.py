"""Exceptions of a task to `Failure`s and back, with the user's own frames and without Rain's."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import tblib

from rain.core.failure import Cause, Failure
from rain.data import pickling

#: Frames of code below this folder are Rain's.
_RAIN = str(Path(__file__).parents[1]) + "/"
#: What runs a function with `async def`; its frames are left out before the first of the user's.
_ASYNCIO = str(Path(traceback.__file__).parent / "asyncio") + "/"

#: A traceback keeps this many frames at each end; what is between tells nothing more.
_MAX_FRAMES_AT_END = 50
_MAX_TEXT = 64 << 10
#: An exception that carries more than this with it reaches the user as text.
_MAX_PICKLED_BYTES = 1 << 20
#: `__cause__` and `__context__` are followed this far.
_MAX_CHAIN = 8


def failure_of(error: BaseException, *, stderr: str = "", debug: str = "") -> Failure:
    """The failure of a task whose code raised `error`; strips Rain's frames from the exception itself."""
    _strip(error, _MAX_CHAIN)
    return Failure(
        cause=Cause.TASK,
        message=plain_text(_message(error)),
        exception_type=type(error).__name__,
        traceback=plain_text(_formatted(error)),
        pickled=_pickled(error),
        stderr=stderr,
        debug=debug,
    )


def plain_text(text: str) -> str:
    """The text as a message can carry it: without halves of surrogate pairs, and cut in the middle if very long."""
    if len(text) > _MAX_TEXT:
        text = f"{text[: _MAX_TEXT // 2]}\n… {len(text) - _MAX_TEXT} characters left out …\n{text[-_MAX_TEXT // 2 :]}"
    return text.encode("utf-8", errors="replace").decode()


def exception_of(failure: Failure) -> BaseException | None:
    """The original exception with its traceback; None where it did not travel or cannot be rebuilt here."""
    if failure.pickled is None:
        return None
    try:
        return _revived(pickling.loads(failure.pickled))
    # The exception's own class may be missing here, or refuse its arguments.
    except Exception:
        return None


def _message(error: BaseException) -> str:
    name = type(error).__qualname__
    try:
        text = str(error)
    except Exception:  # the user's own __str__
        return f"{name}: <its text cannot be shown: __str__ failed>"
    return f"{name}: {text}" if text else name


def _formatted(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # the user's own __str__, or source lines that are no text
        return "".join(traceback.format_tb(error.__traceback__)) + _message(error) + "\n"


def _strip(error: BaseException | None, depth: int) -> None:
    if error is None or depth == 0:
        return
    error.__traceback__ = _user_frames(error.__traceback__)
    _strip(error.__cause__, depth - 1)
    _strip(error.__context__, depth - 1)


def _user_frames(trace: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    while trace is not None:
        if not kept and trace.tb_frame.f_code.co_filename.startswith(_ASYNCIO):
            trace = trace.tb_next
            continue
        if not trace.tb_frame.f_code.co_filename.startswith(_RAIN):
            kept.append(trace)
        trace = trace.tb_next
    if len(kept) > 2 * _MAX_FRAMES_AT_END:
        kept = kept[:_MAX_FRAMES_AT_END] + kept[-_MAX_FRAMES_AT_END:]
    result: TracebackType | None = None
    for frame in reversed(kept):
        result = TracebackType(result, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return result


def _pickled(error: BaseException) -> bytes | None:
    try:
        data = pickling.dumps(_preserved(error, _MAX_CHAIN))
        # One that keeps more than arguments, and whose constructor wants others, cannot be loaded: its text must do.
        if len(data) > _MAX_PICKLED_BYTES:
            return None
        pickling.loads(data)
    except Exception:  # what cannot be pickled reaches the user as text
        return None
    return data


def _preserved(error: BaseException | None, depth: int) -> dict[str, Any] | None:
    """The exception with what Python's own pickling of exceptions leaves out."""
    if error is None or depth == 0:
        return None
    trace = error.__traceback__
    return {
        "error": _rebuilding(error) or error,
        "traceback": None if trace is None else tblib.Traceback(trace).as_dict(),
        "cause": _preserved(error.__cause__, depth - 1),
        "context": None if error.__cause__ is error.__context__ else _preserved(error.__context__, depth - 1),
        "suppress": error.__suppress_context__,
    }


class _Rebuilding:
    """A user's exception by its class, arguments and attributes: made anew without its `__init__`.

    Python's own pickling calls `__init__` with what it handed on to its base, which are seldom its own parameters.
    """

    __slots__ = ("args", "attributes", "kind")

    def __init__(self, error: BaseException) -> None:
        self.kind = type(error)
        self.args = error.args
        self.attributes = dict(error.__dict__)

    def rebuilt(self) -> BaseException:
        """The exception as it was. Raises what the class's own `__new__` raises."""
        error = self.kind.__new__(self.kind, *self.args)
        error.args = self.args
        error.__dict__.update(self.attributes)
        return error


def _rebuilding(error: BaseException) -> _Rebuilding | None:
    """How to make it anew; None where it says itself how, or the interpreter keeps more in it than arguments."""
    kind = type(error)
    builtin = next(each for each in kind.__mro__ if each.__module__ == "builtins")
    own_ways = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__slots__")
    own_classes = kind.__mro__[: kind.__mro__.index(builtin)]
    if any(name in vars(each) for each in own_classes for name in own_ways):
        return None
    has_more = builtin.__basicsize__ != BaseException.__basicsize__
    return None if has_more or kind is builtin else _Rebuilding(error)


def _revived(preserved: dict[str, Any] | None) -> BaseException | None:
    if preserved is None:
        return None
    kept = preserved["error"]
    error: BaseException = kept.rebuilt() if isinstance(kept, _Rebuilding) else kept
    if preserved["traceback"] is not None:
        error.__traceback__ = tblib.Traceback.from_dict(preserved["traceback"]).as_traceback()
    error.__cause__ = _revived(preserved["cause"])
    error.__context__ = _revived(preserved["context"])
    error.__suppress_context__ = preserved["suppress"]
    return error
