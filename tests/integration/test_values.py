"""Everyday values as arguments and results: they come back equal, in their structure, and large ones without copies."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from rain.client import Client, DataInstance, Output, Session, blob, function, remote, tasks
from rain.deploy.local import LocalCluster

numpy = pytest.importorskip("numpy")

LIMIT_S = 60.0
N_LARGE = 4_000_000
LARGE_BYTES = 8 * N_LARGE


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: Any
    y: Any = 0


class Pair(NamedTuple):
    a: Any
    b: Any


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


VALUES = [
    *(None, True, 2**100, 1.5, 1j, float("inf"), b"bytes", bytearray(b"array"), "text\0", ..., NotImplemented),
    *((), [], {}, {1, 2}, frozenset({1}), range(3), Color.RED, Point(1, [2]), Pair(1, 2)),
    *(datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), datetime.timedelta(1)),
    *(Path("/a/b"), decimal.Decimal("1.5"), Fraction(1, 3), uuid.UUID(int=1), int, Color, Point),
    *(numpy.int64(3), numpy.float32(1.5), numpy.datetime64("2020-01-01")),
]


@function
def same(value: Any) -> Any:
    return value


@remote(auto_encode="cloudpickle")
def same_with_context(ctx: Any, value: Any) -> Any:
    return value


def test_everyday_values_come_back_equal_and_of_their_type(session: Session) -> None:
    made = [call(value) for value in VALUES for call in (same, same_with_context)]
    *found, again = session.compute(*made, same.map(VALUES))
    rows = zip(VALUES, found[::2], found[1::2], again, strict=True)
    for value, *others in ((row[0], *(instance.load() for instance in row[1:])) for row in rows):
        for other in others:
            assert type(other) is type(value)
            assert other == value


def test_objects_arrive_wherever_they_stand(session: Session) -> None:
    @remote(outputs=Output(encode="json"))
    def look(ctx: Any, given: dict[str, Any]) -> list[str]:
        values = {
            "list": given["list"][0],
            "dataclass": given["dataclass"].x,
            "named tuple": given["named tuple"].b,
            "slots": given["slots"].value,
            "closure": given["closure"](),
            "generator": next(given["generator"]),
            "partial": given["partial"].args[0],
            "ordered": given["ordered"]["a"],
            "deque": given["deque"][0],
            "key": next(iter(given["key"])),
            "set": next(iter(given["set"])),
        }
        assert all(value is values["list"] for value in values.values()), "it is one object everywhere"
        return [name for name, value in values.items() if not isinstance(value, DataInstance)]

    task = tasks.concat(blob("x"))
    given = {
        "list": [task],
        "dataclass": Point(task),
        "named tuple": Pair(0, task),
        "slots": Slotted(task),
        "closure": lambda: task,
        "generator": (each for each in [task]),
        "partial": functools.partial(max, task),
        "ordered": collections.OrderedDict(a=task),
        "deque": collections.deque([task]),
        "key": {task: 1},
        "set": {task},
    }
    assert session.compute(look(given)).load() == []


# ------------------------------------------------------------------ large ones


def facts(array: Any) -> tuple[bool, bool, str]:
    """Whether an array owns its memory, may be written to, and what has the memory."""
    base = array
    while isinstance(base, numpy.ndarray) and base.base is not None:
        base = base.base
    memory = type(base.obj).__name__ if isinstance(base, memoryview) else type(base).__name__
    return array.flags.owndata, array.flags.writeable, memory


@function
def facts_of(*arrays: Any) -> list[tuple[bool, bool, str]]:
    return [facts(array) for array in arrays]


@function
def make() -> Any:
    return numpy.arange(N_LARGE)


@remote
def hand_on(ctx: Any, given: Any) -> Any:
    return given


@pytest.fixture
def single() -> Iterator[LocalCluster]:
    with LocalCluster(workers=1, cpus=2) as cluster:
        yield cluster


def written(cluster: LocalCluster) -> int:
    """Bytes that the worker and its executors have written until now."""
    [worker] = [psutil.Process(pid) for pid in cluster.worker_pids]
    return sum(process.io_counters().write_chars for process in [worker, *worker.children(recursive=True)])


MAPPED = (False, False, "mmap")


def test_large_arrays_are_read_where_they_lie(single: LocalCluster) -> None:
    with Client(access=single.access_path) as client, client.new_session() as session:
        array = numpy.arange(N_LARGE)
        made = make()
        npy = blob(array, encode="npy")
        look = facts_of(array, made, npy, hand_on(made))
        assert session.compute(look).load() == [MAPPED] * 4
        fetched = session.compute(make())
        assert facts(fetched.load()) == MAPPED
        assert numpy.shares_memory(fetched.load(), fetched.load())
        assert (fetched.load() == array).all()


def test_a_large_array_is_written_once_however_many_tasks_read_it_or_hand_it_on(single: LocalCluster) -> None:
    with Client(access=single.access_path) as client, client.new_session() as session:
        session.compute(facts_of())
        before = written(single)
        made = make()
        handed = hand_on(hand_on(made))
        session.compute(facts_of(made, handed), *(facts_of(handed) for _ in range(5)))
        assert LARGE_BYTES <= written(single) - before < LARGE_BYTES * 1.1


# ------------------------------------------------------------------ code that only the client has

LIBRARY = """
    import dataclasses, enum
    from second_beside_it import shift

    FACTOR = 3

    class Kind(enum.Enum):
        A = "a"

    @dataclasses.dataclass
    class Point:
        x: int

        def shifted(self):
            return shift(self.x) * FACTOR
