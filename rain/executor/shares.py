"""How a task learns its share of the machine: variables that numeric libraries read."""

from __future__ import annotations

from collections.abc import Mapping

from rain.core.resources import UNIT, Request

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def with_share(environment: Mapping[str, str], request: Request) -> dict[str, str]:
    """The environment with the number of threads that suits the request; what it says already stays."""
    threads = str(max(1, request.cpus // UNIT))
    return {**dict.fromkeys(_THREAD_VARIABLES, threads), **environment}
