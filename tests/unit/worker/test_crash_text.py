"""What a crash in C code leaves on standard error."""

from __future__ import annotations

from rain.executor import loop
from rain.worker.crash_text import users_frames

CRASH = f"""before
Fatal Python error: Segmentation fault

Current thread 0x00007efe8faa6b80 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/home/me/seg.py", line 5 in crash
  File "{loop.__file__}", line 111 in _run_task
  File "<frozen runpy>", line 198 in _run_module_as_main

Extension modules: msgspec._core, numpy.core._multiarray_umath (total: 2)
"""


def test_a_crash_shows_the_frames_of_the_user_alone() -> None:
    assert users_frames(CRASH).splitlines() == [
        "before",
        "Fatal Python error: Segmentation fault",
        "",
        "Current thread 0x00007efe8faa6b80 (most recent call first):",
        '  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at',
        '  File "/home/me/seg.py", line 5 in crash',
    ]


def test_other_text_stays_as_it_is() -> None:
    text = f'  File "{loop.__file__}", line 111 in _run_task\nExtension modules: none\n'
    assert users_frames(text) == text
