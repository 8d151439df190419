"""Both cgroup versions behind one interface, on trees recorded from hosts, and the host preparation."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from xnode.errors import Permanent
from xnode.runtime.host.cgroup import CgroupLimits, parse_keyed, parse_mounts, quota_us_of, read_cgroup_tree
from xnode.runtime.host.preparation import find_unmounted, prepare_host

FIXTURES = Path(__file__).parents[3] / "fixtures/cgroup"
LEASE = "ab" * 32
LIMITS = CgroupLimits(vcpu_milli=1500, memory_bytes=64 << 20, pids=1024)


@pytest.fixture
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of a recorded host, to write to."""
    return Path(shutil.copytree(FIXTURES / request.param, tmp_path / "host"))


v1 = pytest.mark.parametrize("host", ["v1"], indirect=True)
v2 = pytest.mark.parametrize("host", ["v2"], indirect=True)
both = pytest.mark.parametrize("host", ["v1", "v2"], indirect=True)


def read_lease(host: Path, controller: str, name: str) -> str:
    """A file of the lease's parent cgroup."""
    return (host / "sys/fs/cgroup" / controller / "xnode/n1" / LEASE / name).read_text().strip()


@v1
def test_hybrid_host_is_version_1(host: Path) -> None:
    tree = read_cgroup_tree(host)
    assert tree.version == 1
    assert tree.mount_of("memory") == host / "sys/fs/cgroup/memory"
    assert tree.mount_of("cpuacct") == host / "sys/fs/cgroup/cpuacct"
    assert host / "sys/fs/cgroup/systemd" in tree.roots() and host / "sys/fs/cgroup/unified" in tree.roots()


@v2
def test_unified_host_is_version_2(host: Path) -> None:
    tree = read_cgroup_tree(host)
    assert tree.version == 2 and tree.roots() == (host / "sys/fs/cgroup",)
    assert tree.mount_of("memory") == host / "sys/fs/cgroup"


def test_co_mounted_controllers_share_one_mount() -> None:
    lines = "cgroup /c/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\ncgroup /c/memory cgroup rw,memory 0 0\n"
    tree = parse_mounts(lines + "cgroup /c/pids cgroup rw,pids 0 0\n")
    assert tree.mount_of("cpu") == tree.mount_of("cpuacct") == Path("/c/cpu,cpuacct")
    assert len(tree.roots()) == 3


def test_host_without_cgroups_is_told_what_to_mount() -> None:
    with pytest.raises(Permanent, match="mount cgroup2"):
        parse_mounts("proc /proc proc rw 0 0\n")


def test_version_1_without_pids_is_told_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    lines = "cgroup /c/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup /c/memory cgroup rw,memory 0 0\n"
    (tmp_path / "proc/self/mounts").write_text(lines)
    with pytest.raises(Permanent, match="pids"):
        read_cgroup_tree(tmp_path)


@v1
def test_version_1_limits_stand_on_the_parent(host: Path) -> None:
    read_cgroup_tree(host).lease("n1", LEASE).create(LIMITS)
    assert read_lease(host, "cpu", "cpu.cfs_quota_us") == "150000"
    assert read_lease(host, "cpu", "cpu.cfs_period_us") == "100000"
    assert read_lease(host, "memory", "memory.limit_in_bytes") == str(64 << 20)
    assert read_lease(host, "pids", "pids.max") == "1024"


@v2
def test_version_2_limits_stand_on_the_parent_without_swap(host: Path) -> None:
    read_cgroup_tree(host).lease("n1", LEASE).create(LIMITS)
    assert read_lease(host, "", "cpu.max") == "150000 100000"
    assert read_lease(host, "", "memory.max") == str(64 << 20)
    assert read_lease(host, "", "memory.swap.max") == "0"
    assert read_lease(host, "", "pids.max") == "1024"


@v2
def test_version_2_delegates_only_what_is_not_yet_given(host: Path) -> None:
    root, all_given = host / "sys/fs/cgroup", "cpuset cpu io memory hugetlb pids\n"
    (root / "xnode/cgroup.subtree_control").write_text("cpu\n")
    (root / f"xnode/n1/{LEASE}/cgroup.subtree_control").write_text("\n")
    read_cgroup_tree(host).lease("n1", LEASE).create(LIMITS)
    assert (root / "cgroup.subtree_control").read_text() == all_given
    assert (root / "xnode/cgroup.subtree_control").read_text() == "+memory +pids +cpuset"
    assert (root / f"xnode/n1/{LEASE}/cgroup.subtree_control").read_text() == "+cpu +memory +pids +cpuset"


