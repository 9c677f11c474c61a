"""How a session stands, as text: for terminals, and for the one line of a notebook that nobody watches."""

from __future__ import annotations

from rain.client.live.standing import SessionStanding, by_state, n_tasks
from rain.client.live.tree import rows
from rain.client.picture.palette import told
from rain.core.ids import session_name, task_name, worker_name
from rain.core.markup import CONTROLS, size_text

_BAR_WIDTH = 20
_MAX_LABEL = 40
_MAX_LINE = 200
#: With the second set of controls, some of which terminals obey.
_CONTROLS = CONTROLS | dict.fromkeys(range(0x80, 0xA0), "\ufffd")


def static_line(standing: SessionStanding) -> str:
    """How many tasks are in which state: the same for the same work, without times and numbers of sessions."""
    line = f"{_plain(standing.name or 'session')}: {_counts(standing)}"
    if standing.failures:
        names = list(dict.fromkeys(_plain(each.name) for each in sorted(standing.failures, key=lambda each: each.task)))
        line += f"; failed: {', '.join(names)}"
    return line


def live_line(standing: SessionStanding) -> str:
    """The same for a line that is written over and over."""
    total = standing.total()
    share = (n_tasks(total) - total.waiting - total.running) / max(1, n_tasks(total))
    return f"{_title(standing)} {_bar(share)} {_counts(standing)}, {duration_text(standing.elapsed_s)}"


def full_text(standing: SessionStanding) -> str:
    """Everything that the picture shows."""
    total = standing.total()
    lines = [f"{_title(standing)}, {standing.state}: {_counts(standing)}, {duration_text(standing.elapsed_s)}"]
    if total.n_bytes:
        lines[0] += f", {size_text(total.n_bytes)}"
    reasons = (standing.over_text, standing.failed, standing.impossible)
    lines += [f"  {_plain(reason.splitlines()[0])}" for reason in reasons if reason]
    shown = rows(standing)
    labels = [("  " * row.depth + _plain(row.label))[:_MAX_LABEL] for row in shown]
    width = max(map(len, labels), default=0)
    for label, row in zip(labels, shown, strict=True):
        done = row.group.finished + row.group.failed + row.group.cancelled
        share = done / max(1, n_tasks(row.group))
        lines.append(f"  {label:{width}} {_bar(share)} {done:,}/{n_tasks(row.group):,}  {told(by_state(row.group))}")
    if standing.workers:
        busy = [
            f"{worker_name(each.worker)} {min(each.n_tasks, each.cpus):g}/{each.cpus:g}" for each in standing.workers
        ]
        more = [f"{standing.n_more_workers:,} more"] if standing.n_more_workers else []
        lines.append(f"  workers: {', '.join([*busy, *more])}")
    for failure in standing.failures:
        followers = f" ({failure.n_followers:,} did not run because of it)" if failure.n_followers else ""
        reason = (failure.message.splitlines() or [""])[0]
        lines.append(
            f"  ✗ {_plain(failure.name)} {task_name(standing.session, failure.task)}: {_plain(reason)}{followers}"
        )
    return "\n".join(line if len(line) <= _MAX_LINE else f"{line[: _MAX_LINE - 1]}…" for line in lines)


def duration_text(seconds: float) -> str:
    """A time for people: "340 ms", "12.3 s", "4 min 05 s", "2 h 03 min"."""
    if 0 < seconds < 0.001:
        return "< 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, whole = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {whole:02} s"
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def _title(standing: SessionStanding) -> str:
    number = session_name(standing.session)
    return f"session {_plain(standing.name)} ({number})" if standing.name else f"session {number}"


def _counts(standing: SessionStanding) -> str:
    total = standing.total()
    n = n_tasks(total)
    return f"{n:,} {'task' if n == 1 else 'tasks'}, {told(by_state(total))}" if n else "no tasks"


def _bar(share: float) -> str:
    full = int(share * _BAR_WIDTH)
    return "█" * full + "░" * (_BAR_WIDTH - full)


def _plain(text: str) -> str:
    """In one line and without control characters, which a terminal would obey."""
    return text.replace("\n", " ").replace("\t", " ").translate(_CONTROLS)
