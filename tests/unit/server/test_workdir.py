"""The server's folder: its own, private, and the remains of killed servers are cleared away."""

from __future__ import annotations

import stat

import pytest

from rain.core.errors import RainException
from rain.server.workdir import make_workdir, remove_workdir


def test_the_folder_is_new_and_private_and_goes_with_all_that_is_in_it(tmp_path):
    first, second = make_workdir(str(tmp_path / "a" / "b")), make_workdir(str(tmp_path / "a" / "b"))
    assert first != second
    assert stat.S_IMODE(first.stat().st_mode) == 0o700
    (first / "file").write_text("x")
    remove_workdir(first)
    remove_workdir(first)
    assert list((tmp_path / "a" / "b").iterdir()) == [second]


def test_what_servers_left_that_run_no_more_is_cleared_and_nothing_else(tmp_path):
    running = make_workdir(str(tmp_path))
    # This process runs, but did not start then: the pid was used again.
    pid = running.name.split("-")[1]
    for stale in (f"server-{pid}-1-abc", "server-4194999-5-abc"):
        (tmp_path / stale).mkdir()
        (tmp_path / stale / "s1.o1").write_text("x")
    (tmp_path / "server-notes").mkdir()
    following = make_workdir(str(tmp_path))
    assert sorted(tmp_path.iterdir()) == sorted([running, following, tmp_path / "server-notes"])


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RainException, match=f"cannot make a work folder in {tmp_path}/file"):
        make_workdir(str(tmp_path / "file"))
