"""What the engine promises of a workload's life: once, counted, stopped, removed, and found again after our death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from metering.resources import Resources
from metering.units import Hash32
from metering.usage import Counters
from scheduler.job import Image
from scheduler.outputs import FolderEntry, LinkEntry
from tests.xnode.runtime.conftest import MIB, NAMESPACE, Bench
from xnode.errors import Permanent, Retryable
from xnode.ports.runtime import Engine
from xnode.runtime.host.cgroup import read_cgroup_tree
from xnode.runtime.podman.engine import PodmanEngine

pytestmark = pytest.mark.engine

REPOSITORY = Path(__file__).parents[4]


async def test_check_names_podman_and_the_cgroup_version(bench: Bench) -> None:
    engine: Engine = bench.engine
    assert (await engine.check()).startswith("podman ")


async def test_check_says_which_runtime_is_missing(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="no-such-runtime is not installed"):
        await PodmanEngine(tmp_path, "n", oci_runtime="no-such-runtime").check()


async def test_workload_runs_once_however_often_it_is_started(bench: Bench) -> None:
    spec = bench.spec("echo once; exit 3")
    await bench.engine.start(spec)
    await bench.engine.start(spec)
    ended = await bench.engine.wait(spec.lease_id)
    assert ended == await bench.engine.start(spec) == await bench.engine.inspect(spec.lease_id)
    assert ended.status == "exited" and ended.exit_code == 3
    assert await bench.read_log(spec.lease_id) == "once\n"


async def test_unknown_lease_is_absent_everywhere(bench: Bench) -> None:
    lease_id = Hash32(os.urandom(32))
    engine = bench.engine
    assert {(await act(lease_id)).status for act in (engine.inspect, engine.wait, engine.stop)} == {"absent"}
    assert await engine.read_counters(lease_id) == Counters(0, 0)
    await engine.remove(lease_id)
    with pytest.raises(Permanent, match="no outputs"):
        await engine.collect_outputs(lease_id, bench.state_dir / "blobs")


async def test_missing_image_and_missing_command_are_named(bench: Bench) -> None:
    spec = bench.spec("true")
    with pytest.raises(Permanent, match="not on this host"):
        await bench.engine.start(replace(spec, image=Image("sha256:" + "0" * 64, 1)))
    with pytest.raises(Permanent, match="no-such-program"):
        await bench.engine.start(replace(spec, command=("no-such-program",)))
    assert (await bench.engine.inspect(spec.lease_id)).status == "created"
    assert (await bench.engine.start(spec)).status in ("running", "exited")


async def test_stop_kills_every_process_and_is_safe_twice(bench: Bench) -> None:
    spec = bench.spec(
        "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & done; echo up; wait"
    )
    await bench.engine.start(spec)
    await bench.wait_line(spec.lease_id, "up")
    stopped = await bench.engine.stop(spec.lease_id)
    assert stopped.status == "exited" and stopped.exit_code == 137 and not stopped.timed_out
    assert await bench.engine.stop(spec.lease_id) == stopped
    listing = await trio.run_process(["ps", "-eo", "args"], capture_stdout=True)
    assert b"while :" not in listing.stdout


async def test_workload_that_listens_to_sigterm_may_end_itself(bench: Bench) -> None:
    spec = bench.spec("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done")
    await bench.engine.start(spec)
    await bench.wait_line(spec.lease_id, "up")
    assert (await bench.engine.stop(spec.lease_id)).exit_code == 5
    said = (await bench.read_log(spec.lease_id)).splitlines()
    # A shell may say of its child that it was terminated, for every process is told.
    assert said[0] == "up" and "bye" in said


async def test_counters_only_grow_and_stay_after_the_exit(bench: Bench) -> None:
    spec = bench.spec("echo up; i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done")
    before = await bench.engine.read_counters(spec.lease_id)
    assert before == Counters(0, 0)
    await bench.engine.start(spec)
    await bench.wait_line(spec.lease_id, "up")
    while (await bench.engine.inspect(spec.lease_id)).status == "running":
        now = await bench.engine.read_counters(spec.lease_id)
        assert now.running_ns >= before.running_ns and now.vcpu_ns >= before.vcpu_ns
        before = now
    state = await bench.engine.wait(spec.lease_id)
    after = await bench.engine.read_counters(spec.lease_id)
    assert bench.engine.is_over(spec.lease_id)
    assert state.started_at_ns is not None and state.finished_at_ns is not None
    assert after.running_ns == state.finished_at_ns - state.started_at_ns
    assert 0 < before.vcpu_ns <= after.vcpu_ns <= after.running_ns
    again = await PodmanEngine(bench.state_dir, NAMESPACE).read_counters(spec.lease_id)
    assert again == after == await bench.engine.read_counters(spec.lease_id)


async def test_cpu_limit_holds(bench: Bench) -> None:
    spec = bench.spec("while :; do :; done & while :; do :; done", vcpu=500, seconds=2)
    await bench.engine.start(spec)
    await bench.engine.wait(spec.lease_id)
    counters = await bench.engine.read_counters(spec.lease_id)
    assert 0.1e9 < counters.vcpu_ns <= 0.5e9 * 2
    quota = trio.Path(f"/sys/fs/cgroup/cpu/xnode/{bench.engine.scope}/{spec.lease_id.hex()}/cpu.cfs_quota_us")
    assert not await quota.exists() or await quota.read_text() == "50000\n"


async def test_removed_lease_leaves_nothing(bench: Bench) -> None:
    spec = bench.spec("echo x > /work/out/x")
    await bench.engine.start(spec)
    await bench.engine.wait(spec.lease_id)
    assert spec.lease_id in await bench.engine.list_leases()
    await bench.engine.remove(spec.lease_id)
    await bench.engine.remove(spec.lease_id)
    assert spec.lease_id not in await bench.engine.list_leases()
    name = spec.lease_id.hex()
    assert name not in await trio.Path("/proc/self/mounts").read_text()
    found = await trio.run_process(["find", "/sys/fs/cgroup", "-name", f"*{name}*"], capture_stdout=True)
    assert found.stdout == b""
    assert not (bench.state_dir / NAMESPACE / "leases" / name).exists()


async def test_running_lease_is_not_removed(bench: Bench) -> None:
    spec = bench.spec("sleep 60")
    await bench.engine.start(spec)
    with pytest.raises(Permanent, match="still runs"):
        await bench.engine.remove(spec.lease_id)
    assert (await bench.engine.inspect(spec.lease_id)).status == "running"


async def test_orphans_are_listed_and_can_be_swept(bench: Bench) -> None:
    cgroup_only, folder_only = os.urandom(32).hex(), os.urandom(32).hex()
    await trio.Path(read_cgroup_tree().mount_of("memory"), "xnode", bench.engine.scope, cgroup_only).mkdir(parents=True)
    await trio.Path(bench.state_dir, NAMESPACE, "leases", folder_only).mkdir()
    orphans = {Hash32(bytes.fromhex(name)) for name in (cgroup_only, folder_only)}
    assert orphans <= set(await bench.engine.list_leases())
    for lease_id in orphans:
        assert (await bench.engine.stop(lease_id)).status == "absent"
        await bench.engine.remove(lease_id)
    assert not orphans & set(await bench.engine.list_leases())


async def test_same_namespace_over_another_folder_is_another_node(bench: Bench, tmp_path: Path) -> None:
    spec = bench.spec("sleep 60")
    await bench.engine.start(spec)
    other = PodmanEngine(tmp_path, NAMESPACE)
    assert await other.list_leases() == ()
    await other.stop(spec.lease_id)
    await other.erase()
    assert (await bench.engine.inspect(spec.lease_id)).status == "running"


async def test_two_namespaces_do_not_see_each_other(bench: Bench, layout: Path) -> None:
    other = PodmanEngine(bench.state_dir, "other")
    await other.import_image(bench.image, layout)
    spec = bench.spec("sleep 60")
    theirs = replace(spec, command=("sh", "-c", "exit 4"))
    await bench.engine.start(spec)
    assert (await other.inspect(spec.lease_id)).status == "absent"
    assert await other.list_leases() == ()
    await other.start(theirs)
    assert (await other.wait(spec.lease_id)).exit_code == 4
    await other.stop(spec.lease_id)
    await other.remove(spec.lease_id)
    assert (await bench.engine.inspect(spec.lease_id)).status == "running"


LAUNCHER = """
import sys, trio
from pathlib import Path
from metering.resources import Resources
from xnode.ports.runtime import WorkloadSpec
from xnode.runtime.host.cgroup import read_cgroup_tree
from xnode.runtime.podman.engine import PodmanEngine
from xnode.runtime.oci_layout import read_layout

