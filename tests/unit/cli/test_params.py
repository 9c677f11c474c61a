"""Values of the command line."""

from __future__ import annotations

from typing import Any

import click
import pytest

from rain.cli.params import CPUS, LISTEN, LOCAL_WORKERS, MEMORY, RESOURCE, Address


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (LISTEN, "7211", Address(None, 7211)),
        (LISTEN, "10.0.0.1", Address("10.0.0.1", None)),
        (LISTEN, "10.0.0.1:0", Address("10.0.0.1", 0)),
        (LISTEN, "[::1]:7", Address("::1", 7)),
        (LISTEN, "[::1]", Address("::1", None)),
        (CPUS, "4", 4),
        (CPUS, "-1", -1),
        (CPUS, "detect", None),
        (LOCAL_WORKERS, "3", 3),
        (LOCAL_WORKERS, "[4,4, 2]", (4, 4, 2)),
        (MEMORY, "4 GiB", 4 << 30),
        (MEMORY, "1.5kB", 1500),
        (MEMORY, "12", 12),
        (RESOURCE, "license=2", ("license", 2)),
        (RESOURCE, "big-gpu=1", ("big-gpu", 1)),
    ],
)
def test_a_value_is_understood(kind: click.ParamType[Any], text: str, value: object) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text", "hint"),
    [
        (LISTEN, "host:port", "no port"),
        (LISTEN, "70000", "from 0 to 65535"),
        (CPUS, "many", "expected a number of cpus"),
        (CPUS, "0", "at least one cpu"),
        (LOCAL_WORKERS, "[4,0]", "at least one cpu"),
        (LOCAL_WORKERS, "-2", "a number of workers"),
        (MEMORY, "4 apples", "a size such as"),
        (RESOURCE, "license", "as in license=2"),
    ],
)
def test_nonsense_is_refused_with_what_was_expected(kind: click.ParamType[Any], text: str, hint: str) -> None:
    with pytest.raises(click.BadParameter, match=hint):
        kind.convert(text, None, None)
