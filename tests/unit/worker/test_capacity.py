"""What a worker offers: its configuration, else what it may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rain.core.config import WorkerConfig
from rain.core.errors import RainException
from rain.core.resources import UNIT, Offer
from rain.worker.capacity import detect_memory, offer_of


def test_the_configuration_is_offered_in_units() -> None:
    config = WorkerConfig(cpus=3, gpus=1, memory_bytes=100, resources=(("license", 2), ("disk", 1)))
    assert offer_of(config) == Offer(3 * UNIT, UNIT, 100, (("disk", UNIT), ("license", 2 * UNIT)))


def test_without_numbers_it_is_what_the_process_may_use() -> None:
    offer = offer_of(WorkerConfig())
    assert UNIT <= offer.cpus <= len(os.sched_getaffinity(0)) * UNIT
    assert offer.memory_bytes > 0


@pytest.mark.parametrize("config", [WorkerConfig(cpus=0), WorkerConfig(cpus=1, resources=(("a", -1),))])
def test_amounts_that_make_no_sense_are_refused(config: WorkerConfig) -> None:
    with pytest.raises(RainException, match=r"at least one cpu|zero or more"):
        offer_of(config)


@pytest.mark.parametrize(
    ("resources", "complaint"),
    [((("cpus", 3),), "has an option of its own: --cpus"), ((("a", 1), ("a", 2)), "'a' is offered twice")],
)
def test_names_of_resources_that_no_task_could_mean_are_refused(
    resources: tuple[tuple[str, int], ...], complaint: str
) -> None:
    with pytest.raises(RainException, match=complaint):
        offer_of(WorkerConfig(cpus=1, resources=resources))


def test_no_more_gpus_are_offered_than_the_worker_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    assert offer_of(WorkerConfig(gpus=1)).gpus == UNIT
    with pytest.raises(RainException, match="gpus to offer: 2, but CUDA_VISIBLE_DEVICES=GPU-a names 1"):
        offer_of(WorkerConfig(gpus=2))


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_memory_is_cut_by_the_limit_of_the_control_group(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("123456789\n")
    assert detect_memory(tmp_path) == 123456789
    (tmp_path / name).write_text("max\n")
    assert detect_memory(tmp_path) == detect_memory(tmp_path / "none")