"""

PROGRAM = """
    import sys
    import rain
    from rain import function

    {imports}

    class Own:
        def __init__(self, point):
            self.point = point

        @function
        def scaled(self, by):
            return self.point.shifted() * by

    class Wrong(Exception):
        def __init__(self, a, b):
            super().__init__(f"{{a}}, {{b}}")

    @function
    def make(x):
        return Own(Point(x)), Kind.A

    @function
    def check(made):
        return isinstance(made[0], Own), made[1] is Kind.A, made[0].point.shifted()

    @function
    def fail():
        raise Wrong(1, 2)

    cluster = rain.local(workers=1, cpus=1)
    client = cluster.client()
    session = client.new_session(default=True, fail_fast=False)
    own, kind = session.compute(make(1)).load()
    print(type(own) is Own, kind is Kind.A, session.compute(check(make(1))).load(), end=" ")
    print(session.compute(own.scaled(2)).load(), end=" ")
    try:
        session.compute(fail())
    except rain.TaskException as error:
        print(type(error.__cause__) is Wrong, error.__cause__, end=" ")

    @function
    def make(x):
        return x + 1

    print(session.compute(make(1)).load())
    client.close()
    cluster.stop()
"""


@pytest.mark.parametrize("way", ["script", "-c", "-i"])
def test_classes_and_functions_of_a_program_and_of_modules_beside_it_travel(way: str, tmp_path: Path) -> None:
    (tmp_path / "first_beside_it.py").write_text(textwrap.dedent(LIBRARY))
    (tmp_path / "second_beside_it.py").write_text("def shift(x):\n    return x + 100\n")
    # The library is found by the client alone: it is neither installed nor in the folder where workers start.
    imports = f"sys.path.insert(0, {str(tmp_path)!r}); from first_beside_it import Kind, Point"
    source = textwrap.dedent(PROGRAM).format(imports=imports)
    script = tmp_path / "program.py"
    script.write_text(source)
    arguments = {"script": [str(script)], "-c": ["-c", source], "-i": ["-i", "-q"]}[way]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, *arguments],
        input=_typed(source) if way == "-i" else "",
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert "True True (True, True, 303) 606 True 1, 2 2" in ran.stdout.replace("\n", " "), ran.stdout + ran.stderr


def _typed(source: str) -> str:
    """The program as somebody types it: an empty line ends each block, and none is within one."""
    typed: list[str] = []
    for line in source.splitlines():
        if line and typed and typed[-1].startswith((" ", "\t")) and not line.startswith((" ", "except")):
            typed.append("")
        if line:
            typed.append(line)
    return "\n".join([*typed, ""])


def test_a_value_tells_what_is_known_of_its_object(session: Session) -> None:
    @remote
    def look(ctx: Any, given: Any) -> str:
        return f"{given.info.size} {given.info.content_type} {given.spec.id} {given.spec.content_type}"

    given = blob([1, 2], encode="json")
    instance = session.compute(look(given))
    assert str(instance) == f"6 json {given.id} json"
    assert (instance.info.size, instance.info.content_type) == (len(instance), "text")
