"""The tasks of a session by name: groups, numbered in the order in which names came, and what their tasks came to."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from rain.core.spec import TaskSpec
from rain.protocol.feed import MAX_GROUPS, MAX_NAME


@dataclass(slots=True)
class Groups:
    """The columns `names`, `n_bytes` and `work_us` have a row per group."""

    #: None: all names that are too many.
    names: list[str | None] = field(default_factory=list)
    #: Of all results that were reported, and microseconds of work.
    n_bytes: list[int] = field(default_factory=list)
    work_us: list[int] = field(default_factory=list)
    #: By number of the spec: its group.
    of_spec: array[int] = field(default_factory=lambda: array("I"))
    _numbers: dict[str | None, int] = field(default_factory=dict)

    def add_spec(self, spec: TaskSpec) -> None:
        """The next spec of the session."""
        name = shown_name(spec)
        number = self._numbers.get(name)
        if number is None:
            kept = name if len(self.names) < MAX_GROUPS else None
            number = self._numbers.get(kept)
            if number is None:
                number = self._numbers[kept] = len(self.names)
                self.names.append(kept)
                self.n_bytes.append(0)
                self.work_us.append(0)
        self.of_spec.append(number)


def shown_name(spec: TaskSpec) -> str:
    """What the tasks of a spec are called: its name, else its kind."""
    return (spec.name or str(spec.kind))[:MAX_NAME]
