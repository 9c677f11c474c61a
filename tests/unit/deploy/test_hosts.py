"""Host files and the node lists of batch systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from rain.core.errors import RainException
from rain.deploy.hosts import allocated_hosts, read_host_file


def test_a_host_file_has_a_host_per_line_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("# the fast ones\nnode1\n\n node2  # two\n")
    assert read_host_file(path) == ["node1", "node2"]


def test_a_missing_host_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RainException, match=r"host file .*/nowhere cannot be read: No such file"):
        read_host_file(tmp_path / "nowhere")


def test_an_empty_host_file_says_what_was_expected(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("# nothing\n")
    with pytest.raises(RainException, match="expected one host per line"):
        read_host_file(path)


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "a b", "a;b", "$(a)"])
def test_what_ssh_or_a_shell_would_misread_is_no_host(tmp_path: Path, host: str) -> None:
    path = tmp_path / "hosts"
    path.write_text(host + "\n")
    with pytest.raises(RainException, match="is no host name"):
        read_host_file(path)


def test_a_pbs_job_names_each_of_its_hosts_once(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes"
    nodes.write_text("node1\nnode1\nnode2\n")
    assert allocated_hosts("pbs", {"PBS_NODEFILE": str(nodes)}) == ["node1", "node2"]


def test_slurm_expands_the_node_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames node[1-2]" ] && printf "node1\\nnode2\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert allocated_hosts("slurm", {"SLURM_JOB_NODELIST": "node[1-2]"}) == ["node1", "node2"]


@pytest.mark.parametrize(("system", "variable"), [("pbs", "PBS_NODEFILE"), ("slurm", "SLURM_JOB_NODELIST")])
def test_outside_a_job_the_missing_variable_is_named(system: str, variable: str) -> None:
    with pytest.raises(RainException, match=f"{variable} is not set"):
        allocated_hosts(system, {})
