"""How a task learns its share of the machine: variables that libraries of numbers and of gpus read.

A program starts with the right ones. In a Python task they stand in `os.environ` while it runs; most libraries read
them once, when they are imported or first used, so what holds is the share of the task of this process that did so
first. A worker gives a process that once had gpus only to tasks with the same ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from rain.core.resources import UNIT, Request
from rain.deploy.gpus import visible_gpus

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: And what they say to a task without gpus. HIP takes an empty list for nothing said, and ends it at a wrong index.
_GPU_VARIABLES = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"}


class Shares:
    """The variables by request; those of the present Python task stand in `os.environ`."""

    __slots__ = ("_environment", "_gpus", "_request")

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment`: the worker's."""
        self._environment = environment
        self._request: Request | None = None
        self._gpus: tuple[int, ...] | None = None

    def enter(self, request: Request, gpus: tuple[int, ...] | None) -> None:
        """A Python task with this share begins; costs nothing where the one before had the same."""
        if request is not self._request or gpus != self._gpus:
            os.environ.update(self.variables(request, gpus))
            self._request, self._gpus = request, gpus

    def environment(self, request: Request, gpus: Sequence[int] | None) -> dict[str, str]:
        """The whole environment of a program with this share."""
        return {**self._environment, **self.variables(request, gpus)}

    def variables(self, request: Request, gpus: Sequence[int] | None) -> dict[str, str]:
        """Threads as the request has cpus, unless the worker's environment says; gpus, unless the worker has none."""
        threads = str(max(1, request.cpus // UNIT))
        variables = {name: self._environment.get(name, threads) for name in _THREAD_VARIABLES}
        if gpus is not None:
            for name, none in _GPU_VARIABLES.items():
                variables[name] = ",".join(self._names(name, gpus)) or none
        return variables

    def _names(self, variable: str, gpus: Sequence[int]) -> list[str]:
        """The worker may itself see only some of the machine's gpus: its first is then the first of those."""
        environment = self._environment
        visible = visible_gpus(variable, environment) or visible_gpus("CUDA_VISIBLE_DEVICES", environment)
        return [visible[gpu] if gpu < len(visible) else str(gpu) for gpu in gpus]
