"""Each rule of the tree complains about a bad sample, names the place, and leaves a good sample alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture import rules

GOOD = '"""A module."""\n\nimport asyncio.subprocess\n\n\nclass Store:\n    """Keeps."""\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine" / "__init__.py").write_text('"""A package."""\n')
    (tmp_path / "store.py").write_text(GOOD)
    return tmp_path


@pytest.mark.parametrize(
    "rule",
    [
        rules.too_long,
        rules.vague_names,
        rules.repeated_class_names,
        rules.runs_foreign_bytes,
        rules.undocumented,
    ],
)
def test_a_good_tree_gives_no_complaint(rule, tree):
    assert rule(tree) == []


def test_a_module_over_the_limit_is_too_long_and_one_at_the_limit_is_not(tree):
    (tree / "at_limit.py").write_text("x = 1\n" * rules.MAX_LINES)
    (tree / "over.py").write_text("x = 1\n" * (rules.MAX_LINES + 1))
    [complaint] = rules.too_long(tree)
    assert "over.py: 401 lines" in complaint


@pytest.mark.parametrize("name", ["utils.py", "helpers.py", "worker_manager.py", "string_utils.py", "Helper.py"])
def test_a_vague_module_name_is_found(name, tree):
    (tree / name).write_text('"""A module."""\n')
    [complaint] = rules.vague_names(tree)
    assert name in complaint


def test_a_vague_package_name_is_found(tree):
    (tree / "utils").mkdir()
    [complaint] = rules.vague_names(tree)
    assert "'utils'" in complaint


def test_a_class_name_that_occurs_twice_is_found_even_inside_a_function(tree):
    (tree / "machine" / "tables.py").write_text('"""T."""\n\n\ndef make():\n    class Store: ...\n')
    [complaint] = rules.repeated_class_names(tree)
    assert "class Store occurs 2 times" in complaint
    assert "tables.py:5" in complaint
    assert "store.py:6" in complaint


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import cloudpickle.cloudpickle as cp",
        "import json, marshal",
        "from pickle import loads",
        "from dill import loads",
        "message = socket.recv_pyobj()",
        "self.socket.send_pyobj(message)",
        "eval(text)",
        "exec(text, {})",
        "builtins.exec(text)",
        "module = __import__(name)",
        "importlib.import_module(name)",
    ],
)
def test_what_could_run_the_bytes_of_a_peer_is_found(line, tree):
    (tree / "shell.py").write_text(f'"""S."""\n\n\ndef handle(message, name, text):\n    {line}\n')
    [complaint] = rules.runs_foreign_bytes(tree)
    assert "shell.py:5" in complaint


@pytest.mark.parametrize(
    "line",
    [
        "process = asyncio.create_subprocess_exec(program)",
        "pickled = spec.body",
        "'eval(text)'",
        "importlib.import_module('rain.server.http')",
    ],
)
def test_words_that_only_look_like_running_code_are_left_alone(line, tree):
    (tree / "shell.py").write_text(f'"""S."""\n\n\ndef handle(spec, program):\n    {line}\n')
    assert rules.runs_foreign_bytes(tree) == []


@pytest.mark.parametrize("text", ["", "x = 1\n", '""" """\n', "# a comment is no docstring\n"])
def test_a_module_without_a_docstring_is_found(text, tree):
    (tree / "silent.py").write_text(text)
    [complaint] = rules.undocumented(tree)
    assert "silent.py" in complaint
