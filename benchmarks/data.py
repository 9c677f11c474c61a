"""Bytes on their way: results that are used on another worker, whose files are linked, or sent where that is off.

What is sent is compared with a bare pair of encrypted sockets, in the same run: one process passes the same buffer
again and again, another one throws it away, and nobody touches a file.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from multiprocessing import get_context

import zmq

import rain
from benchmarks.engines import check
from benchmarks.workloads import timed
from rain.client import Client, DataInstance, Session, Task
from rain.deploy.local import LocalCluster

MB = 1_000_000
CHUNK_BYTES = 1 << 20
#: One worker has this many cpus, the other one more: a task that asks for all of those can only run there.
CPUS_HERE, CPUS_THERE = 2, 3
#: How fast results are made at least, for the time in which the other worker is kept busy.
MAKING_BYTES_PER_S = 200 * MB


@rain.remote()
def make(ctx, size: int) -> bytes:  # type: ignore[no-untyped-def]
    return b"x" * size


@rain.remote(cpus=CPUS_THERE)
def occupy(ctx, seconds: float) -> bytes:  # type: ignore[no-untyped-def]
    time.sleep(seconds)
    return b""


@rain.remote(cpus=CPUS_THERE)
def ping(ctx) -> bytes:  # type: ignore[no-untyped-def]
    return b""


@rain.remote(cpus=CPUS_THERE)
def last_byte(ctx, data: DataInstance) -> bytes:  # type: ignore[no-untyped-def]
    with data.open() as file:
        file.seek(-1, 2)
        return file.read()


def bare(n_bytes: int) -> float:
    """Seconds that a bare PUSH/PULL pair takes for so many bytes."""
    context = zmq.Context()
    socket = context.socket(zmq.PULL)
    public_key, socket.curve_secretkey = zmq.curve_keypair()
    socket.curve_server = True
    n_chunks = n_bytes // CHUNK_BYTES
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    sender = get_context("spawn").Process(target=push, args=(port, public_key, n_chunks))
    sender.start()
    socket.recv()

    def pull() -> None:
        check(sum(len(socket.recv(copy=False)) for _ in range(n_chunks)), n_chunks * CHUNK_BYTES)

    seconds = timed(pull)
    sender.join()
    socket.close()
    context.term()
    return seconds * n_bytes / (n_chunks * CHUNK_BYTES)


def push(port: int, server_key: bytes, n_chunks: int) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.curve_serverkey = server_key
    socket.connect(f"tcp://127.0.0.1:{port}")
    chunk = bytes(CHUNK_BYTES)
    socket.send(b"ready")
    for _ in range(n_chunks):
        socket.send(chunk, copy=False)
    socket.close()
    context.term()


def done(session: Session, *tasks: Task) -> float:
    """Seconds from the submit until all of them are done."""

    def run() -> None:
        session.submit()
        for task in tasks:
            task.wait()

    return timed(run)


def made_here(session: Session, size: int) -> Task:
    """A result on the one worker, made while the other one had no cpu free."""
    occupied, result = occupy(0.5 + size / MAKING_BYTES_PER_S), make(size)
    result.output.keep()
    done(session, occupied, result)
    session.update([result])
    check(result.info.worker, "w1")
    return result


def used_there(session: Session, size: int) -> float:
    """Seconds that the use of a new result takes on the other worker beyond those of a task without inputs."""
    data = made_here(session, size)
    base = statistics.median(done(session, ping()) for _ in range(9))
    reader = last_byte(data)
    reader.output.keep()
    seconds = done(session, reader) - base
    check(reader.output.fetch(), b"x")
    data.output.unkeep()
    return seconds


@contextlib.contextmanager
def two_workers(share_store: bool) -> Iterator[Session]:
    """A session of a cluster of two workers, that have met."""
    with LocalCluster(1, CPUS_HERE, share_store=share_store) as cluster:
        cluster.add_worker(CPUS_THERE)
        with Client(access=cluster.access_path) as client, client.new_session() as session:
            used_there(session, MB)
            yield session


def data_rows(rounds: int, sizes: tuple[int, ...] = (100 * MB, 1000 * MB)) -> list[list[str]]:
    """Rows: a size, how long linking takes, the rates of what is sent and of the bare pair, and their ratio."""
    rows = [["used on another worker of this machine", "linked", "sent", "bare PUSH/PULL", "sent / bare"]]
    for size in sizes:
        with two_workers(share_store=True) as session:
            linked = statistics.median(used_there(session, size) for _ in range(rounds))
        with two_workers(share_store=False) as session:
            turns = [(used_there(session, size), bare(size)) for _ in range(rounds)]
        sent, alone = (statistics.median(side) for side in zip(*turns, strict=True))
        ratio = statistics.median(other / own for own, other in turns)
        rates = [f"{size / seconds / MB:,.0f} MB/s" for seconds in (sent, alone)]
        rows.append([f"a result of {size // MB:,} MB", f"{linked * 1e3:.1f} ms", *rates, f"{ratio:.2f}"])
    return rows
