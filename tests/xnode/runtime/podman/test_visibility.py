"""What a workload can learn of this host and of the others on it: a probe in a real container beside another one."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.xnode.runtime.conftest import Bench

pytestmark = pytest.mark.engine

DISKS = tuple(sorted(path.name for path in Path("/sys/block").iterdir()))
RESOLVERS = tuple(line for line in Path("/etc/resolv.conf").read_text().splitlines() if line.startswith("nameserver"))
"""What this host has, and no workload is to see."""


async def run_beside_another(bench: Bench, script: str) -> str:
    """What a script says while another lease with a disk of its own runs."""
    other = bench.spec("echo up; sleep 60")
    await bench.engine.start(other)
    await bench.wait_line(other.lease_id, "up")
    _, log = await bench.run(script)
    assert other.lease_id.hex()[:16] not in log
    return log


async def test_disks_of_the_others_are_not_to_be_found(bench: Bench) -> None:
    assert any(name.startswith("loop") for name in DISKS), "this test needs a host with loop devices"
    script = """
        find /sys /proc -xdev -name 'loop[0-9]*' 2>/dev/null
        for f in diskstats partitions swaps locks; do cat /proc/$f; done"""
    log = await run_beside_another(bench, script)
    assert log == ""


async def test_real_disks_of_the_host_are_not_to_be_found(bench: Bench) -> None:
    disks = [name for name in DISKS if not name.startswith(("loop", "ram", "zram", "dm-"))]
    names = " -o ".join(f"-name {name}" for name in disks) or "-name no-disk"
    log = await run_beside_another(bench, f"find /sys /proc/fs \\( {names} \\) 2>/dev/null")
    assert log == ""


async def test_cgroups_show_only_the_workloads_own(bench: Bench) -> None:
    script = (
        "cat /proc/self/cgroup; find /sys/fs/cgroup -type d | grep -c libpod; find /sys/fs/cgroup -type d | grep xnode"
    )
    lines = (await run_beside_another(bench, script)).splitlines()
    assert {line.split(":", 2)[2] for line in lines if ":" in line} == {"/"}
    assert lines[-1] == "0" and bench.engine.scope not in "\n".join(lines)


async def test_host_is_not_named(bench: Bench) -> None:
    """Its name and resolvers; and of the processes only one's own."""
    script = (
        "hostname; uname -n; cat /etc/hostname /etc/hosts /etc/resolv.conf /proc/sys/kernel/hostname; env; ps -o pid"
    )
    log = await run_beside_another(bench, script)
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", log)
    assert not any(line in log for line in RESOLVERS)
    assert all(int(word) < 100 for word in log.split() if word.isdigit())


async def test_kernels_own_tables_read_as_empty(bench: Bench) -> None:
    files = "timer_list sched_debug keys key-users kcore interrupts softirqs schedstat"
    script = f"""
        for f in {files}; do [ -e /proc/$f ] && head -c 100 /proc/$f; done
        for d in debug tracing slab security; do ls /sys/kernel/$d; done 2>/dev/null
        ls /sys/fs | grep -vE '^(cgroup|bpf|fuse|btrfs|erofs|ext4|pstore|tmpfs|xfs|f2fs|selinux|nfs)$'
        ls /sys/fs/ext4 /sys/fs/xfs /sys/fs/btrfs 2>/dev/null | grep -v :; dmesg 2>/dev/null; cat /dev/kmsg 2>/dev/null"""
    log = await run_beside_another(bench, script)
    assert log.strip() == ""


async def test_mounts_name_no_other_lease(bench: Bench) -> None:
    """Its own mounts name their sources, as mounts do; the loop device of another lease is none of them."""
    other = bench.spec("cat /proc/mounts; echo up; sleep 60")
    await bench.engine.start(other)
    theirs = set(re.findall(r"/dev/loop\d+", await bench.wait_line(other.lease_id, "up")))
    _, log = await bench.run("cat /proc/mounts /proc/self/mountinfo")
    ours = set(re.findall(r"/dev/loop\d+", log))
    assert len(theirs) == len(ours) == 1 and theirs != ours
    assert other.lease_id.hex() not in log
