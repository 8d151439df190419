"""What a host is found to have, over files of hosts that are not this one, and over this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xnode.runtime.host import facts
from xnode.runtime.host.facts import CAP_SYS_ADMIN, choose_runtime, read_cpus, read_disk, read_facts
from xnode.runtime.host.gpus import Survey

HOSTS = Path(__file__).parents[3] / "fixtures/hosts"
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"
V1 = "".join(f"cgroup /sys/fs/cgroup/{name} cgroup rw,{name} 0 0\n" for name in ("cpu", "cpuacct", "memory", "pids"))


def write(root: Path, **files: str) -> Path:
    """Files below the root; a_b__c is a_b/c."""
    for name, text in files.items():
        place = root / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root


def make_root(root: Path, mounts: str = V2, cgroup: str = "0::/system.slice/xnode.service\n") -> Path:
    return write(
        root,
        proc__meminfo="MemTotal: 1048576 kB\n",
        proc__self__mounts=mounts,
        proc__self__cgroup=cgroup,
        proc__self__status="Name:\tx\nCapEff:\t00000000a80425fb\n",
        proc__self__uid_map="         0     100000      65536\n",
        proc__filesystems="nodev\tproc\n\text4\nnodev\toverlay\n",
    )


def test_this_host_is_read(tmp_path: Path) -> None:
    found = read_facts(tmp_path / "not/made/yet", "crun", Survey())
    assert found.uid == os.geteuid() and 0 < found.cpus <= (os.cpu_count() or 0)
    assert found.disk.path == str(tmp_path) and found.disk.total_bytes >= found.disk.free_bytes > 0
    assert found.memory_bytes > 1 << 28 and found.cgroup_version in (0, 1, 2)
    assert {"ext4", "proc"} & found.file_systems and found.uids > 0


def test_a_containers_root_is_known_by_what_it_may_do(tmp_path: Path) -> None:
    found = read_facts(tmp_path, "crun", Survey(), make_root(tmp_path / "root"))
    assert not found.has_capability(CAP_SYS_ADMIN) and found.has_capability(0)
    assert found.uids == 65_536 and found.file_systems == {"proc", "ext4", "overlay"}
    assert (found.has_loop, found.has_modules, found.inotify_instances) == (False, False, 0)


@pytest.mark.parametrize(
    ("mounts", "controllers", "version", "missing", "read_only"),
    [
        (V2, "cpuset cpu io memory pids", 2, (), ""),
        (V2, "cpu pids", 2, ("memory",), ""),
        (V2.replace("rw,", "ro,"), "cpu memory pids", 2, (), "/sys/fs/cgroup"),
        (V1, "", 1, (), ""),
        (V1.replace(" rw,cpuacct", " rw,other"), "", 1, ("cpuacct",), ""),
        ("proc /proc proc rw 0 0\n", "", 0, (), ""),
    ],
)
def test_cgroups_are_what_is_mounted(
    tmp_path: Path, mounts: str, controllers: str, version: int, missing: tuple[str, ...], read_only: str
) -> None:
    root = make_root(tmp_path / "root", mounts)
    if controllers:
        (root / "sys/fs/cgroup").mkdir(parents=True)
        (root / "sys/fs/cgroup/cgroup.controllers").write_text(controllers)
    found = read_facts(tmp_path, "crun", Survey(), root)
    assert (found.cgroup_version, found.cgroup_missing, found.cgroup_read_only) == (version, missing, read_only)


def test_a_hierarchy_without_a_mount_is_named(tmp_path: Path) -> None:
    own = "4:cpu:/\n3:memory:/\n2:hugetlb:/\n0::/\n"
    found = read_facts(tmp_path, "crun", Survey(), make_root(tmp_path / "root", V1, own))
    assert found.cgroup_unmounted == ("hugetlb",)


def test_the_cpus_are_those_that_the_cgroups_above_let_us_have(tmp_path: Path) -> None:
    root = make_root(tmp_path / "v2")
    slice_ = root / "sys/fs/cgroup/system.slice"
    (slice_ / "xnode.service").mkdir(parents=True)
    (slice_ / "xnode.service/cpu.max").write_text("max 100000\n")
    assert read_cpus(root) == len(os.sched_getaffinity(0))
    (slice_ / "cpu.max").write_text("50000 100000\n")
    assert read_cpus(root) == 0.5
    root = make_root(tmp_path / "v1", V1, "4:cpu,cpuacct:/a\n")
    (root / "sys/fs/cgroup/cpu/a").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu/a/cpu.cfs_period_us").write_text("100000\n")
    (root / "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us").write_text("-1\n")
    assert read_cpus(root) == len(os.sched_getaffinity(0))
    (root / "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us").write_text("25000\n")
    assert read_cpus(root) == 0.25


def test_a_disk_is_known_by_the_mount_that_is_seen_and_by_what_leases_hold_of_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    image = data / "engine/host/leases/ab/disk.img"
    image.parent.mkdir(parents=True)
    with image.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 20)
    mounts = f"/dev/a / ext4 rw 0 0\noverlay {tmp_path} overlay rw 0 0\ntmpfs {data} tmpfs rw 0 0\n/dev/b {data} xfs rw 0 0\n"
    root = make_root(tmp_path / "root", mounts)
    disk = read_disk(data, root)
    assert (disk.kind, disk.path) == ("xfs", str(data)) and 1 << 20 <= disk.held_bytes < 2 << 20
    assert read_disk(tmp_path / "other", root).kind == "overlay" and read_disk(Path("/nowhere"), root).kind == "ext4"


def test_a_runtime_is_one_that_is_there_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = write(
        tmp_path, bin__mine="#!/bin/sh\necho mine version 7\n", bin__broken="#!/bin/sh\necho no >&2; exit 3\n"
    )
    for name in ("mine", "broken"):
        (program / "bin" / name).chmod(0o755)
    found = read_facts(tmp_path, str(tmp_path / "bin/mine"), Survey())
    assert (found.runtime_version, found.runtime_fault) == ("mine version 7", "")
    assert read_facts(tmp_path, str(tmp_path / "bin/broken"), Survey()).runtime_fault == "no"
    assert choose_runtime("no-such-runtime") == "" and read_facts(tmp_path, "no-such-runtime", Survey()).runtime == ""
    monkeypatch.setattr(facts, "_find", lambda name: "/usr/bin/runc" if name == "runc" else "")
    assert (choose_runtime("crun"), choose_runtime("runsc")) == ("runc", "")
