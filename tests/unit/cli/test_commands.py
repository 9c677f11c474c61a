"""The tree of commands: every verb and option has its help, and options become a plan."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from rain.cli.main import VERBS, tree
from rain.cli.run import cpus_of_workers
from rain.deploy.capacity import detect_cpus


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_every_option_of_it_explains_itself(verb: str) -> None:
    answer = CliRunner().invoke(tree, [verb, "--help"])
    assert answer.exit_code == 0, answer.output
    command = tree.get_command(click.Context(tree), verb)
    assert command is not None
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"rain {verb} {option.opts[0]} has no help"


def test_the_overview_lists_all_verbs() -> None:
    output = CliRunner().invoke(tree, ["--help"]).output
    assert all(f"  {verb} " in output for verb in VERBS)


def test_an_unknown_verb_is_refused() -> None:
    answer = CliRunner().invoke(tree, ["rnu"])
    assert answer.exit_code == 2
    assert "rnu" in answer.output


def test_workers_share_the_cpus_of_the_machine_evenly() -> None:
    cpus = detect_cpus()
    assert cpus_of_workers(True, None, False) == [cpus]
    assert cpus_of_workers(False, None, False) == []
    assert sum(cpus_of_workers(True, cpus, False)) == cpus
    assert cpus_of_workers(True, (4, 4, 2), True) == [4, 4, 2]
    assert cpus_of_workers(True, 1, True) == [max(1, cpus - 1)]
