"""How a session is shown: names as a tree, HTML that stays what it is, text without surprises."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from rain.client.live.picture import session_picture
from rain.client.live.standing import SessionStanding
from rain.client.live.texts import duration_text, full_text, live_line, static_line
from rain.client.live.tree import MAX_ROWS, rows
from rain.protocol.feed import BusyWorker, FeedNews, FirstFailure, GroupNews, SaidByTask

HOSTILE = "<script>alert('x')</script>\"&\x1b[2J\x9b\n</table><img src=x onerror=y>"


class Tags(HTMLParser):
    """The tags of a page, and whether every one is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def standing(*groups: GroupNews, name: str | None = "demo", **known: object) -> SessionStanding:
    found = SessionStanding(3, name)
    values: dict[str, object] = {"request": 1, "elapsed_s": 12.0, "is_at_rest": False, "groups": groups, **known}
    found.learn(FeedNews(**values))  # type: ignore[arg-type]
    return found


def everything(text: str) -> SessionStanding:
    """With this text wherever a user can put one."""
    found = standing(
        GroupNews(text, 1, 2, 3, 4, 5, 6000, 7_000_000),
        name=text,
        workers=(BusyWorker(1, 2.0, 3),),
        n_more_workers=5,
        failures=(FirstFailure(7, text, text, text, 2), FirstFailure(8, text, text, "", 0)),
        said=(SaidByTask(1, text, text, 0.4), SaidByTask(2, text, text)),
        failed=text,
        impossible=text,
    )
    found.over, found.over_text = "lost", text
    return found


def tags(page: str) -> Tags:
    found = Tags()
    found.feed(page)
    assert not found.open
    return found


def labels(found: SessionStanding, most: int | None = MAX_ROWS, begin: str = "") -> list[str]:
    return ["  " * row.depth + row.label for row in rows(found, most=most, begin=begin)]


def test_differences_are_put_together() -> None:
    found = standing(GroupNews("a", 5), GroupNews("b", 1), workers=(BusyWorker(1, 2.0, 2),), failed="")
    found.learn(FeedNews(request=2, elapsed_s=13.0, is_at_rest=True, groups=(GroupNews("a", 0, 0, 5),)))
    assert (found.groups["a"].finished, found.groups["b"].waiting) == (5, 1)
    assert found.workers == (BusyWorker(1, 2.0, 2),)
    assert (found.elapsed_s, found.state, found.total().finished) == (13.0, "done", 5)


def test_names_are_a_tree_and_groups_add_up() -> None:
    found = standing(GroupNews("a/x", 1), GroupNews("b", 2), GroupNews("a/y", 0, 3), GroupNews("c/d/e", 1))
    assert labels(found) == ["a", "  x", "  y", "b", "c/d/e"]
    assert (rows(found)[0].group.waiting, rows(found)[0].group.running) == (1, 3)
    assert labels(found, begin="a/") == ["a", "  x", "  y"]


def test_a_name_that_is_part_of_another_has_its_own_tasks_in_the_sum() -> None:
    found = standing(GroupNews("a", 1), GroupNews("a/b", 2))
    assert labels(found) == ["a", "  b"]
    assert [row.group.waiting for row in rows(found)] == [3, 2]


def test_many_names_are_told_less_deep_and_then_the_last_ones_together() -> None:
    deep = standing(*(GroupNews(f"top{i % 3}/part{i}", 1) for i in range(60)))
    assert labels(deep) == ["top0", "top1", "top2"]
    flat = standing(*(GroupNews(f"name{i}", 1) for i in range(500)), GroupNews(None, 7))
    assert len(labels(flat)) == MAX_ROWS
    assert labels(flat)[-1] == "486 more names"
    assert sum(row.group.waiting for row in rows(flat)) == 507
    assert labels(flat, most=None)[-1] == "other names"
    assert len(labels(flat, most=None)) == 501


def test_every_text_of_a_user_is_escaped() -> None:
    page = str(session_picture(everything(HOSTILE)))
    found = tags(page)
    assert found.names <= {"div", "span", "table", "tr", "th", "td", "b", "details", "summary", "pre"}
    assert found.attributes == {"style"}
    assert page.count("&lt;script&gt;") >= 8
    assert "\x1b" not in page


def test_states_are_signs_and_words() -> None:
    page = re.sub("<[^>]*>", "", str(session_picture(everything("text"))))
    for told in ("✓ 3 finished", "▶ 2 running", "✗ 4 failed", "– 5 cancelled", "… 1 waiting", "connection lost"):
        assert told in page
    assert "The server is gone; this is how it stood." in page
    assert "2 tasks did not run because of it" in page


def test_a_background_comes_with_a_colour_where_there_is_text_on_it() -> None:
    page = str(session_picture(everything("text")))
    for style, text in re.findall(r'style="([^"]*background:#[^"]*)"[^>]*>([^<]*)', page):
        assert not text.strip() or "color:#1f2328" in style


def test_nothing_submitted_is_shown_too() -> None:
    empty = SessionStanding(1, None)
    assert "nothing submitted" in str(session_picture(empty))
    assert static_line(empty) == "session: no tasks"
    assert "no tasks" in full_text(empty)


def test_text_has_no_control_codes_and_short_lines() -> None:
    for text in (full_text(everything(HOSTILE * 20)), live_line(everything(HOSTILE)), static_line(everything(HOSTILE))):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert max(map(len, full_text(everything(HOSTILE * 20)).splitlines())) <= 200


def test_the_static_line_has_no_times_and_no_numbers_of_sessions() -> None:
    one, other = standing(GroupNews("a", 0, 0, 5, 1)), standing(GroupNews("a", 0, 0, 5, 1, 0, 99, 77), elapsed_s=99.0)
    other.session = 17
    assert static_line(one) == static_line(other) == "demo: 6 tasks, ✗ 1 failed, ✓ 5 finished"
    failed = standing(GroupNews("a", 0, 0, 0, 1), failures=(FirstFailure(7, "a", "at 0x7f00", "", 0),))
    assert static_line(failed) == "demo: 1 task, ✗ failed; failed: a"


def test_times_are_for_people() -> None:
    times = [0.0, 0.0001, 0.34, 12.34, 59.97, 245, 7390]
    assert [duration_text(each) for each in times] == [
        "0 ms", "< 1 ms", "340 ms", "12.3 s", "1 min 00 s", "4 min 05 s", "2 h 03 min",
    ]  # fmt: skip


def test_a_view_of_many_names_is_small_and_quick() -> None:
    page = session_picture(standing(*(GroupNews(f"main/part/{i}" * 5, 1) for i in range(500))))
    assert len(page) < 60_000
