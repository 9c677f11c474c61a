"""What executors say, cut to what a message to the server can carry.

They run the user's code, so they may say anything.
"""

from __future__ import annotations

from msgspec.structs import replace

from rain.core.failure import Failure
from rain.protocol.executor import TaskDone, TaskFailed

#: The longest content type.
MAX_TYPE_LENGTH = 255
#: Characters of each text of a failure; honest executors keep to less, except in what tasks `debug`.
MAX_TEXT = 1 << 20
#: A pickled exception of more bytes stays behind; the text must do.
MAX_PICKLED_BYTES = 4 << 20


def plausible_done(done: TaskDone) -> TaskDone:
    """The report with a duration that can be one."""
    return done if done.duration_us >= 0 else replace(done, duration_us=0)


def plausible_failed(failed: TaskFailed) -> TaskFailed:
    """The report with a failure that fits into a message."""
    failure = failed.failure
    texts = (failure.message, failure.exception_type, failure.traceback, failure.stderr, failure.debug)
    if max(map(len, texts)) <= MAX_TEXT and len(failure.pickled or b"") <= MAX_PICKLED_BYTES:
        return failed
    return replace(failed, failure=_cut(failure))


def _cut(failure: Failure) -> Failure:
    pickled = failure.pickled
    return replace(
        failure,
        message=_shorten(failure.message),
        exception_type=_shorten(failure.exception_type),
        traceback=_shorten(failure.traceback),
        stderr=_shorten(failure.stderr),
        debug=_shorten(failure.debug),
        pickled=None if pickled is not None and len(pickled) > MAX_PICKLED_BYTES else pickled,
    )


def _shorten(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n… {len(text) - MAX_TEXT} characters left out …\n{text[-half:]}"
