"""How a session stands, as HTML that untrusted notebooks keep, too: tables, `<details>` and inline styles.

Where a background is set, the colour of the text on it is; all else is as the theme has it, light or dark.
"""

from __future__ import annotations

from collections.abc import Iterable

from rain.client.live.standing import SessionStanding, by_state, n_tasks
from rain.client.live.texts import duration_text
from rain.client.live.tree import MAX_ROWS, Row, rows
from rain.client.picture.palette import LOOKS
from rain.core.cells import with_cell_names
from rain.core.ids import session_name, task_name, worker_name
from rain.core.markup import Content, Markup, badge, bold, code, end_of, html, joined, quiet, size_text
from rain.protocol.feed import BusyWorker, FirstFailure, GroupNews, SaidByTask

#: States of tasks from left to right in a bar, and the colours of bars: strong enough on light and on dark.
_ORDER = ("finished", "running", "failed", "cancelled", "waiting")
_INK = {"finished": "#3fa75f", "running": "#e0a81e", "failed": "#dc5f52", "cancelled": "#9a7fbd"}
_SIGN_INK = {**_INK, "waiting": "#8b93a1"}
_TRACK = "rgba(127,136,150,0.28)"
_LINE = "rgba(127,136,150,0.35)"

_CARD = (
    f"border:1px solid {_LINE};border-radius:8px;padding:12px 16px;margin:4px 0;max-width:760px;"
    "font-family:system-ui,sans-serif;font-size:13px;line-height:1.5"
)
_CELL = "padding:2px 14px 2px 0;text-align:left;vertical-align:middle;border:none;white-space:nowrap"
_NUMBER = "padding:2px 14px 2px 0;text-align:right;vertical-align:middle;border:none;white-space:nowrap"
_HEAD = "font-weight:normal;font-size:11px;opacity:0.65"
_CHIP = f"display:inline-block;border:1px solid {_LINE};border-radius:6px;padding:1px 8px;margin:2px 6px 2px 0"
_NOTICE = "border-left:3px solid {ink};padding:1px 0 1px 10px;margin:8px 0"

#: Of a session: its word as a state of a task, whose look it has.
_LOOK_OF = {
    "at work": ("running", "at work"),
    "done": ("finished", "done"),
    "failed": ("failed", "failed"),
    "lost": ("failed", "connection lost"),
    "closed": ("removed", "closed"),
    "empty": ("waiting", "nothing submitted"),
}
_MAX_CELLS = 16
_MAX_LABEL = 48


def session_picture(standing: SessionStanding, *, begin: str = "", most: int | None = MAX_ROWS) -> Markup:
    """All of it; of the groups only those whose name begins so, and at most so many lines."""
    parts = [
        _head(standing),
        _bar(standing.total(), "100%", 8),
        _legend(standing),
        _notices(standing),
        _groups(rows(standing, begin=begin, most=most)),
        _workers(standing),
        *(_failure(standing.session, each) for each in standing.failures),
        *(_said(standing.session, each) for each in standing.said),
    ]
    return Markup(f'<div style="{_CARD}">{"".join(parts)}</div>')


def _head(standing: SessionStanding) -> Markup:
    total, number = standing.total(), session_name(standing.session)
    known: list[str] = [number] if standing.name else []
    if n_tasks(total):
        known.append(_count(n_tasks(total), "task"))
        known.append(duration_text(standing.elapsed_s))
    if total.n_bytes:
        known.append(f"{size_text(total.n_bytes)} of results")
    title = joined("Session ", standing.name or number)
    return _line(
        joined(_styled(title, "font-size:14px;font-weight:600"), " ", _state(standing), " ", quiet(" · ".join(known)))
    )


def _state(standing: SessionStanding) -> Markup:
    state, word = _LOOK_OF[standing.state]
    total = standing.total()
    if standing.state == "done" and total.failed + total.cancelled:
        state, word = (
            ("failed", "done, not without failures") if total.failed else ("cancelled", "done, some cancelled")
        )
    return badge(f"{LOOKS[state].sign} {word}", LOOKS[state].fill)


def _legend(standing: SessionStanding) -> Markup:
    counts = by_state(standing.total())
    told = [
        joined(
            _styled(LOOKS[state].sign, f"color:{_SIGN_INK[state]};font-weight:700"),
            f" {counts[state]:,} {state}",
        )
        for state in _ORDER
        if counts[state]
    ]
    spaced = "".join(f'<span style="display:inline-block;margin-right:16px">{each}</span>' for each in told)
    return _line(Markup(spaced)) if told else Markup("")


def _notices(standing: SessionStanding) -> Markup:
    texts = []
    if standing.over == "lost":
        texts.append(joined(bold("⚠ The server is gone; this is how it stood. "), quiet(standing.over_text)))
    if standing.failed and not standing.failures:
        texts.append(joined(bold("✗ The session failed: "), standing.failed))
    if standing.impossible and not standing.over:
        texts.append(joined(bold("⚠ Tasks wait for a worker: "), standing.impossible))
    return Markup("".join(f'<div style="{_NOTICE.format(ink=_INK["failed"])}">{text}</div>' for text in texts))


def _groups(shown: list[Row]) -> Markup:
    if not shown:
        return Markup("")
    titles = (("name", _CELL), ("", _CELL), ("done", _NUMBER), ("", _CELL), ("each", _NUMBER), ("results", _NUMBER))
    head = "".join(f'<th style="{style};{_HEAD}">{title}</th>' for title, style in titles)
    body = "".join(map(_group, shown))
    style = "border-collapse:collapse;border:none;margin:8px 0 2px 0;font-size:13px"
    return Markup(f'<table style="{style}">{_row(head)}{body}</table>')


