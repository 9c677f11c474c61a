"""Graphs of many shapes give the same results on any number of workers."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

import pytest

from rain.client import Client, Input, Output, Program, Task, TaskException, blob, remote, tasks
from rain.deploy.local import LocalCluster

BLOBS = [bytes([65 + i]) * (i * 37 + 1) for i in range(12)]

#: The digest of two files, one after the other.
digest_program = Program(
    ["sh", "-c", 'cat "$0" "$1" | sha256sum | cut -c1-16', Input("first"), Input("second")], stdout=True
)


@remote()
def digest(ctx, first, second):
    return hashlib.sha256(first.get_bytes() + second.get_bytes()).hexdigest()[:16]


@pytest.fixture(params=[1, 2, 4], ids=lambda n: f"{n}-workers", scope="module")
def grid_client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with LocalCluster(workers=request.param, cpus=1) as cluster, Client(access=cluster.access_path) as client:
        yield client


def test_programs_functions_and_builtins_agree_on_all_pairs(grid_client: Client) -> None:
    expected = [hashlib.sha256(a + b).hexdigest()[:16] for a, b in itertools.product(BLOBS, repeat=2)]
    with grid_client.new_session() as session:
        constants = [blob(data) for data in BLOBS]
        pairs = list(itertools.product(constants, repeat=2))
        by_program = [digest_program(first=a, second=b) for a, b in pairs]
        by_function = [digest(a, b) for a, b in pairs]
        joined = [tasks.concat(a, b) for a, b in pairs]
        session.keep_all()
        session.submit()
        assert [str(one).strip() for one in session.fetch([task.output for task in by_program])] == expected
        assert [str(one) for one in session.fetch([task.output for task in by_function])] == expected
        found = session.fetch([task.output for task in joined])
        assert [one.get_bytes() for one in found] == [a + b for a, b in itertools.product(BLOBS, repeat=2)]


@remote(outputs=("low", "high"))
def split(ctx, numbers):
    ordered = sorted(numbers.get_bytes())
    return bytes(ordered[: len(ordered) // 2]), bytes(ordered[len(ordered) // 2 :])


@remote()
def join(ctx, one, other):
    return one.get_bytes() + other.get_bytes()


def test_a_butterfly_of_splitters_and_joins_loses_nothing() -> None:
    levels, width = 7, 16
    with (
        LocalCluster(workers=4, cpus=1) as cluster,
        Client(access=cluster.access_path) as client,
        client.new_session() as session,
    ):
        row: list[Task] = [tasks.concat(blob(bytes([i, 255 - i]))) for i in range(width)]
        for level in range(levels):
            parts = [split(task) for task in row]
            distance = 1 << (level % 4)
            row = [join(parts[i].outputs["low"], parts[i ^ distance].outputs["high"]) for i in range(width)]
        for task in row:
            task.output.keep()
        session.submit()
        results = [one.get_bytes() for one in session.fetch([task.output for task in row])]
    assert sorted(b"".join(results)) == sorted(itertools.chain.from_iterable((i, 255 - i) for i in range(width)))


@remote()
def step(ctx, value, increment):
    return str(int(value.get_str()) + increment)


def test_forty_chains_of_ten_steps_grow_in_three_submits(client: Client) -> None:
    with client.new_session() as session:
        ends = [tasks.concat(blob(str(1000 * chain))) for chain in range(40)]
        for n_steps in (3, 3, 4):
            for _ in range(n_steps):
                ends = [step(end, chain) for chain, end in enumerate(ends)]
            for end in ends:
                end.output.keep()
            session.submit()
        found = [int(str(one)) for one in session.fetch([end.output for end in ends])]
    assert found == [1000 * chain + 10 * chain for chain in range(40)]


def test_a_diamond_of_programs_and_functions(client: Client) -> None:
    with client.new_session() as session:
        top = tasks.execute(["printf", "3\\n1\\n2\\n"], stdout=True)
        left = tasks.execute(["sort", top], stdout=True)
        right = tasks.execute(["sort", "-r", top, "-o", Output("sorted")])
        bottom = join(left, right)
        bottom.output.keep()
        session.submit()
        assert str(bottom.output.fetch()) == "1\n2\n3\n3\n2\n1\n"


@remote(auto_load=True, auto_encode="pickle")
def plus(ctx, value, more=1):
    return value + more


@remote(auto_load=True, auto_encode="pickle")
def fails_at(ctx, value, place):
    if value == place:
        raise ValueError(f"no further than {place}")
    return value + 1


@remote(auto_load=True, auto_encode="pickle")
def longer(ctx, data, n_bytes):
    return data + bytes(n_bytes)


@remote()
def passed_on(ctx, value):
    return value


def test_a_long_chain_of_short_tasks_counts_to_its_end(client: Client) -> None:
    with client.new_session() as session:
        task = plus(0)
        for _ in range(999):
            task = plus(task)
        assert session.compute(task.output).load() == 1000


def test_a_long_chain_that_fails_in_the_middle_says_so_and_spares_its_neighbour(client: Client) -> None:
    with client.new_session(fail_fast=False) as session:
        session.compute(*[plus(number) for number in range(20)])
        broken, sound = plus(0), plus(0)
        for _ in range(300):
            broken, sound = fails_at(broken, 150), fails_at(sound, -1)
        broken.output.keep()
        sound.output.keep()
        session.submit()
        with pytest.raises(TaskException, match="no further than 150"):
            session.wait([broken])
        assert sound.output.fetch().load() == 301


def test_chains_of_large_results_and_of_those_passed_on_keep_their_bytes(client: Client) -> None:
    with client.new_session() as session:
        session.compute(*[longer(b"x", 5) for _ in range(20)])
        task = longer(b"x", 30_000)
        for _ in range(40):
            task = longer(passed_on(task), 3_000)
        assert len(session.compute(task.output).load()) == 30_001 + 40 * 3_000
