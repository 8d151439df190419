"""Which of a host's GPUs are lent and why the others are not, over recorded hosts: their files, and their driver's answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

from tests.make.gpu_host import GpuHost
from xnode.runtime.host.gpus import Survey, survey_gpus

HOSTS = Path(__file__).parents[3] / "fixtures/hosts"
H200_BYTES = 150_754_820_096
COUNT = 8
LOST = {"error": pynvml.NVML_ERROR_GPU_IS_LOST}

Open = Callable[[str], GpuHost]


@pytest.fixture
def open_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A recorded host by name."""
    return lambda name: GpuHost(name, tmp_path / name, monkeypatch)


def places(survey: Survey) -> list[int]:
    """The places among the host's of the GPUs that are lent, by the UUID in the name of each."""
    return [int(device.removeprefix("nvidia.com/gpu=GPU-")[:8], 16) for device in survey.devices]


# -------------------------------------------------------------------------------------------------------------- NVIDIA


def test_whole_host_is_lent(open_host: Open) -> None:
    survey = survey_gpus(open_host("h200x8").root)
    assert places(survey) == list(range(COUNT)) and survey.faults == () and survey.shared_bytes == 0
    assert {(gpu.model, gpu.memory_bytes, gpu.driver) for gpu in survey.gpus} == {
        ("NVIDIA H200", H200_BYTES, "570.86.15")
    }


@pytest.mark.parametrize("answer", ["handle", "memory", "uuid", "name", "mig", "virtual", "minor", "compute"])
def test_lost_gpu_hides_no_other_and_shifts_none(open_host: Open, answer: str) -> None:
    host = open_host("h200x8")
    host.nvml["devices"][3][answer] = LOST["error"] if answer == "handle" else LOST
    survey = survey_gpus(host.root)
    assert places(survey) == [0, 1, 2, 4, 5, 6, 7]
    assert [gpu.uuid for gpu in survey.gpus] == [name.partition("=")[2] for name in survey.devices]
    (fault,) = survey.faults
    assert fault.startswith("NVIDIA GPU 3: GPU is lost; ") and "restart" in fault


def test_gpu_that_the_driver_does_not_count_is_said_and_the_others_keep_their_names(open_host: Open) -> None:
    host = open_host("h200x8")
    del host.nvml["devices"][3]
    survey = survey_gpus(host.root)
    assert places(survey) == [0, 1, 2, 4, 5, 6, 7], "though the driver numbers them from 0 to 6 now"
    assert len(survey.faults) == 1 and "1 of 8 NVIDIA GPUs are lost to the driver" in survey.faults[0]


def test_divided_gpu_is_not_lent_whole(open_host: Open) -> None:
    survey = survey_gpus(open_host("a100-mig").root)
    assert places(survey) == [1] and survey.gpus[0].model == "NVIDIA A100-SXM4-80GB"
    assert survey.faults == ("NVIDIA GPU 0 is divided by MIG; `nvidia-smi -i 0 -mig 0` makes it whole",)


def test_a_virtual_gpu_is_lent_as_what_it_is(open_host: Open) -> None:
    host = open_host("l40s-vgpu-guest")
    survey = survey_gpus(host.root)
    assert (survey.gpus[0].model, survey.gpus[0].memory_bytes) == ("NVIDIA L40S-24C", 24 << 30)
    host.nvml["devices"][0]["name"] = "NVIDIA L40S-2B"
    survey = survey_gpus(host.root)
    assert survey.gpus == () and "a vGPU for graphics only (NVIDIA L40S-2B)" in survey.faults[0]


def test_a_gpu_that_is_shared_out_to_virtual_machines_is_not_lent(open_host: Open) -> None:
    survey = survey_gpus(open_host("l40s-vgpu-host").root)
    assert survey.gpus == () and len(survey.faults) == 2
    assert survey.faults[0] == "NVIDIA GPU 0 is shared out to virtual machines by this host (vGPU)"


def test_a_gpu_that_may_not_compute_is_not_lent(open_host: Open) -> None:
    host = open_host("l40s-vgpu-guest")
    host.nvml["devices"][0]["compute"] = pynvml.NVML_COMPUTEMODE_PROHIBITED
    assert survey_gpus(host.root).faults == ("NVIDIA GPU 0 is forbidden to compute; `nvidia-smi -i 0 -c 0` allows it",)


@pytest.mark.parametrize("memory", [{"error": pynvml.NVML_ERROR_NOT_SUPPORTED}, 0])
def test_gpu_without_memory_of_its_own_offers_half_of_the_hosts(open_host: Open, memory: object) -> None:
    host = open_host("gb10")
    host.nvml["devices"][0]["memory"] = memory
    survey = survey_gpus(host.root)
    (gpu,) = survey.gpus
    assert gpu.model == "NVIDIA GB10" and gpu.memory_bytes == survey.shared_bytes == 125_512_704 * 1024 // 2


def test_a_driver_that_knows_nothing_of_dividing_lends_all(open_host: Open) -> None:
    host = open_host("h200x8")
    host.nvml["unknown"] = ["nvmlDeviceGetMigMode", "nvmlDeviceGetVirtualizationMode"]
    assert len(survey_gpus(host.root).gpus) == COUNT


def test_names_as_bytes_are_text(open_host: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    host = open_host("h200x8")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda _device: b"NVIDIA H200")
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: b"570")
    gpu = survey_gpus(host.root).gpus[0]
    assert (gpu.model, gpu.driver) == ("NVIDIA H200", "570")