def _group(row: Row) -> str:
    group = row.group
    label = row.label if len(row.label) <= _MAX_LABEL else f"{row.label[: _MAX_LABEL - 1]}…"
    done = group.finished + group.failed + group.cancelled
    indent = f"padding-left:{16 * row.depth}px"
    weight = "font-weight:600" if not row.depth else "font-weight:normal"
    each = duration_text(group.work_us / 1e6 / group.finished) if group.finished else ""
    cells = (
        (_styled(label, f"{indent};{weight}"), _CELL),
        (_bar(group, "150px", 7), _CELL),
        (f"{done:,} / {n_tasks(group):,}", _NUMBER),
        (_marks(group), _CELL),
        (quiet(each), _NUMBER),
        (quiet(size_text(group.n_bytes) if group.n_bytes else ""), _NUMBER),
    )
    return _row("".join(f'<td style="{style}">{html(content)}</td>' for content, style in cells))


def _marks(group: GroupNews) -> Markup:
    """What is worth a look: what runs, what went wrong."""
    counts = by_state(group)
    if counts["finished"] == n_tasks(group):
        return _styled(LOOKS["finished"].sign, f"color:{_INK['finished']};font-weight:700")
    told = [
        joined(_styled(LOOKS[state].sign, f"color:{_INK[state]};font-weight:700"), f" {counts[state]:,} ")
        for state in ("running", "failed", "cancelled")
        if counts[state]
    ]
    return joined(*told) if told else quiet(LOOKS["waiting"].sign)


def _workers(standing: SessionStanding) -> Markup:
    if not standing.workers:
        return _line(quiet("no workers")) if not standing.is_at_rest and not standing.over else Markup("")
    chips = "".join(map(_worker, standing.workers))
    more = quiet(f"and {standing.n_more_workers:,} more") if standing.n_more_workers else ""
    return Markup(f'<div style="margin-top:8px">{chips}{more}</div>')


def _worker(worker: BusyWorker) -> str:
    n_busy, n_cpus = min(worker.n_tasks, round(worker.cpus)), round(worker.cpus)
    cells = ""
    if 0 < n_cpus <= _MAX_CELLS:
        fills = [_INK["running"]] * n_busy + [_TRACK] * (n_cpus - n_busy)
        style = "display:inline-block;width:8px;height:8px;border-radius:2px;margin-right:2px"
        cells = "".join(f'<span style="{style};background:{fill}"></span>' for fill in fills)
    said = f"{worker.n_tasks:,} {'task' if worker.n_tasks == 1 else 'tasks'}" if worker.n_tasks else "idle"
    text = joined(bold(worker_name(worker.worker)), " ", Markup(cells), " ", quiet(f"{said}, {worker.cpus:g} cpus"))
    return f'<span style="{_CHIP}">{text}</span>'


def _failure(session: int, failure: FirstFailure) -> str:
    first, _, rest = failure.message.partition("\n")
    followers = ""
    if failure.n_followers:
        followers = f" — {_count(failure.n_followers, 'task')} did not run because of it"
    sign = _styled(LOOKS["failed"].sign, f"color:{_INK['failed']};font-weight:700")
    where = joined(bold(failure.name), " ", quiet(task_name(session, failure.task)))
    summary = joined(sign, " ", where, f" {first[:300]}", quiet(followers))
    body = with_cell_names(failure.traceback).rstrip() or rest
    if not body:
        return f'<div style="margin-top:6px">{summary}</div>'
    return f'<details style="margin-top:6px"><summary>{summary}</summary>{code(end_of(body))}</details>'


def _said(session: int, said: SaidByTask) -> str:
    where = joined(bold(said.name), " ", quiet(task_name(session, said.task)))
    if said.fraction is None:
        lines = "\n".join(said.text.rstrip().splitlines()[-5:])
        return f'<div style="margin-top:6px">{where} {quiet("printed")}{code(lines)}</div>'
    fraction = min(1.0, max(0.0, said.fraction))
    meter = _track([(_INK["running"], fraction)], "90px", 6)
    return f'<div style="margin-top:4px">{where} {meter} {fraction:.0%} {quiet(said.text)}</div>'


def _bar(group: GroupNews, width: str, height: int) -> Markup:
    counts, total = by_state(group), max(1, n_tasks(group))
    return _track([(_INK[state], counts[state] / total) for state in _INK], width, height)


def _track(shares: Iterable[tuple[str, float]], width: str, height: int) -> Markup:
    # What is there at all can be seen.
    pieces = "".join(
        f'<span style="display:inline-block;vertical-align:top;height:{height}px;width:{max(0.6, 100 * share):.2f}%;'
        f'background:{fill}"></span>'
        for fill, share in shares
        if share > 0
    )
    style = (
        f"display:inline-block;vertical-align:middle;width:{width};height:{height}px;background:{_TRACK};"
        f"border-radius:{height / 2:g}px;overflow:hidden;white-space:nowrap;line-height:0;font-size:0"
    )
    return Markup(f'<span style="{style}">{pieces}</span>')


def _row(cells: str) -> str:
    return f'<tr style="background:none;border:none">{cells}</tr>'


def _line(content: Content) -> Markup:
    return Markup(f'<div style="margin:4px 0">{html(content)}</div>')


def _styled(content: Content, style: str) -> Markup:
    return Markup(f'<span style="{style}">{html(content)}</span>')


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
