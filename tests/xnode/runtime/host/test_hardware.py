"""What a host is said to have, read from files of hosts that are not this one, and from this one."""

from __future__ import annotations

import os
from pathlib import Path

from xnode.runtime.host.gpus import survey_gpus
from xnode.runtime.host.hardware import parse_cpuinfo, probe_hardware
from xnode.runtime.host.nvidia import read_nvidia

HOSTS = Path(__file__).parents[3] / "fixtures/hosts"


def test_host_with_eight_amd_gpus_and_two_epycs(tmp_path: Path) -> None:
    profile = probe_hardware(tmp_path, HOSTS / "epyc-mi300x")
    assert (profile.cpu_model, profile.cpu_cores, profile.cpu_threads) == ("AMD EPYC 9534 64-Core Processor", 128, 256)
    assert profile.memory_bytes == 2_377_752_652 * 1024
    assert (profile.architecture, profile.kernel, profile.cgroup_version) == ("x86_64", "5.15.0-116-generic", 2)
    assert profile.network_mbps == 200_000
    assert len(profile.gpus) == 8 and len({gpu.uuid for gpu in profile.gpus}) == 8
    first = profile.gpus[0]
    assert (first.vendor, first.model, first.memory_bytes) == ("amd", "AMD Instinct MI300X OAM", 206_141_652_992)
    assert first.driver == "6.7.8"
    assert survey_gpus(HOSTS / "epyc-mi300x").devices[:2] == ("amd.com/gpu=0", "amd.com/gpu=1")


def test_arm_host_without_core_ids_and_with_a_memory_limit_above_us(tmp_path: Path) -> None:
    profile = probe_hardware(tmp_path, HOSTS / "ampere-altra")
    assert (profile.cpu_model, profile.cpu_cores, profile.cpu_threads) == ("CPU 0x41 0xd0c", 80, 80)
    assert profile.memory_bytes == 64 << 30
    assert profile.gpus == () and profile.network_mbps == 0


def test_host_without_driver_has_no_nvidia_gpus() -> None:
    assert read_nvidia().found == () or Path("/proc/driver/nvidia").exists()


def test_this_host_is_read(tmp_path: Path) -> None:
    profile = probe_hardware(tmp_path)
    assert profile.cpu_threads == os.cpu_count() and profile.cpu_model
    assert 0 < profile.memory_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") + (1 << 30)
    assert profile.disk_bytes > 0 and profile.kernel == os.uname().release
    assert profile.architecture == os.uname().machine and profile.cgroup_version in (1, 2)


def test_empty_cpuinfo_gives_no_cores() -> None:
    assert parse_cpuinfo("") == ("CPU", 0, 0)