def test_driver_that_does_not_answer_is_said_where_there_are_gpus(open_host: Open, tmp_path: Path) -> None:
    host = open_host("h200x8")
    host.nvml["init"] = pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    (fault,) = survey_gpus(host.root).faults
    assert "does not answer" in fault and "restart the host" in fault
    host.nvml |= {"init": 0, "driver": {"error": pynvml.NVML_ERROR_UNKNOWN}}
    assert survey_gpus(host.root).gpus == () and len(survey_gpus(host.root).faults) == 1
    host.nvml["init"] = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    (tmp_path / "none").mkdir()
    assert survey_gpus(tmp_path / "none") == Survey(), "a host without its driver has none, and that is an answer"


# ------------------------------------------------------------------------------------------------------------------ CDI


def test_without_a_specification_nothing_is_lent_and_what_writes_it_is_said(open_host: Open) -> None:
    host = open_host("h200x8")
    host.remove("etc/cdi/nvidia.yaml")
    survey = survey_gpus(host.root)
    assert survey.gpus == () and survey.devices == ()
    (fault,) = survey.faults
    assert fault.startswith("no GPU is in a CDI specification") and "nvidia-ctk cdi generate" in fault


def test_a_specification_from_before_an_update_is_said(open_host: Open) -> None:
    host = open_host("gb10")
    host.remove("usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05")
    survey = survey_gpus(host.root)
    assert survey.gpus == ()
    assert "libcuda.so.580.95.05, which is not there; run `nvidia-ctk cdi generate" in survey.faults[0]


def test_a_specification_without_uuids_names_by_number_unless_its_files_are_anothers(open_host: Open) -> None:
    host = open_host("h200x8")
    devices = "".join(
        f'- name: "{name}"\n  containerEdits:\n    deviceNodes: [{{path: /dev/nvidia{minor}}}]\n'
        for name, minor in ((0, 0), (1, 7), (2, 2), (7, 1))
    )
    host.write("etc/cdi/nvidia.yaml", f"cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n{devices}")
    survey = survey_gpus(host.root)
    lent = [int(gpu.uuid[4:12], 16) for gpu in survey.gpus]
    assert dict(zip(lent, survey.devices, strict=True)) == {
        0: "nvidia.com/gpu=0",
        1: "nvidia.com/gpu=7",
        2: "nvidia.com/gpu=2",
        7: "nvidia.com/gpu=1",
    }
    assert survey.faults[0].startswith("4 of 8 GPUs are in no CDI specification")


@pytest.mark.parametrize("text", ["", "[", "kind: [", "devices: 7", "devices: [7, {}]", "\x00"])
def test_a_broken_specification_is_none(open_host: Open, text: str) -> None:
    host = open_host("gb10")
    host.write("etc/cdi/nvidia.yaml", text)
    assert "no GPU is in a CDI specification" in survey_gpus(host.root).faults[0]


# ------------------------------------------------------------------------------------------------------------------ AMD


def test_the_processors_own_graphics_are_not_lent_beside_a_card(open_host: Open) -> None:
    host = open_host("radeon-and-built-in")
    survey = survey_gpus(host.root)
    assert survey.devices == ("amd.com/gpu=0",) and survey.gpus[0].memory_bytes == 25_753_026_560
    assert survey.faults == ("AMD GPU 1 (card1) is built into the processor and works in the host's memory",)
    host.remove("sys/class/drm/card1/device/gpu_metrics")
    assert "AMD GPU 1 (card1) has only 512 MiB of memory of its own" in survey_gpus(host.root).faults


def test_a_card_divided_into_partitions_is_not_lent_as_a_whole_one(open_host: Open) -> None:
    survey = survey_gpus(open_host("mi300x-cpx").root)
    assert survey.devices == ("amd.com/gpu=8",), "by its render node: AMD's tools number each partition"
    assert survey.gpus[0].model == "AMD Instinct MI300X OAM"
    (fault,) = survey.faults
    assert fault.startswith("AMD GPU 0 (card1) is divided into CPX partitions; `amd-smi set --gpu 0")


def test_amd_gpu_without_memory_hides_no_other_and_keeps_its_number(tmp_path: Path) -> None:
    host = Path(shutil.copytree(HOSTS / "epyc-mi300x", tmp_path / "host", symlinks=True))
    (host / "sys/class/drm/card2/device/mem_info_vram_total").write_text("0\n")
    survey = survey_gpus(host)
    assert len(survey.gpus) == 7 and survey.devices[:3] == ("amd.com/gpu=0", "amd.com/gpu=2", "amd.com/gpu=3")
    assert survey.faults == ("AMD GPU 1 (card2) reports no memory",)


# ---------------------------------------------------------------------------------------------------------------- mixed


def test_one_model_is_lent_and_every_other_card_has_its_reason(open_host: Open) -> None:
    survey = survey_gpus(open_host("mixed-vendors").root)
    assert [gpu.model for gpu in survey.gpus] == ["AMD Instinct MI210"] and survey.devices == ("amd.com/gpu=0",)
    assert survey.faults == (
        "1 × NVIDIA RTX A4000 beside 1 × AMD Instinct MI210: an offer names one model of GPU",
        "NVIDIA GPU at 0000:c1:00.0 is set aside for a virtual machine (vfio-pci)",
        "NVIDIA GPU at 0000:c2:00.0 has the driver nouveau; load nvidia, the driver that computes",
        "Intel GPU at 0000:e1:00.0 cannot be lent: only NVIDIA's and AMD's can",
    )