async def main():
    state_dir, namespace, layout, lease, script = sys.argv[1:]
    image = read_layout(Path(layout))
    limits = Resources(1000, 64 << 20, 8 << 20)
    spec = WorkloadSpec(bytes.fromhex(lease), image, ("sh", "-c", script), (), (), limits, False, 60 * 10**9)
    await PodmanEngine(Path(state_dir), namespace).start(spec)
    print("started", flush=True)
    await trio.sleep_forever()

trio.run(main)
"""

LONG_SCRIPT = """
    i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo line $i; sleep 0.1; done
    echo done > /work/out/result; exit 7"""


def launch_and_kill(bench: Bench, layout: Path, lease_id: Hash32, script: str) -> None:
    """Start a workload from another process and kill that process with -9 as soon as it has said so."""
    args = (str(bench.state_dir), NAMESPACE, str(layout), lease_id.hex(), script)
    command = [sys.executable, "-c", LAUNCHER, *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY, start_new_session=True) as process:
        assert process.stdout is not None and process.stdout.readline() == b"started\n"
        os.killpg(process.pid, signal.SIGKILL)


async def test_workload_outlives_its_killed_daemon_and_is_adopted(bench: Bench, layout: Path, tmp_path: Path) -> None:
    lease_id = Hash32(os.urandom(32))
    bench.leases.append(lease_id)
    await trio.to_thread.run_sync(launch_and_kill, bench, layout, lease_id, LONG_SCRIPT)
    adopted = PodmanEngine(bench.state_dir, NAMESPACE)
    assert (await adopted.inspect(lease_id)).status == "running"
    assert lease_id in await adopted.list_leases()
    before = await adopted.read_counters(lease_id)
    with trio.fail_after(30):
        log = b"".join([piece async for _, piece in adopted.read_logs(lease_id, 0, True)])
        state = await adopted.wait(lease_id)
    after = await adopted.read_counters(lease_id)
    assert state.exit_code == 7
    assert log.decode().splitlines() == [f"line {i}" for i in range(1, 21)]
    assert 0 < before.running_ns < after.running_ns and 0 < before.vcpu_ns < after.vcpu_ns
    outputs = await adopted.collect_outputs(lease_id, tmp_path)
    assert [output.path for output in outputs.entries] == [b"result"]


async def test_exit_status_and_log_are_kept_while_no_daemon_runs(bench: Bench, layout: Path) -> None:
    lease_id = Hash32(os.urandom(32))
    bench.leases.append(lease_id)
    script = "echo last words; (tail -c 100m /dev/zero) ; exit 9"
    await trio.to_thread.run_sync(launch_and_kill, bench, layout, lease_id, script)
    await bench.wait_file(lease_id, "exit")
    adopted = PodmanEngine(bench.state_dir, NAMESPACE)
    state = await adopted.inspect(lease_id)
    assert state.status == "exited" and state.exit_code == 9 and state.out_of_memory
    counters = await adopted.read_counters(lease_id)
    assert counters.vcpu_ns > 0 and counters.running_ns > 0


async def test_workload_whose_monitor_was_killed_ends_as_unknown(bench: Bench) -> None:
    spec = bench.spec("echo up; sleep 60")
    await bench.engine.start(spec)
    await bench.wait_line(spec.lease_id, "up")
    os.kill(int(await bench.file(spec.lease_id, "conmon.pid").read_text()), signal.SIGKILL)
    state = await bench.engine.stop(spec.lease_id)
    assert state.status == "exited" and state.exit_code is None
    assert await PodmanEngine(bench.state_dir, NAMESPACE).inspect(spec.lease_id) == state


async def test_record_of_an_earlier_boot_is_never_started_again(bench: Bench) -> None:
    spec = bench.spec("echo up")
    await bench.engine.start(spec)
    await bench.engine.wait(spec.lease_id)
    record = bench.file(spec.lease_id, "record.json")
    await record.write_text((await record.read_text()).replace('"boot_id":"', '"boot_id":"earlier'))
    await (await bench.wait_file(spec.lease_id, "exit")).unlink()
    await bench.file(spec.lease_id, "cid").unlink()
    state = await PodmanEngine(bench.state_dir, NAMESPACE).start(spec)
    assert state.status == "exited" and state.exit_code is None and state.finished_at_ns is not None


async def test_outputs_are_hashed_and_links_outside_left_out(bench: Bench, tmp_path: Path) -> None:
    script = """cd /work/out; mkdir -p b/c; printf two > b/c/f; printf one > a; ln -s /etc/passwd link; ln -s / b/root
        mkfifo pipe; ln a hard; ln -s a same; mkdir empty; chmod 0 b; chmod 700 a"""
    spec = bench.spec(script)
    await bench.engine.start(spec)
    await bench.engine.wait(spec.lease_id)
    first = await bench.engine.collect_outputs(spec.lease_id, tmp_path)
    assert first == await bench.engine.collect_outputs(spec.lease_id, tmp_path)
    blobs = {file.path: (tmp_path / file.blob.sha256.hex()).read_bytes() for file in first.files()}
    assert blobs == {b"a": b"one", b"b/c/f": b"two", b"hard": b"one"}
    assert {LinkEntry(b"same", b"a"), FolderEntry(b"empty")} == {*first.entries} - {*first.files()}
    assert {one.path for one in first.left_out} == {b"link", b"b/root", b"pipe"}
    assert [file.executable for file in first.files()] == [True, False, True]
    assert len(list(await trio.Path(tmp_path).iterdir())) == 2


async def test_sparse_output_larger_than_the_disk_is_left_out_alone(bench: Bench, tmp_path: Path) -> None:
    spec = bench.spec("cd /work/out; truncate -s 1000G huge; truncate -s 7M hole; echo x > good", disk=8 * MIB)
    await bench.engine.start(spec)
    await bench.engine.wait(spec.lease_id)
    found = await bench.engine.collect_outputs(spec.lease_id, tmp_path)
    assert [one.path for one in found.left_out] == [b"huge"]
    assert [one.path for one in found.entries] == [b"good", b"hole"]


async def test_gpus_are_passed_by_cdi_and_lent_once(bench: Bench) -> None:
    folder = trio.Path("/var/run/cdi")
    await folder.mkdir(exist_ok=True)
    specification = folder / "xnode-test.json"
    await specification.write_text(CDI)
    try:
        lost: set[str] = set()
        engine = PodmanEngine(
            bench.state_dir,
            NAMESPACE,
            gpu_devices=("xnode.test/gpu=0",),
            find_lost=lambda devices: "it fell off the bus" if lost & {*devices} else "",
        )
        spec = bench.spec("test -c /dev/test-gpu && echo there; sleep 60")
        other = bench.spec("true")
        await engine.start(replace(spec, resources=replace_gpus(spec.resources, 1)))
        assert await bench.wait_line(spec.lease_id, "there")
        with pytest.raises(Retryable, match="only 0 of 1 GPUs are free"):
            await engine.start(replace(other, resources=replace_gpus(other.resources, 1)))
        await engine.stop(spec.lease_id)
        await engine.remove(spec.lease_id)
        await engine.start(replace(other, resources=replace_gpus(other.resources, 1)))
        assert (await engine.wait(other.lease_id)).exit_code == 0
        assert (await engine.inspect(other.lease_id)).gpu_lost == ""
        lost.add("xnode.test/gpu=0")
        assert (await engine.inspect(other.lease_id)).gpu_lost == "it fell off the bus"
        with pytest.raises(Permanent, match="1 GPUs asked for, this node has 0"):
            await engine.start(replace(bench.spec("true"), resources=replace_gpus(spec.resources, 1)))
        with pytest.raises(Permanent, match="2 GPUs asked for"):
            await engine.start(replace(bench.spec("true"), resources=replace_gpus(spec.resources, 2)))
    finally:
        await specification.unlink()


def replace_gpus(resources: Resources, gpus: int) -> Resources:
    """The same resources with this many GPUs."""
    return Resources(resources.vcpu_milli, resources.memory_bytes, resources.disk_bytes, gpus)


CDI = """{"cdiVersion": "0.3.0", "kind": "xnode.test/gpu", "devices": [{"name": "0", "containerEdits":
    {"deviceNodes": [{"path": "/dev/test-gpu", "hostPath": "/dev/zero", "type": "c", "major": 1, "minor": 5}]}}]}"""


async def test_many_starts_at_once_all_run(bench: Bench) -> None:
    specs = [bench.spec(f"echo {number}; exit {number}") for number in range(6)]
    async with trio.open_nursery() as nursery:
        for spec in specs:
            nursery.start_soon(bench.engine.start, spec)
    assert [(await bench.engine.wait(spec.lease_id)).exit_code for spec in specs] == list(range(6))


async def test_one_lease_started_by_two_tasks_at_once_runs_once(bench: Bench) -> None:
    spec = bench.spec("echo once")
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(bench.engine.start, spec)
    await bench.engine.wait(spec.lease_id)
    assert await bench.read_log(spec.lease_id) == "once\n"
