"""Names of sessions, tasks and objects, printed alike everywhere so that one grep tells a task's story.

A session is numbered by the server, from 1. Its tasks and its data objects are numbered by the client, each from 0, in
the order in which they are made; an input exists before the task that reads it, so a graph is acyclic exactly when
every input of a task has a smaller number than the task's first output.
"""

import re

from rain.core.errors import RainException

#: The holder number that means the server itself: constants that clients uploaded, and small results.
SERVER = 0
#: No holder, no worker, no producer.
NONE = 0xFFFFFFFF
#: Numbers of tasks and objects are 32 bit on the wire; this one is reserved.
MAX_ID = NONE - 1

_WORKER = re.compile(r"w(\d{1,18})", re.ASCII)
_TASK = re.compile(r"s(\d{1,18})\.t(\d{1,10})", re.ASCII)
_ANYTHING = re.compile(r"s(\d{1,18})(?:\.(?:t(\d{1,10})|o(\d{1,10})))?", re.ASCII)


def session_name(session: int) -> str:
    """The printed name of a session: `s3`."""
    return f"s{session}"


def task_name(session: int, task: int) -> str:
    """The printed name of a task: `s3.t17`."""
    return f"s{session}.t{task}"


def parse_task(name: object) -> tuple[int, int]:
    """Session and number of a task, by its printed name. Raises RainException."""
    found = _TASK.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise RainException(f"expected the id of a task such as 's1.t3', found {name!r}")
    return int(found[1]), int(found[2])


def parse_anything(name: object) -> tuple[int, int, int]:
    """Session, task and object that a printed name means, NONE for those that it does not. Raises RainException."""
    found = _ANYTHING.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise RainException(f"expected the id of a task such as 's1.t3', found {name!r}")
    session, task, obj = (NONE if number is None else int(number) for number in found.groups())
    return session, min(task, NONE), min(obj, NONE)


def parse_worker(name: object) -> int:
    """Number of a worker, by its printed name. Raises RainException."""
    found = _WORKER.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise RainException(f"expected the id of a worker such as 'w2', found {name!r}")
    return int(found[1])


def object_name(session: int, obj: int) -> str:
    """The printed name of a data object: `s3.o17`. A worker's store uses it as a file name."""
    return f"s{session}.o{obj}"


def worker_name(worker: int) -> str:
    """The printed name of a worker: `w2`."""
    return f"w{worker}"
