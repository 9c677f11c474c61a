"""Rain keeps the rules of its own tree. Who may import whom is checked by import-linter, in `make lint`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import rules

ROOT = Path(__file__).parents[2]
RAIN = ROOT / "rain"


def assert_none(complaints: list[str]) -> None:
    assert not complaints, "\n" + "\n".join(complaints)


def test_the_tree_is_where_these_tests_look():
    assert (RAIN / "core" / "__init__.py").is_file()


def test_no_module_is_longer_than_a_reader_can_hold():
    assert_none(rules.too_long(RAIN))


def test_no_module_has_a_vague_name():
    assert_none(rules.vague_names(RAIN))


def test_no_class_name_occurs_twice():
    assert_none(rules.repeated_class_names(RAIN))


def test_every_module_says_what_it_is():
    assert_none(rules.undocumented(RAIN))


def test_every_folder_with_modules_is_a_package():
    folders = {path.parent for path in rules.modules(RAIN)}
    assert_none([f"{folder}: no __init__.py" for folder in sorted(folders) if not (folder / "__init__.py").is_file()])


@pytest.mark.parametrize("package", ["core", "protocol", "wire", "server", "worker"])
def test_nothing_between_client_and_executor_can_run_what_users_send(package):
    assert_none(rules.runs_foreign_bytes(RAIN / package))


def loaded_by(statement: str) -> set[str]:
    """The top-level names of the modules that a fresh interpreter holds after `statement`."""
    program = f"{statement}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_list_of_loaded_modules_names_what_was_imported():
    assert {"colorsys", "encodings"} <= loaded_by("import colorsys")


@pytest.mark.parametrize("statement", ["import rain", "from rain import *", "import rain.client"])
def test_importing_rain_loads_no_heavy_package(statement):
    assert loaded_by(statement).isdisjoint({"IPython", "ipywidgets", "matplotlib", "numpy", "pandas", "pyarrow"})


def test_an_executor_starts_without_network_libraries():
    statements = [
        f"import {'.'.join(path.relative_to(ROOT).with_suffix('').parts)}"
        for path in rules.modules(RAIN / "executor")
        if path.name not in {"__init__.py", "__main__.py"}
    ]
    assert loaded_by("\n".join(["import rain.executor", *statements])).isdisjoint({"tornado", "zmq"})
