"""What a workload finds around it: names, a home, room in memory and on disk, and its share of the CPUs."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.xnode.runtime.conftest import MIB, Bench
from xnode.errors import Permanent
from xnode.runtime.host.cgroup import read_cgroup_tree
from xnode.runtime.lease.environment import has_ipv6

pytestmark = pytest.mark.engine

PASSWD = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1234:2345:app:/srv/app:/bin/sh\n"}


def lines_of(log: str) -> dict[str, str]:
    """The lines "name=value" of a log."""
    return dict(line.split("=", 1) for line in log.splitlines() if "=" in line)


async def test_localhost_and_the_own_host_name_lead_to_the_workload_itself(bench: Bench) -> None:
    script = """
        for name in localhost $(hostname); do
            echo there | nc -l -p 8099 > got & sleep 0.2
            echo hello | nc $name 8099; wait; echo "$name=$(cat got)"; done
        echo ping=$(cat /proc/sys/net/ipv4/ping_group_range)
        grep '^::1' /etc/hosts; wc -c < /etc/resolv.conf"""
    _, log = await bench.run(script)
    said = lines_of(log)
    assert said == {"localhost": "hello", "workload": "hello", "ping": "0 65535"}
    assert ("::1 localhost" in log) == has_ipv6()
    assert log.endswith("\n0\n"), "the host's resolvers are not the workload's"


async def test_user_has_a_name_and_a_home_that_is_no_output(bench: Bench) -> None:
    script = """
        echo user=$(whoami); echo home=$HOME; echo tmp=$TMPDIR; echo cwd=$(pwd); echo entry=$(grep :$(id -u): /etc/passwd)
        for place in ~ /tmp /var/tmp /dev/shm .; do touch $place/probe || echo no=$place; done
        mkdir -p ~/.cache && head -c 5m /dev/zero > ~/.cache/big; echo in_out=$(ls /work/out)"""
    _, log = await bench.run(script)
    assert lines_of(log) == {
        "user": "xnode",
        "home": "/home/xnode",
        "tmp": "/tmp",
        "cwd": "/work/out",
        "entry": "xnode:x:1000:1000:xnode:/home/xnode:/bin/sh",
        "in_out": "probe",
    }


@pytest.mark.parametrize("user", ["1234:2345", "1234", "app", "app:app"])
async def test_user_of_the_image_owns_what_it_may_write(bench: Bench, user: str) -> None:
    group = "root:x:0:\napp:x:2345:\n"
    await bench.use_image(PASSWD | {"etc/group": group}, User=user)
    state, log = await bench.run("id -u; touch /work/out/x ~/x /var/tmp/x /tmp/x && whoami; cat /proc/self/uid_map")
    uid, name, outside = log.splitlines()
    assert state.exit_code == 0 and (uid, name) == ("1234", "app")
    assert int(outside.split()[1]) >= 0x7000_0000


@pytest.mark.parametrize("user", ["", "root", "0", "0:0", "root:app"])
async def test_image_of_root_runs_as_nobody_special(bench: Bench, user: str) -> None:
    await bench.use_image(PASSWD, User=user)
    _, log = await bench.run("id -u; id -g; whoami; touch /work/out/x ~/x && echo good")
    assert log == "1000\n1000\nxnode\ngood\n"


async def test_user_beyond_the_namespace_is_refused_by_name(bench: Bench) -> None:
    await bench.use_image(User="70000")
    with pytest.raises(Permanent, match="the image runs as user 70000"):
        await bench.engine.start(bench.spec("true"))


async def test_workdir_of_the_image_is_where_it_starts(bench: Bench) -> None:
    await bench.use_image({"srv/app/model": "weights"}, WorkingDir="/srv/app")
    _, log = await bench.run("pwd; cat model")
    assert log == "/srv/app\nweights"


async def test_args_take_the_place_of_the_images_command_only(bench: Bench) -> None:
    await bench.use_image(Entrypoint=["echo", "entry"], Cmd=["its", "own"])
    spec = replace(bench.spec("true"), command=())
    assert (await bench.run_spec(spec))[1] == "entry its own\n"
    spec = replace(bench.spec("true"), command=(), args=("a b", "c"))
    assert (await bench.run_spec(spec))[1] == "entry a b c\n"
    spec = replace(bench.spec("true"), command=("echo",), args=("--flag",))
    assert (await bench.run_spec(spec))[1] == "--flag\n"


async def test_memory_for_files_is_what_the_job_asks_for_else_half_of_its_memory(bench: Bench) -> None:
    script = "for d in /tmp /dev/shm; do echo $d=$(df -k $d | tail -1 | sed 's/  */ /g' | cut -d ' ' -f 2); done"
    _, log = await bench.run(script, memory=128 * MIB)
    assert lines_of(log) == {"/tmp": str(64 << 10), "/dev/shm": str(64 << 10)}
    _, log = await bench.run(script, memory=128 * MIB, shm_bytes=100 * MIB, tmp_bytes=16 * MIB)
    assert lines_of(log) == {"/tmp": str(16 << 10), "/dev/shm": str(100 << 10)}


@pytest.mark.parametrize("place", ["/dev/shm", "/tmp"])
async def test_files_in_memory_are_charged_to_the_lease(bench: Bench, place: str) -> None:
    """Full folders of memory and the workload's own together end it, not the host's memory."""
    room = 48 * MIB
    script = f"head -c 40m /dev/zero > {place}/f; echo full; sleep 60"
    spec = bench.spec(script, memory=64 * MIB, shm_bytes=room, tmp_bytes=room)
    await bench.engine.start(spec)
    await bench.wait_line(spec.lease_id, "full")
    tree = read_cgroup_tree()
    usage = tree.mount_of("memory") / "xnode" / bench.engine.scope / spec.lease_id.hex()
    name = "memory.current" if tree.version == 2 else "memory.usage_in_bytes"
    assert 40 * MIB <= int((usage / name).read_text()) <= 64 * MIB
    script = "head -c 40m /dev/zero > /dev/shm/f; head -c 40m /dev/zero > /tmp/f; echo over"
    state, _ = await bench.run(script, memory=64 * MIB, shm_bytes=room, tmp_bytes=room)
    assert state.out_of_memory


async def test_share_of_the_cpus_is_said_inside(bench: Bench) -> None:
    script = """
        cd /sys/fs/cgroup; cat cpu.max 2>/dev/null || echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us)
        echo $OMP_NUM_THREADS $OPENBLAS_NUM_THREADS $MKL_NUM_THREADS $NUMEXPR_NUM_THREADS $GOMAXPROCS $RAYON_NUM_THREADS"""
    _, log = await bench.run(script, vcpu=500)
    assert log == "50000 100000\n1 1 1 1 1 1\n"
    _, log = await bench.run(script, vcpu=1200)
    assert log == "120000 100000\n2 2 2 2 2 2\n"


async def test_image_and_job_may_set_the_number_of_threads(bench: Bench) -> None:
    await bench.use_image(Env=["PATH=/bin", "OMP_NUM_THREADS=7", "MKL_NUM_THREADS=7"])
    spec = replace(bench.spec("echo $OMP_NUM_THREADS $MKL_NUM_THREADS $GOMAXPROCS"), env=(("MKL_NUM_THREADS", "9"),))
    assert (await bench.run_spec(spec))[1] == "7 9 1\n"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU is nothing to choose from")
async def test_no_two_leases_are_kept_to_one_cpu(bench: Bench) -> None:
    """Whole shares get CPUs of their own while there are any; the others go anywhere."""
    script = "grep Cpus_allowed_list /proc/self/status; sleep 60"
    specs = [bench.spec(script) for _ in range(len(os.sched_getaffinity(0)) + 1)]
    kept: list[str] = []
    free: list[str] = []
    for spec in specs:
        await bench.engine.start(spec)
        words = (await bench.wait_line(spec.lease_id, "\n")).split()[1]
        (kept if words.isdigit() else free).append(words)
    assert kept and len(set(kept)) == len(kept) and free
    for spec in specs:
        await bench.engine.stop(spec.lease_id)
        await bench.engine.remove(spec.lease_id)
    _, log = await bench.run("grep Cpus_allowed_list /proc/self/status", vcpu=500)
    assert not log.split()[1].isdigit()
