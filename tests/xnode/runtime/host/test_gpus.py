"""Which of a host's GPUs are lent, when its driver says odd things of some: with a library that answers as recorded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from xnode.runtime.host.gpus import Survey, read_nvml, survey_gpus

HOSTS = Path(__file__).parents[3] / "fixtures/hosts"
H200_BYTES = 150_754_820_096
COUNT = 8


def fails(code: int) -> Callable[..., Any]:
    """A call that the driver refuses with this code."""

    def call(*_args: Any) -> Any:
        raise pynvml.NVMLError(code)

    return call


def only(device: int, call: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    """One call for one device, another for the rest."""
    return lambda number: call(number) if number == device else other(number)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A host with eight H200; gives a function that changes what its driver answers."""

    def change(**answers: Callable[..., Any]) -> None:
        for name, answer in answers.items():
            monkeypatch.setattr(pynvml, f"nvml{name}", answer)

    change(
        Init=lambda: None,
        Shutdown=lambda: None,
        SystemGetDriverVersion=lambda: "570.86.15",
        DeviceGetCount=lambda: COUNT,
        DeviceGetHandleByIndex=lambda index: index,
        DeviceGetName=lambda _device: "NVIDIA H200",
        DeviceGetUUID=lambda device: f"GPU-{device}",
        DeviceGetMemoryInfo=lambda _device: SimpleNamespace(total=H200_BYTES),
        DeviceGetMigMode=fails(pynvml.NVML_ERROR_NOT_SUPPORTED),
    )
    yield change


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The driver's own list of its eight GPUs."""
    for number in range(COUNT):
        (tmp_path / f"0000:{number:02x}:00.0").mkdir()
    return tmp_path


def names(survey: Survey) -> list[int]:
    """The numbers in the names of the devices."""
    return [int(device.removeprefix("nvidia.com/gpu=")) for device in survey.devices]


def test_whole_host_is_lent(driver: Callable[..., None], folder: Path) -> None:
    survey = read_nvml(folder)
    assert names(survey) == list(range(COUNT)) and survey.faults == ()
    assert {(gpu.model, gpu.memory_bytes, gpu.driver) for gpu in survey.gpus} == {
        ("NVIDIA H200", H200_BYTES, "570.86.15")
    }


@pytest.mark.parametrize("call", ["DeviceGetHandleByIndex", "DeviceGetMemoryInfo", "DeviceGetUUID", "DeviceGetName"])
def test_lost_gpu_hides_no_other_and_keeps_its_number(driver: Callable[..., None], folder: Path, call: str) -> None:
    answer = getattr(pynvml, f"nvml{call}")
    driver(**{call: only(3, fails(pynvml.NVML_ERROR_GPU_IS_LOST), answer)})
    survey = read_nvml(folder)
    assert names(survey) == [0, 1, 2, 4, 5, 6, 7]
    assert [gpu.uuid for gpu in survey.gpus] == [f"GPU-{number}" for number in names(survey)]
    assert survey.faults == ("NVIDIA GPU 3: GPU is lost",)


def test_gpu_that_the_driver_does_not_count_is_said(driver: Callable[..., None], folder: Path) -> None:
    driver(DeviceGetCount=lambda: COUNT - 1)
    survey = read_nvml(folder)
    assert len(survey.gpus) == 7 and survey.faults == ("1 of 8 NVIDIA GPUs are lost to the driver",)


def test_divided_gpu_is_not_lent_whole(driver: Callable[..., None], folder: Path) -> None:
    driver(DeviceGetMigMode=lambda device: (int(device == 5), 1))
    survey = read_nvml(folder)
    assert names(survey) == [0, 1, 2, 3, 4, 6, 7]
    assert survey.faults == ("NVIDIA GPU 5 is divided by MIG; `nvidia-smi -i 5 -mig 0` makes it whole",)


def test_gpu_without_memory_of_its_own_offers_half_of_the_hosts(driver: Callable[..., None], folder: Path) -> None:
    driver(DeviceGetMemoryInfo=fails(pynvml.NVML_ERROR_NOT_SUPPORTED), DeviceGetCount=lambda: 1)
    (gpu,) = read_nvml(folder).gpus
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert gpu.memory_bytes == pytest.approx(total / 2, rel=0.01)


def test_names_as_bytes_are_text(driver: Callable[..., None], folder: Path) -> None:
    driver(DeviceGetName=lambda _device: b"NVIDIA H200", DeviceGetUUID=lambda _device: b"GPU-x")
    driver(SystemGetDriverVersion=lambda: b"570")
    gpu = read_nvml(folder).gpus[0]
    assert (gpu.model, gpu.uuid, gpu.driver) == ("NVIDIA H200", "GPU-x", "570")


def test_driver_that_does_not_answer_is_said_where_there_are_gpus(
    driver: Callable[..., None], folder: Path, tmp_path: Path
) -> None:
    driver(Init=fails(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    (fault,) = read_nvml(folder).faults
    assert "does not answer" in fault and "restart the host" in fault
    driver(Init=fails(pynvml.NVML_ERROR_DRIVER_NOT_LOADED))
    assert read_nvml(tmp_path / "no-driver") == Survey()
    driver(Init=lambda: None, DeviceGetCount=fails(pynvml.NVML_ERROR_UNKNOWN))
    assert read_nvml(folder).gpus == () and len(read_nvml(folder).faults) == 1


def test_amd_gpu_without_memory_hides_no_other_and_keeps_its_number(tmp_path: Path) -> None:
    host = Path(shutil.copytree(HOSTS / "epyc-mi300x", tmp_path / "host", symlinks=True))
    (host / "sys/class/drm/card2/device/mem_info_vram_total").write_text("0\n")
    survey = survey_gpus(host, Survey)
    assert len(survey.gpus) == 7 and survey.devices[:3] == ("amd.com/gpu=0", "amd.com/gpu=2", "amd.com/gpu=3")
    assert survey.faults == ("AMD GPU 1 (card2) reports no memory",)
