"""Which gpus a task gets: whole ones are its own while it runs, a fraction is a part of one that it shares.

Gpus are numbered from 0 to the number that the worker offers. A fraction goes where the least is left that suffices, so
that as many gpus as possible stay whole. Pure; the amounts of `Offer` say how much is free in all, this says where.
"""

from __future__ import annotations

from collections.abc import Sequence

from rain.core.resources import UNIT


class GpuPool:
    """The gpus of a worker; every one has `UNIT` to give."""

    __slots__ = ("free",)

    def __init__(self, amount: int) -> None:
        """`amount`: of an offer; only whole gpus count."""
        #: What is left of each.
        self.free = [UNIT] * (amount // UNIT)

    def choose(self, amount: int, preferred: Sequence[int] = ()) -> tuple[int, ...] | None:
        """Gpus for this amount; the preferred ones where they will do. None where it cannot be had now."""
        n_whole, rest = divmod(amount, UNIT)
        if preferred and self._suits(amount, preferred):
            return tuple(preferred)
        unused = [gpu for gpu, left in enumerate(self.free) if left == UNIT]
        if len(unused) < n_whole:
            return None
        whole = unused[:n_whole]
        if not rest:
            return tuple(whole)
        shared = [(left, gpu) for gpu, left in enumerate(self.free) if left >= rest and gpu not in whole]
        return (*whole, min(shared)[1]) if shared else None

    def take(self, amount: int, gpus: Sequence[int]) -> None:
        """Hands out what `choose` found."""
        self._change(amount, gpus, -1)

    def give_back(self, amount: int, gpus: Sequence[int]) -> None:
        """The task has ended."""
        self._change(amount, gpus, 1)

    def _suits(self, amount: int, gpus: Sequence[int]) -> bool:
        n_whole, rest = divmod(amount, UNIT)
        if len(gpus) != n_whole + bool(rest):
            return False
        needed = [UNIT] * n_whole + [rest] * bool(rest)
        return all(self.free[gpu] >= part for gpu, part in zip(gpus, needed, strict=True))

    def _change(self, amount: int, gpus: Sequence[int], sign: int) -> None:
        n_whole, rest = divmod(amount, UNIT)
        for gpu in gpus[:n_whole]:
            self.free[gpu] += sign * UNIT
        for gpu in gpus[n_whole:]:
            self.free[gpu] += sign * rest
