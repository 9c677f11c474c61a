"""What executors say, cut to what a message to the server can carry.

They run the user's code, so they may say anything.
"""

from __future__ import annotations

from array import array

from msgspec.structs import replace

from rain.core.errors import ProtocolViolation
from rain.core.failure import Failure
from rain.core.note import MAX_CAPTURED_BYTES, MAX_PROGRESS_TEXT, TaskNote, TaskProgress
from rain.core.user import MAX_USER_BYTES
from rain.protocol.columns import check_total, unpack
from rain.protocol.executor import Produced, RangeDone, TaskDone, TaskFailed

#: The longest content type.
MAX_TYPE_LENGTH = 255
#: Characters of each text of a failure; honest executors keep to less, except in what tasks `debug`.
MAX_TEXT = 1 << 20
#: Characters of the debug lines of a note.
MAX_DEBUG = 256 << 10
#: Characters of each captured stream: what an executor keeps of both, and the lines that say what it cut off.
MAX_CAPTURED = 2 * MAX_CAPTURED_BYTES + 200
#: A pickled exception of more bytes stays behind; the text must do.
MAX_PICKLED_BYTES = 4 << 20


def plausible_done(done: TaskDone) -> TaskDone:
    """The report with a duration that can be one, and with a note and attachments that fit into a message."""
    if done.duration_us < 0:
        done = replace(done, duration_us=0)
    if done.note is not None:
        done = replace(done, note=_plausible_note(done.note))
    if any(map(_is_too_large, done.outputs)):
        done = replace(done, outputs=tuple(map(_plausible_output, done.outputs)))
    return done


def plausible_sizes(done: RangeDone, n_outputs: int) -> array[int]:
    """The sizes of all outputs of a range. Raises ProtocolViolation where its columns contradict one another."""
    unpack("I", done.duration_us, "duration_us", done.count)
    sizes = unpack("Q", done.size, "size", done.count * n_outputs)
    check_total(sizes, len(done.data), "results")
    if done.content_type is not None and len(done.content_type) > MAX_TYPE_LENGTH:
        raise ProtocolViolation(f"a content type of {len(done.content_type)} characters, at most {MAX_TYPE_LENGTH}")
    return sizes


def plausible_failed(failed: TaskFailed) -> TaskFailed:
    """The report with a failure and a note that fit into a message."""
    failure = failed.failure
    if failed.note is not None:
        failed = replace(failed, note=_plausible_note(failed.note))
    texts = (failure.message, failure.exception_type, failure.traceback, failure.stderr, failure.debug)
    if max(map(len, texts)) <= MAX_TEXT and len(failure.pickled or b"") <= MAX_PICKLED_BYTES:
        return failed
    return replace(failed, failure=_cut(failure))


def plausible_progress(progress: TaskProgress) -> TaskProgress:
    """A fraction from 0 to 1, and a text of a few words."""
    fraction, text = progress
    # What is no number at all becomes 0.
    return TaskProgress(min(1.0, max(0.0, fraction)), text[:MAX_PROGRESS_TEXT])


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


def _plausible_note(note: TaskNote) -> TaskNote:
    if note.progress is not None:
        note = replace(note, progress=plausible_progress(note.progress))
    longest = max(len(note.stdout), len(note.stderr))
    if longest <= MAX_CAPTURED and len(note.debug) <= MAX_DEBUG and len(note.user) <= MAX_USER_BYTES:
        return note
    return TaskNote(
        debug=_shorten(note.debug, MAX_DEBUG),
        user=note.user if len(note.user) <= MAX_USER_BYTES else b"",
        stdout=_shorten(note.stdout, MAX_CAPTURED),
        stderr=_shorten(note.stderr, MAX_CAPTURED),
        progress=note.progress,
    )


def _is_too_large(output: Produced) -> bool:
    return len(output.user) > MAX_USER_BYTES


def _plausible_output(output: Produced) -> Produced:
    return replace(output, user=b"") if _is_too_large(output) else output


def _shorten(text: str, limit: int = MAX_TEXT) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - limit} characters left out …\n{text[-half:]}"
