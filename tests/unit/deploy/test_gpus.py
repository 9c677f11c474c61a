"""Which gpus each worker of one machine gets."""

from __future__ import annotations

import pytest

from rain.core.errors import RainException
from rain.deploy.gpus import gpu_environment


def test_workers_get_different_gpus():
    shares = [gpu_environment(first, 2, {}) for first in (0, 2)]
    assert shares == [{"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"}]


def test_they_are_of_those_that_the_environment_names():
    environment = {"CUDA_VISIBLE_DEVICES": "3, GPU-a,7", "HIP_VISIBLE_DEVICES": "4,5,6"}
    assert gpu_environment(1, 2, environment) == {"CUDA_VISIBLE_DEVICES": "GPU-a,7", "HIP_VISIBLE_DEVICES": "5,6"}


def test_without_gpus_nothing_is_said_of_them():
    assert gpu_environment(1, 0, {"CUDA_VISIBLE_DEVICES": "3"}) == {}


def test_more_than_the_environment_names_cannot_be_had():
    with pytest.raises(RainException, match="gpus to offer: 3, but CUDA_VISIBLE_DEVICES=3,4 names 2"):
        gpu_environment(2, 1, {"CUDA_VISIBLE_DEVICES": "3,4"})
