"""One cluster for all tests that need no other; each test has sessions of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rain.client import Client, Session
from rain.deploy.local import LocalCluster


@pytest.fixture(scope="session")
def cluster(run_folder: Path) -> Iterator[LocalCluster]:
    """A server and two workers of two cpus each."""
    with LocalCluster(workers=2, cpus=2) as running:
        yield running


@pytest.fixture(scope="session")
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A client of that cluster."""
    with Client(access=cluster.access_path) as connected:
        yield connected


@pytest.fixture
def session(client: Client) -> Iterator[Session]:
    """An active session of the test's own."""
    with client.new_session() as opened:
        yield opened
