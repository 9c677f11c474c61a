"""Graphs of the kinds that schedulers are compared on; durations in seconds, sizes in MiB, drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from benchmarks.scheduling.graph import Graph


def _normal(random: Random, mean: float, deviation: float) -> float:
    return max(mean / 10, random.gauss(mean, deviation))


def independent(random: Random) -> Graph:
    """Tasks of exponentially distributed length that have nothing to do with one another."""
    graph = Graph("independent")
    for _ in range(380):
        graph.task("work", random.expovariate(1 / 20))
    return graph


def stairs(random: Random) -> Graph:
    """From 1 s to 190 s, two of each, in no order."""
    graph = Graph("stairs")
    durations = [float(1 + n // 2) for n in range(380)]
    random.shuffle(durations)
    for duration_s in durations:
        graph.task("work", duration_s)
    return graph


def merge_neighbours(random: Random) -> Graph:
    """Each pair of neighbours is joined."""
    graph = Graph("merge neighbours")
    parts = [graph.task("make", _normal(random, 15, 2), _normal(random, 99, 10)) for _ in range(107)]
    for left, right in zip(parts, parts[1:] + parts[:1], strict=True):
        graph.task("join", _normal(random, 15, 2), reads=(left, right))
    return graph


def merge_triplets(random: Random) -> Graph:
    """Each three parts are joined."""
    graph = Graph("merge triplets")
    parts = [graph.task("make", _normal(random, 15, 2), _normal(random, 99, 10)) for _ in range(111)]
    for first in range(0, 111, 3):
        graph.task("join", _normal(random, 15, 2), reads=parts[first : first + 3])
    return graph


def big_merge(random: Random) -> Graph:
    """Everything is joined at once."""
    graph = Graph("big merge")
    parts = [graph.task("make", _normal(random, 15, 2), _normal(random, 20, 4)) for _ in range(320)]
    graph.task("join", 40.0, reads=parts)
    return graph


def triplets(random: Random) -> Graph:
    """Chains of three; the middle task takes 4 cpus."""
    graph = Graph("triplets")
    for _ in range(110):
        first = graph.task("first", _normal(random, 5, 1), 40)
        second = graph.task("second", _normal(random, 118, 20), 120, reads=(first,), cpus=4)
        graph.task("third", _normal(random, 32, 3), reads=(second,))
    return graph


def fork_shared(random: Random) -> Graph:
    """Two tasks read each result."""
    graph = Graph("fork, shared")
    for _ in range(100):
        part = graph.task("make", _normal(random, 17, 3), 100)
        for _ in range(2):
            graph.task("use", _normal(random, 15, 2), reads=(part,))
    return graph


def fork_apart(random: Random) -> Graph:
    """Two tasks read one output each of the same task."""
    graph = Graph("fork, apart")
    for _ in range(100):
        part = graph.task("make", _normal(random, 17, 3), 100, 100)
        for place in range(2):
            graph.task("use", _normal(random, 15, 2), reads=(part + place,))
    return graph


def reduction(random: Random) -> Graph:
    """A binary tree, from many to one."""
    graph = Graph("reduction")
    parts = [graph.task("make", _normal(random, 8, 2), 50) for _ in range(128)]
    while len(parts) > 1:
        parts = [
            graph.task("join", _normal(random, 8, 2), 50, reads=tuple(parts[place : place + 2]))
            for place in range(0, len(parts), 2)
        ]
    return graph


def expansion(random: Random) -> Graph:
    """A binary tree, from one to many."""
    graph = Graph("expansion")
    parts = [graph.task("split", _normal(random, 8, 2), 50)]
    for _ in range(7):
        parts = [graph.task("split", _normal(random, 8, 2), 50, reads=(part,)) for part in parts for _ in range(2)]
    return graph


def grid(random: Random) -> Graph:
    """Each task reads its left and its upper neighbour."""
    graph = Graph("grid")
    above: list[int] = []
    for _ in range(19):
        row: list[int] = []
        for column in range(19):
            reads = ([above[column]] if above else []) + row[-1:]
            row.append(graph.task("cell", _normal(random, 10, 2), _normal(random, 40, 10), reads=reads))
        above = row
    return graph


def chains(random: Random) -> Graph:
    """A long chain beside many short ones."""
    graph = Graph("chains")
    for length in (40, *([10] * 30)):
        last: list[int] = []
        for _ in range(length):
            last = [graph.task("step", _normal(random, 6, 1), 60, reads=last)]
    return graph


def cross_validation(random: Random) -> Graph:
    """Folds are trained on all chunks but one, and tested on that one."""
    graph = Graph("cross-validation")
    data = graph.task("generate", 5, 320)
    chunks = [graph.task("chunk", 1, 20, reads=(data,)) for _ in range(16)]
    for _ in range(5):
        results = []
        for held_out in range(16):
            rest = [chunk for place, chunk in enumerate(chunks) if place != held_out]
            merged = graph.task("merge", 1, 300, reads=rest)
            trained = graph.task("train", _normal(random, 40, 10), 0.5, reads=(merged,))
            results.append(graph.task("test", _normal(random, 5, 1), 0.01, reads=(trained, chunks[held_out])))
        graph.task("collect", 1, reads=results)
    return graph


def nested_cross_validation(random: Random) -> Graph:
    """Cross-validation of several settings on chunks of each outer fold."""
    graph = Graph("nested cross-validation")
    chunks = [graph.task("load", _normal(random, 2, 0.5), 50) for _ in range(5)]
    for outer in range(5):
        inner = [chunk for place, chunk in enumerate(chunks) if place != outer]
        scores = []
        for _ in range(6):
            for held_out in range(4):
                reads = [chunk for place, chunk in enumerate(inner) if place != held_out]
                model = graph.task("train", _normal(random, 25, 8), 2, reads=reads)
                scores.append(graph.task("score", _normal(random, 2, 0.5), 0.01, reads=(model, inner[held_out])))
        best = graph.task("choose", 0.5, 0.01, reads=scores)
        final = graph.task("train", _normal(random, 35, 5), 2, reads=[best, *inner])
        graph.task("score", 2, reads=(final, chunks[outer]))
    return graph


def grid_concatenation(random: Random) -> Graph:
    """Files are joined in pairs, in many ways, and the sums looked at."""
    graph = Graph("grid of files")
    files = [graph.task("file", _normal(random, 3, 0.5), 300) for _ in range(20)]
    for left in range(20):
        for right in range(left + 1, 20):
            joined = graph.task("join", _normal(random, 6, 1), 50, reads=(files[left], files[right]))
            graph.task("look", _normal(random, 2, 0.5), 0.01, reads=(joined,))
    return graph


def map_reduce(random: Random) -> Graph:
    """Each reducer reads a part of what each mapper made."""
    graph = Graph("map-reduce")
    n_parts = 48
    mappers = [
        graph.task("map", _normal(random, 30, 8), *[_normal(random, 5, 2) for _ in range(n_parts)]) for _ in range(96)
    ]
    reduced = [
        graph.task("reduce", _normal(random, 20, 5), 5, reads=[mapper + part for mapper in mappers])
        for part in range(n_parts)
    ]
    graph.task("collect", 5, reads=reduced)
    return graph


def layered(random: Random) -> Graph:
    """Random layers; a task reads up to four results of the two layers before."""
    graph = Graph("random layers")
    layers: list[list[int]] = []
    for number in range(12):
        function = f"layer {number % 4}"
        mean_s = (4.0, 12.0, 25.0, 8.0)[number % 4]
        layer = []
        before = [obj for earlier in layers[-2:] for obj in earlier]
        for _ in range(random.randint(8, 60)):
            reads = random.sample(before, min(len(before), random.randint(1, 4))) if before else []
            layer.append(graph.task(function, _normal(random, mean_s, mean_s / 3), random.uniform(1, 150), reads=reads))
        layers.append(layer)
    return graph


def sparse(random: Random) -> Graph:
    """Tasks of very different lengths; each reads up to three earlier results, mostly late ones."""
    graph = Graph("random, sparse")
    made: list[int] = []
    for _ in range(350):
        n_reads = min(len(made), random.choice((0, 1, 1, 2, 3)))
        reads = {made[-1 - min(len(made) - 1, int(random.expovariate(1 / 40)))] for _ in range(n_reads)}
        function = random.choice(("short", "middle", "long"))
        mean_s = {"short": 1.0, "middle": 10.0, "long": 60.0}[function]
        size = random.choice((0.1, 10.0, 100.0))
        made.append(graph.task(function, random.expovariate(1 / mean_s), size, reads=sorted(reads)))
    return graph


GENERATORS: dict[str, Callable[[Random], Graph]] = {
    make.__name__: make
    for make in (
        independent,
        stairs,
        merge_neighbours,
        merge_triplets,
        big_merge,
        triplets,
        fork_shared,
        fork_apart,
        reduction,
        expansion,
        grid,
        chains,
        cross_validation,
        nested_cross_validation,
        grid_concatenation,
        map_reduce,
        layered,
        sparse,
    )
}


def generate(name: str, seed: int) -> Graph:
    """The graph of this name for a seed."""
    return GENERATORS[name](Random(f"{name} {seed}"))
