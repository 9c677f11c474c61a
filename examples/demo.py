"""What `make demo` runs: a local cluster, the hello world, and two pipelines of programs and Python on real data."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import crossvalidation
import wordcount

import rain
from rain.client import blob, tasks


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    print(f"── {title}")
    start = time.perf_counter()
    yield
    print(f"   ({time.perf_counter() - start:.2f} s)\n")


def show(text: str) -> None:
    print("\n".join(f"   {line}" for line in text.splitlines()))


def hello(client: rain.Client) -> None:
    with client.new_session("hello") as session:
        task = tasks.concat(blob("Hello "), blob("world!"))
        task.output.keep()
        session.submit()
        show(str(task.output.fetch()))


def main() -> None:
    with step("A cluster on this machine: a server and two workers with one cpu each"):
        cluster = rain.local(workers=2, cpus=1)
    with cluster, cluster.client() as client:
        for worker in client.get_server_info()["workers"]:
            show(f"{worker['worker_id']} at {worker['address']} with {worker['resources']['cpus']:g} cpu")
        with step("Hello world: two constants and a task"):
            hello(client)
        if shutil.which("svm-train"):
            with (
                step("Cross-validation of svm-train on the iris data: mean accuracy per penalty"),
                client.new_session("cross-validation") as session,
            ):
                show(crossvalidation.run(session))
        else:
            print("── Cross-validation is left out: install libsvm-tools for svm-train and svm-predict\n")
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder) / "text"
            wordcount.make_text(text)
            with (
                step(f"The most frequent words of {text.stat().st_size / 1e6:.0f} MB of text, counted on both workers"),
                client.new_session("word count") as session,
            ):
                show(wordcount.run(session, text))
    print("The cluster has ended. Next: examples/*.py, and `rain run` for a cluster that stays.")


if __name__ == "__main__":
    main()
