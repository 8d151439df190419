"""Whether a host can serve what is offered of it: judged from what was found, on hosts that lack one thing each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scheduler.offer import Gpu
from xnode.errors import Permanent
from xnode.runtime.host import check
from xnode.runtime.host.check import check_host
from xnode.runtime.host.facts import PROGRAMS, DiskFacts, HostFacts
from xnode.runtime.host.fitness import Finding, Wanted, judge_cgroups, judge_host
from xnode.runtime.host.gpus import Survey

GIB = 1 << 30
ALL = (1 << 41) - 1
NO_RESOURCE = ALL & ~(1 << 24)
H200 = Gpu("nvidia", "NVIDIA H200", 141 * GIB, "570", "GPU-0")
THERE = dict.fromkeys(PROGRAMS, "/usr/bin/it")
DISK = DiskFacts("/data", 1000 * GIB, 500 * GIB, 100 * GIB, "ext4")

GOOD = HostFacts(
    uid=0,
    capabilities=ALL,
    cpus=64,
    memory_bytes=512 * GIB,
    disk=DISK,
    gpus=Survey((H200,) * 8, tuple(f"nvidia.com/gpu={number}" for number in range(8))),
    uids=4_294_967_295,
    max_files=1_048_576,
    max_processes=2_000_000,
    inotify_instances=1024,
    user_namespaces=2_000_000,
    programs=THERE,
    runtime="crun",
    runtimes=("crun", "runc"),
    runtime_version="crun version 1.8.1",
    runtime_fault="",
    podman_version="4.3.1",
    cgroup_version=2,
    file_systems=frozenset({"ext4", "overlay"}),
    is_clock_synchronized=True,
    manager="apt",
)
WANTED = Wanted(63, 384 * GIB, 500 * GIB, 8, "crun", True, 20_000, 8_192)


def judge(wanted: Wanted = WANTED, **changes: Any) -> list[Finding]:
    """What is not well with the host that was changed so."""
    return [one for one in judge_host(replace(GOOD, **changes), wanted) if one.verdict != "ok"]


def test_nothing_is_said_against_a_host_that_has_all() -> None:
    assert judge() == []
    assert {one.what for one in judge_host(GOOD, WANTED)} == {"user", "podman", "runtime", "cgroup", "share", "gpus"}


FAULTS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "another user": ({"uid": 1000}, "fail", "user 1000 is not root", "as root"),
    "a container's root": ({"capabilities": 0xA80425FB}, "fail", "root without CAP_SYS_ADMIN", "--privileged"),
    "no podman": ({"programs": THERE | {"podman": ""}}, "fail", "podman is not installed", "apt install podman"),
    "no conmon": ({"programs": THERE | {"conmon": ""}}, "fail", "conmon is not installed", "apt install"),
    "no nft": ({"programs": THERE | {"nft": ""}}, "fail", "provider.allow_network needs", "nftables"),
    "no mkfs": ({"programs": THERE | {"mkfs.ext4": ""}}, "fail", "mkfs.ext4 is not", "e2fsprogs"),
    "a broken podman": ({"podman_version": "exec format error"}, "fail", "does not run: exec format", "podman info"),
    "an old podman": ({"podman_version": "3.4.7"}, "fail", "3.4.7 is too old", "podman 4"),
    "no runtime": ({"runtime": "", "runtimes": ("runc",)}, "fail", "crun, the oci_runtime, is not", "one that is: runc"),
    "a broken runtime": ({"runtime_fault": "no such library"}, "fail", "crun does not work: no such", "install it anew"),
    "another runtime": ({"runtime": "runc"}, "warn", "crun is not installed, and runc is used", "oci_runtime"),
    "no cgroups": ({"cgroup_version": 0}, "fail", "none is mounted", "mount cgroup2"),
    "v2, not delegated": ({"cgroup_missing": ("memory",)}, "fail", "version 2 without memory", "delegate"),
    "v1, not mounted": (
        {"cgroup_version": 1, "cgroup_missing": ("cpuacct", "pids")}, "fail", "version 1 without cpuacct, pids", "v2",
    ),
    "read-only cgroups": ({"cgroup_read_only": "/sys/fs/cgroup"}, "fail", "mounted read-only at /sys/fs", "writable"),
    "no overlay": ({"file_systems": frozenset({"ext4"}), "has_modules": False}, "fail", "no overlay file system", "boot"),
    "no loop": ({"has_loop": False}, "fail", "no /dev/loop-control", "modprobe loop"),
    "no user namespaces": ({"user_namespaces": 0}, "fail", "user.max_user_namespaces is 0", "sysctl -w user"),
    "few user ids": ({"uids": 65_536}, "fail", "only user ids below 65536 are ours", "user namespace"),
    "fewer CPUs": ({"cpus": 2}, "fail", "share.vcpus is 63, this host has 2", "at most 2"),
    "half a CPU": ({"cpus": 0.5}, "fail", "share.vcpus is 63, this host has 0.5", "at most 0.5"),
    "less memory": ({"memory_bytes": 8 * GIB}, "fail", "share.memory is 384 GiB, this host has 8 GiB", "at most 6GiB"),
    "a smaller disk": (
        {"disk": DiskFacts("/data", 100 * GIB, 50 * GIB)}, "fail",
        "share.disk is 500 GiB, the disk at /data has 50 GiB for leases, of 100 GiB in all", "at most 25GiB",
    ),
    "a container's layers": ({"disk": replace(DISK, kind="overlay")}, "fail", "a container's own layers", "data_dir"),
    "a disk in memory": ({"disk": replace(DISK, kind="tmpfs")}, "warn", "lies in memory", "data_dir"),
    "few files": ({"max_files": 1024}, "fail", "nofile is limited to 1024, 4544 are needed", "ulimit -Hn 4544"),
    "few files to give": (
        {"max_files": 8192, "capabilities": NO_RESOURCE}, "fail", "nofile is limited to 8192, 20000", "LimitNOFILE=20000",
    ),
    "few processes to give": (
        {"max_processes": 4096, "capabilities": NO_RESOURCE}, "fail", "nproc is limited to 4096, 8192", "LimitNPROC",
    ),
    "few inotify instances": ({"inotify_instances": 128}, "warn", "is 128, 252 leases may need 520", "sysctl -w fs.ino"),
    "no GPU": ({"gpus": Survey()}, "fail", "share.gpus is 8, 0 can be lent", "set share.gpus to 0"),
    "a clock of its own": ({"is_clock_synchronized": False}, "warn", "nothing keeps it right", "set-ntp"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_host_lacks_is_one_line_with_what_to_do(name: str) -> None:
    changes, verdict, words, remedy = FAULTS[name]
    (found,) = judge(**changes)
    assert found.verdict == verdict and words in found.detail and remedy in found.hint
    assert "\n" not in found.detail + found.hint


def test_what_is_well_all_the_same_is_not_said_against_it() -> None:
    assert judge(file_systems=frozenset(), has_modules=True) == [], "modules are loaded when they are first used"
    assert judge(max_files=8192) == [], "root raises a workload's limit above its own"
    assert judge(replace(WANTED, network=False), programs=THERE | {"ip": "", "nft": ""}) == []
    assert judge(is_clock_synchronized=None) == [], "not known is not wrong"
    assert judge(disk=replace(DISK, free_bytes=400 * GIB)) == [], "what our own leases hold is part of the share"
    unmounted = replace(GOOD, cgroup_version=1, cgroup_unmounted=("hugetlb",))
    (mounted,) = judge_cgroups(unmounted)
    assert mounted.verdict == "ok" and "the daemon mounts hugetlb" in mounted.detail


def test_a_gpu_that_is_not_lent_is_said_and_fails_only_where_it_is_missed() -> None:
    lost = Survey((H200,) * 7, ("x",) * 7, ("NVIDIA GPU 3: GPU is lost; restart the host",))
    fault, short = judge(gpus=lost)
    assert (fault.verdict, fault.detail, fault.hint) == ("warn", "NVIDIA GPU 3: GPU is lost", "restart the host")
    assert (short.verdict, short.detail) == ("fail", "share.gpus is 8, 7 can be lent")
    assert short.hint == "bring the others back, or set share.gpus to 7 in config.toml"
    seven = replace(WANTED, gpus=7)
    assert [one.verdict for one in judge(seven, gpus=lost)] == ["warn"]
    built_in = Survey((H200,) * 8, ("x",) * 8, ("AMD GPU 1 (card1) is built into the processor",))
    assert judge(gpus=built_in) == []


def test_what_gpus_take_of_the_hosts_memory_is_not_offered_twice() -> None:
    unified = Survey((H200,), ("x",), shared_bytes=200 * GIB)
    (found,) = judge(replace(WANTED, gpus=1), gpus=unified)
    assert found.detail == "share.memory is 384 GiB, this host has 312 GiB, beside the GPUs' part of it"


def test_a_start_is_refused_with_all_that_is_to_be_mended_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    found = replace(GOOD, cpus=2, runtime="", is_clock_synchronized=False)
    monkeypatch.setattr(check, "read_facts", lambda *_: found)
    with pytest.raises(Permanent) as caught:
        check_host(tmp_path, WANTED, GOOD.gpus)
    lines = caught.value.message.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["runtime", "hint", "share", "hint"]
    monkeypatch.setattr(check, "read_facts", lambda *_: replace(GOOD, is_clock_synchronized=False))
    (warning,) = check_host(tmp_path, WANTED, GOOD.gpus)
    assert warning.what == "clock"


def test_one_lost_gpu_does_not_keep_the_others_from_being_lent(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    seven = Survey((H200,) * 7, ("x",) * 7, ("NVIDIA GPU 3: GPU is lost; restart the host",))
    monkeypatch.setattr(check, "read_facts", lambda *_: replace(GOOD, gpus=seven))
    assert [one.what for one in check_host(tmp_path, WANTED, seven)] == ["gpus", "gpus"]
    monkeypatch.setattr(check, "read_facts", lambda *_: replace(GOOD, gpus=Survey()))
    with pytest.raises(Permanent, match=r"share.gpus is 8, 0 can be lent"):
        check_host(tmp_path, WANTED, Survey())
