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
    kept = []
    while trace is not None:
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
        # An exception whose constructor wants other arguments pickles, but cannot be loaded: then the text must do.
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
        "error": error,
        "traceback": None if trace is None else tblib.Traceback(trace).as_dict(),
        "cause": _preserved(error.__cause__, depth - 1),
        "context": None if error.__cause__ is error.__context__ else _preserved(error.__context__, depth - 1),
        "suppress": error.__suppress_context__,
    }


def _revived(preserved: dict[str, Any] | None) -> BaseException | None:
    if preserved is None:
        return None
    error: BaseException = preserved["error"]
    if preserved["traceback"] is not None:
        error.__traceback__ = tblib.Traceback.from_dict(preserved["traceback"]).as_traceback()
    error.__cause__ = _revived(preserved["cause"])
    error.__context__ = _revived(preserved["context"])
    error.__suppress_context__ = preserved["suppress"]
    return error
