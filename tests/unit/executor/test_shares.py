"""The variables by which libraries learn a task's share."""

from __future__ import annotations

from rain.core.resources import UNIT, Request
from rain.executor.shares import Shares


def test_what_the_worker_s_environment_says_of_threads_stays() -> None:
    variables = Shares({"OMP_NUM_THREADS": "7"}).variables(Request(cpus=2 * UNIT), None)
    assert (variables["OMP_NUM_THREADS"], variables["MKL_NUM_THREADS"]) == ("7", "2")


def test_a_worker_without_gpus_says_nothing_of_them() -> None:
    assert "CUDA_VISIBLE_DEVICES" not in Shares({}).variables(Request(), None)


def test_a_task_without_gpus_sees_none_of_the_worker_s() -> None:
    variables = Shares({}).variables(Request(), ())
    assert (variables["CUDA_VISIBLE_DEVICES"], variables["HIP_VISIBLE_DEVICES"]) == ("", "-1")


def test_gpus_are_counted_among_those_that_the_worker_sees() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "GPU-a, GPU-b,5"}
    variables = Shares(environment).variables(Request(gpus=2 * UNIT), (2, 0))
    assert variables["CUDA_VISIBLE_DEVICES"] == variables["HIP_VISIBLE_DEVICES"] == "5,GPU-a"