@pytest.mark.parametrize(("host", "vcpu_ns"), [("v1", 138_829_186), ("v2", 1_177_537_000)], indirect=["host"])
def test_cpu_time_is_read_from_the_parent(host: Path, vcpu_ns: int) -> None:
    counter = read_cgroup_tree(host).lease("n1", LEASE).open_cpu()
    assert counter is not None and counter.read_ns() == vcpu_ns == counter.read_ns()
    counter.close()


@pytest.mark.parametrize(("host", "kills"), [("v1", 1), ("v2", 1)], indirect=["host"])
def test_out_of_memory_kills_are_counted(host: Path, kills: int) -> None:
    assert read_cgroup_tree(host).lease("n1", LEASE).read_oom_kills() == kills


@pytest.mark.parametrize(("host", "pids"), [("v1", (12638,)), ("v2", (6019,))], indirect=["host"])
def test_processes_are_found_below_the_parent(host: Path, pids: tuple[int, ...]) -> None:
    assert read_cgroup_tree(host).lease("n1", LEASE).list_pids() == pids


@both
def test_cgroup_that_is_not_there_reads_as_nothing(host: Path) -> None:
    lease = read_cgroup_tree(host).lease("n1", "cd" * 32)
    assert lease.open_cpu() is None and lease.read_oom_kills() == 0 and lease.list_pids() == ()
    lease.remove()


@both
def test_leases_are_listed_by_namespace(host: Path) -> None:
    tree = read_cgroup_tree(host)
    assert tree.list_leases("n1") == (LEASE,) and tree.list_leases("n2") == ()


def test_lines_that_are_not_counters_are_left_out() -> None:
    assert parse_keyed("oom_kill 3\nodd\nname value\n") == {"oom_kill": 3}


def test_quota_is_the_leased_share_of_a_period() -> None:
    assert [quota_us_of(milli) for milli in (10, 500, 1000, 2500)] == [1000, 50_000, 100_000, 250_000]


def test_hybrid_host_needs_what_the_unified_tree_still_holds(tmp_path: Path) -> None:
    host = Path(shutil.copytree(FIXTURES / "v1", tmp_path / "host"))
    (host / "sys/fs/cgroup/unified").mkdir()
    (host / "sys/fs/cgroup/unified/cgroup.controllers").write_text("hugetlb misc\n")
    assert find_unmounted(host) == ("hugetlb", "misc")
    mounts = host / "proc/self/mounts"
    mounts.write_text(mounts.read_text() + "none /run/xnode/cgroup-hugetlb cgroup rw,relatime,hugetlb 0 0\n")
    assert find_unmounted(host) == ("misc",)


def test_hierarchies_without_a_mount_are_found(tmp_path: Path) -> None:
    """As when a mount of an earlier daemon went, and groups in it keep the hierarchy: workloads would see its root."""
    host = Path(shutil.copytree(FIXTURES / "v1", tmp_path / "host"))
    assert find_unmounted(host) == ()
    (host / "proc/self/cgroup").write_text("11:name=other:/\n10:hugetlb:/\n9:net_cls,net_prio:/\n1:cpu:/a:b\n0::/\n")
    assert find_unmounted(host) == ("name=other", "hugetlb", "net_cls,net_prio")


@v2
def test_unified_host_needs_nothing(host: Path) -> None:
    assert find_unmounted(host) == ()


@pytest.mark.engine
def test_host_preparation_is_safe_twice() -> None:
    prepare_host()
    prepare_host()
    assert find_unmounted() == ()


@pytest.mark.engine
def test_counters_of_this_host_keep_the_time_of_a_child_that_is_gone() -> None:
    tree = read_cgroup_tree()
    lease = tree.lease("unit", LEASE)
    lease.create(LIMITS)
    try:
        child = tree.mount_of("cpuacct") / "xnode/unit" / LEASE / "child"
        child.mkdir()
        pid = os.fork()
        if pid == 0:
            (child / "cgroup.procs").write_text(str(os.getpid()))
            while os.times().user < 0.2:
                pass
            os._exit(0)
        os.waitpid(pid, 0)
        child.rmdir()
        counter = lease.open_cpu()
        assert counter is not None and 150_000_000 < counter.read_ns() < 2_000_000_000
        counter.close()
    finally:
        lease.remove()
    assert tree.list_leases("unit") == ()


def test_a_user_who_may_not_prepare_the_host_is_told_to_run_as_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(Permanent, match="cannot write") as caught:
            prepare_host(run_dir=tmp_path / "xnode")
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
    assert "root" in caught.value.hint


def test_no_other_user_can_hold_up_the_preparation(tmp_path: Path) -> None:
    root, run_dir = tmp_path / "root", tmp_path / "xnode"
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mounts").write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    run_dir.mkdir(mode=0o755)
    (run_dir / "host.lock").touch(0o644)
    prepare_host(root, run_dir)
    assert (run_dir.stat().st_mode & 0o777, (run_dir / "host.lock").stat().st_mode & 0o777) == (0o711, 0o600)
