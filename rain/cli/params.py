"""Types of command line values: addresses, cpus, memory, named resources."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import click


class Address(NamedTuple):
    """A host and a port; None stands for what was left out."""

    host: str | None
    port: int | None


class ListenType(click.ParamType[Address]):
    """PORT, ADDR or ADDR:PORT."""

    name = "PORT|ADDR|ADDR:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        text = str(value)
        if text.isdigit():
            return Address(None, self._port(text, param, ctx))
        host, colon, port = text.rpartition(":")
        if not colon or text.endswith("]"):
            return Address(text.strip("[]"), None)
        return Address(host.strip("[]"), self._port(port, param, ctx))

    def _port(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not text.isdigit() or int(text) > 65535:
            self.fail(f"{text!r} is no port: expected a number from 0 to 65535", param, ctx)
        return int(text)


class ServerType(ListenType):
    """SERVER or SERVER:PORT; a bare number is a port of this machine."""

    name = "SERVER[:PORT]"


class CpusType(click.ParamType[int | None]):
    """N, -N (all but N) or `detect`; converted to a number, None for all."""

    name = "N|-N|detect"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or value == "detect":
            return None
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r}: expected a number of cpus, minus how many to leave free, or `detect`", param, ctx)
        if number == 0:
            self.fail("a worker needs at least one cpu", param, ctx)
        return number


class LocalWorkersType(click.ParamType[int | tuple[int, ...]]):
    """N, or a list of the cpus of each worker such as [4,4,2]."""

    name = "N|[C,C,…]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | tuple[int, ...]:
        if isinstance(value, int | tuple):
            return value
        text = str(value).strip()
        listed = re.fullmatch(r"\[\s*(\d+(?:\s*,\s*\d+)*)\s*\]", text)
        if listed:
            cpus = tuple(int(part) for part in listed[1].split(","))
            if 0 in cpus:
                self.fail("a worker needs at least one cpu", param, ctx)
            return cpus
        if not text.isdigit():
            self.fail(f"{text!r}: expected a number of workers, or their cpus as in [4,4,2]", param, ctx)
        return int(text)


_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


class MemoryType(click.ParamType[int]):
    """Bytes, or a number with a unit: 4GiB, 512 MB."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(value))
        if not found or found[2].lower() not in _SIZES:
            self.fail(f"{value!r}: expected bytes, or a size such as `4 GiB` or `512MB`", param, ctx)
        return int(float(found[1]) * _SIZES[found[2].lower()])


class ResourceType(click.ParamType[tuple[str, int]]):
    """NAME=N."""

    name = "NAME=N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        name, equals, amount = str(value).partition("=")
        if not (name.strip() and equals and amount.isdecimal()):
            self.fail(f"{value!r}: expected a name and a whole number, as in license=2", param, ctx)
        return name, int(amount)


LISTEN = ListenType()
SERVER = ServerType()
CPUS = CpusType()
LOCAL_WORKERS = LocalWorkersType()
MEMORY = MemoryType()
RESOURCE = ResourceType()
