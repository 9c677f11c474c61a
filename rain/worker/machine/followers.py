"""Tasks that go to an executor together with those that make their inputs.

The executor passes results on from one to the next by itself. So a chain of short tasks costs a message per batch, not
a round trip per task. Only short tasks do, so that what others wait for in such a batch is never late by more than it
holds. Where several wait for one result, and are more work than a way to another executor is worth, no more than an
even share of them do; and none while another executor idles, so that the result is reported first.
"""

from __future__ import annotations

from rain.worker.machine.numbers import among
from rain.worker.machine.state import HeldRun, HeldSession, Lane, Spec

#: Tasks whose mean duration is below this are short.
SHORT_US = 1000.0
#: Readers of one object with less work than this in all run one after the other sooner than they are spread.
SPREAD_US = 250.0


def is_short(spec: Spec) -> bool:
    """Known to be short, and without a time limit of its own (which is measured per batch)."""
    return spec.mean_us is not None and spec.mean_us < SHORT_US and spec.spec.timeout_s is None


def add_followers(
    session: HeldSession, lane: Lane, runs: list[HeldRun], left_us: float, max_tasks: int, *, others_idle: bool
) -> None:
    """Appends tasks that miss nothing but outputs of tasks before them, as many as fit.

    `left_us`: work that the batch may still hold; `max_tasks`: how many it may have in all.
    """
    waiters, limit = session.waiters, lane.request_class.limit
    room = max_tasks - sum([run.count for run in runs])
    #: By task, how many of its missing inputs are made here; the others of a batch come later in `runs`.
    n_made: dict[HeldRun, int] = {}
    # Those that follow are looked at in their turn.
    for run in runs:
        for obj in among(waiters, run.first_output, run.n_outputs):
            readers = waiters[obj]
            if len(readers) > 1:
                readers = _own_share(readers, 0 if others_idle else limit)
            for reader in readers:
                if reader.missing > 1:
                    found = n_made[reader] = n_made.get(reader, 0) + 1
                    if found < reader.missing:
                        continue
                spec = reader.spec
                if spec.lane is not lane or not spec.may_follow or reader.executor is not None or not is_short(spec):
                    continue
                left_us -= spec.mean_us or 0.0
                room -= 1
                if left_us < 0 or room < 0:
                    return
                runs.append(reader)


def _own_share(readers: list[HeldRun], limit: int) -> list[HeldRun]:
    """Those of the readers of one object that may follow it; `limit`: how many executors share, 0: others first."""
    mean_us = readers[0].spec.mean_us
    if mean_us is not None and len(readers) * mean_us <= SPREAD_US:
        return readers
    return readers[: -(-len(readers) // limit)] if limit else []
