"""The tree of commands: every verb and option has its help, and options become a plan."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rain.cli.main import VERBS, tree
from rain.cli.run import cpus_of_workers
from rain.cli.worker import apply_file, offered_cpus
from rain.core.config import WorkerConfig
from rain.core.errors import RainException
from rain.deploy.capacity import detect_cpus
from rain.deploy.folders import log_file


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


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_option_is_answered_with_those_there_are(verb: str) -> None:
    answer = CliRunner().invoke(tree, [verb, "--zzzzz"], prog_name="rain")
    assert answer.exit_code == 2
    assert f"No such option '--zzzzz'. 'rain {verb}' has --" in answer.output


def test_an_option_that_was_mistyped_is_answered_with_the_nearest_one() -> None:
    assert "Did you mean '--json'?" in CliRunner().invoke(tree, ["logs", "--jsno"]).output


def run_configured(folder: Path, text: str, *words: str, **env: str) -> str:
    """What `rain run`, with a file of options in the user's folder, says of its options; nothing is started."""
    (folder / "rain").mkdir(exist_ok=True)
    (folder / "rain" / "run.toml").write_text(text)
    answer = CliRunner(env={"XDG_CONFIG_HOME": str(folder), **env}).invoke(tree, ["run", *words], prog_name="rain")
    assert answer.exit_code != 0, answer.output
    return answer.output


def test_options_come_from_the_command_line_then_the_environment_then_the_user_s_file(tmp_path: Path) -> None:
    text = 'local-workers = [0, 2]\nworker_host_file = "nothing"\n'
    assert "a worker needs at least one cpu" in run_configured(tmp_path, text)
    assert "'many': expected a number of workers" in run_configured(tmp_path, text, RAIN_RUN_LOCAL_WORKERS="many")
    assert "host file nothing cannot be read" in run_configured(tmp_path, text, "--workers", "1")


def test_a_file_of_options_that_cannot_be_is_named(tmp_path: Path) -> None:
    assert "run.toml: `rain run` has no option 'workrs'; it has " in run_configured(tmp_path, "workrs = 2")
    assert "run.toml cannot be read" in run_configured(tmp_path, "workers =")


@pytest.mark.parametrize(("words", "found"), [("rain st", "status"), ("rain run --lo", "--local-workers")])
def test_a_shell_completes_verbs_and_options(words: str, found: str) -> None:
    env = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_RAIN_COMPLETE": "bash_complete"}
    answer = CliRunner(env=env).invoke(tree, prog_name="rain")
    assert f"plain,{found}" in answer.output.splitlines()


def test_workers_share_the_cpus_of_the_machine_evenly() -> None:
    cpus = detect_cpus()
    assert cpus_of_workers(True, None, False) == [cpus]
    assert cpus_of_workers(False, None, False) == []
    assert sum(cpus_of_workers(True, cpus, False)) == cpus
    assert cpus_of_workers(True, (4, 4, 2), True) == [4, 4, 2]
    assert cpus_of_workers(True, 1, True) == [max(1, cpus - 1)]


def test_cpus_that_are_left_free_leave_some_to_offer() -> None:
    cpus = detect_cpus()
    assert (offered_cpus(None), offered_cpus(3)) == (None, 3)
    with pytest.raises(click.BadParameter, match=f"a worker here may use {cpus} cpus?, all but {cpus + 6} is none"):
        offered_cpus(-cpus - 6)
    with pytest.raises(click.BadParameter, match="is none: leave fewer free"):
        offered_cpus(-cpus)


def test_a_prefix_with_an_open_quote_is_refused() -> None:
    answer = CliRunner().invoke(tree, ["run", "--runprefix", "'perf record"])
    assert answer.exit_code == 2
    assert "cannot be split into words: No closing quotation" in answer.output


def test_a_log_folder_that_cannot_be_is_named() -> None:
    with pytest.raises(RainException, match=r"cannot write the log /dev/null/logs/.*: Not a directory"):
        log_file(Path("/dev/null/logs"), "server")


def test_a_file_of_worker_options_has_resources_and_sizes(tmp_path: Path) -> None:
    path = tmp_path / "worker.toml"
    path.write_text('cpus = 3\nmemory = "2 GiB"\n[resources]\nlicense = 2\n')
    config = apply_file(WorkerConfig(cpus=1), path)
    assert (config.cpus, config.memory_bytes, config.resources) == (1, 2 << 30, (("license", 2),))


@pytest.mark.parametrize("text", ["cpus = 'x", "foo = 1", "memory = 'much'", "[resources]\na = -1", None])
def test_a_file_of_worker_options_that_cannot_be_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "worker.toml"
    if text is None:
        path.mkdir()
    else:
        path.write_text(text)
    with pytest.raises(click.BadParameter):
        apply_file(WorkerConfig(), path)
