"""GPUs that are lent and go: lost is only what its driver answers without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pynvml
import pytest

from tests.make.gpu_host import GpuHost
from xnode.errors import Permanent
from xnode.runtime.host import gpu_watch
from xnode.runtime.host.gpu_watch import GpuWatch
from xnode.runtime.host.gpus import Survey, survey_gpus


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GpuHost:
    monkeypatch.setattr(gpu_watch, "FRESH_S", -1)
    return GpuHost("h200x8", tmp_path / "host", monkeypatch)


def watch(host: GpuHost, count: int = 8) -> GpuWatch:
    return GpuWatch(survey_gpus(host.root), count, lambda: survey_gpus(host.root))


def test_a_gpu_that_is_lost_is_named_with_its_reason_and_the_others_stay(host: GpuHost) -> None:
    lent = watch(host)
    assert (lent.look().available, lent.look().lost, lent.faults) == (8, {}, ())
    host.nvml["devices"][3]["memory"] = {"error": pynvml.NVML_ERROR_GPU_IS_LOST}
    found = lent.look()
    assert found.available == 7 and list(found.lost) == [lent.devices[3]]
    assert "NVIDIA GPU 3: GPU is lost" in found.lost[lent.devices[3]] and lent.faults == found.faults
    assert lent.find_lost(lent.devices[:3]) == "" and "is lost" in lent.find_lost(lent.devices[2:4])
    host.nvml["devices"][3]["memory"] = 150_754_820_096
    assert lent.look().available == 8 and lent.find_lost(lent.devices) == "", "a reset has brought it back"


@pytest.mark.parametrize(
    "change",
    [
        {"init": pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH},
        {"init": pynvml.NVML_ERROR_TIMEOUT},
        {"driver": {"error": pynvml.NVML_ERROR_UNKNOWN}},
    ],
    ids=["the library was updated", "no answer", "an odd answer"],
)
def test_a_driver_that_does_not_answer_ends_no_lease_but_nothing_new_is_lent(host: GpuHost, change: Any) -> None:
    lent = watch(host)
    host.nvml |= change
    found = lent.look()
    assert (found.available, found.lost) == (0, {}) and len(found.faults) == 1


def test_what_works_and_cannot_be_lent_any_more_ends_no_lease(host: GpuHost) -> None:
    lent = watch(host)
    host.remove("etc/cdi/nvidia.yaml")
    host.nvml["devices"][1]["compute"] = pynvml.NVML_COMPUTEMODE_PROHIBITED
    assert (lent.look().available, lent.look().lost) == (0, {})


def test_only_what_is_lent_is_watched(host: GpuHost) -> None:
    lent = watch(host, count=2)
    host.nvml["devices"][3]["memory"] = {"error": pynvml.NVML_ERROR_GPU_IS_LOST}
    assert (lent.look().available, lent.look().lost, len(lent.devices)) == (2, {}, 2)
    assert len(lent.faults) == 1, "the fault is told all the same"


def test_a_library_that_was_uninstalled_meanwhile_says_nothing_of_the_gpus(host: GpuHost) -> None:
    def fail() -> Survey:
        raise Permanent("a host with NVIDIA GPUs needs pynvml, which is not installed")

    lent = GpuWatch(survey_gpus(host.root), 8, fail)
    assert (lent.look().available, lent.look().lost) == (0, {})
    assert "pynvml" in lent.faults[0]


def test_one_look_serves_all_who_ask_within_a_moment(host: GpuHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_watch, "FRESH_S", 60)
    looks: list[int] = []

    def read() -> Survey:
        looks.append(1)
        return survey_gpus(host.root)

    lent = GpuWatch(survey_gpus(host.root), 8, read)
    for device in lent.devices:
        assert lent.find_lost((device,)) == ""
    assert len(looks) == 1
