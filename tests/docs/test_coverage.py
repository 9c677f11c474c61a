"""Every public name has a test, and the table that says which is true."""

from __future__ import annotations

from pathlib import Path

import rain.client
from tests.docs.coverage import complaints, covered_names, read_table


def test_every_public_name_is_covered_by_a_test_that_is_there() -> None:
    assert complaints(read_table(), covered_names()) == []


def test_every_name_of_the_package_is_in_the_table() -> None:
    assert set(rain.client.__all__) - {"tasks"} <= set(read_table())
    assert {"tasks.Concat", "Session.submit", "DataInstance.load", "rain run"} <= set(read_table())


def test_a_table_with_mistakes_is_complained_about(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_one():\n    blob(1)\n")
    table = {
        "blob": "tests/test_a.py::test_one",
        "Session.wait": "tests/test_a.py::test_one",
        "remote": "tests/test_a.py::test_two",
        "gone": "tests/test_a.py::test_one",
    }
    assert complaints(table, ["blob", "Session.wait", "remote", "Client"], tmp_path) == [
        "Client: no row; add one with the test that covers it",
        "gone: a row, but no such name",
        "Session.wait: not a word of it in tests/test_a.py::test_one",
        "remote: there is no test tests/test_a.py::test_two",
        "gone: not a word of it in tests/test_a.py::test_one",
    ]
