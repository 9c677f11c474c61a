"""The examples run, and what they compute is right."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from examples import crossvalidation, wordcount
from rain.client import Client

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_hello_world_starts_its_own_cluster() -> None:
    answer = subprocess.run(
        [sys.executable, EXAMPLES / "hello.py"], capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout == "Hello world!\n"


@pytest.mark.needs("svm-train")
def test_cross_validation_finds_that_a_penalty_of_one_separates_the_iris_well(client: Client) -> None:
    with client.new_session() as session:
        table = crossvalidation.run(session)
    accuracies = {float(c): float(percent) for c, percent in re.findall(r"C=(\S+)\s+(\S+) %", table)}
    assert set(accuracies) == set(crossvalidation.PENALTIES)
    assert accuracies[1.0] > 90
    assert accuracies[1.0] > accuracies[0.01]


def test_words_are_counted_as_python_counts_them(client: Client, tmp_path: Path) -> None:
    text = tmp_path / "text"
    wordcount.make_text(text, 2_000_000)
    words = Counter(word.lower() for word in re.findall(rb"[A-Za-z]+", text.read_bytes()))
    expected = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:10]
    with client.new_session() as session:
        counted = wordcount.run(session, text, most=10)
    assert counted.splitlines() == [f"{n} {word.decode()}" for word, n in expected]
