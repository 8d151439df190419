"""How a workload is asked to end: every process of it, with the job's signal and grace, whichever side wants its end."""

from __future__ import annotations

import json
import time

import pytest
import trio

from tests.xnode.runtime.conftest import NAMESPACE, SECOND_NS, Bench
from xnode.ports.runtime import WorkloadSpec, WorkloadState
from xnode.runtime.podman.engine import PodmanEngine

pytestmark = pytest.mark.engine

LONG_NS = 30 * SECOND_NS
"""A grace that no test may wait for."""


async def stop_when_up(bench: Bench, spec: WorkloadSpec) -> tuple[WorkloadState, str, float]:
    """How a workload that says "up" ends when it is stopped, what it said, and how long that took."""
    await bench.engine.start(spec)
    await bench.wait_line(spec.lease_id, "up")
    since = time.monotonic()
    state = await bench.engine.stop(spec.lease_id)
    return state, await bench.read_log(spec.lease_id), time.monotonic() - since


async def test_shell_that_waits_for_a_child_runs_its_trap(bench: Bench) -> None:
    """A shell runs its trap when the child in its foreground is over: the child must hear the signal too."""
    spec = bench.spec("trap 'echo saved; exit 5' TERM; echo up; sleep 1000; echo over", stop_grace_ns=LONG_NS)
    state, log, took_s = await stop_when_up(bench, spec)
    assert state.exit_code == 5 and "saved" in log and "over" not in log and took_s < 10


async def test_children_of_a_first_process_without_handler_are_told(bench: Bench) -> None:
    script = "sh -c \"trap 'echo child saved; exit' TERM; echo up; while :; do sleep 0.1; done\"; echo rest; exit 6"
    state, log, took_s = await stop_when_up(bench, bench.spec(script, stop_grace_ns=LONG_NS))
    assert state.exit_code == 6 and "child saved" in log and "rest" in log and took_s < 10


async def test_child_in_a_session_of_its_own_is_told(bench: Bench) -> None:
    script = """
        setsid sh -c "trap 'echo daemon saved > /work/out/saved; exit' TERM; echo up; while :; do sleep 0.1; done" &
        trap 'wait; cat /work/out/saved; exit 7' TERM; while :; do sleep 0.1; done"""
    state, log, _ = await stop_when_up(bench, bench.spec(script, stop_grace_ns=LONG_NS))
    assert state.exit_code == 7 and "daemon saved" in log


async def test_first_process_that_is_alone_and_deaf_is_not_waited_for(bench: Bench) -> None:
    spec = bench.spec("echo up; exec sleep 1000", stop_grace_ns=LONG_NS)
    state, _, took_s = await stop_when_up(bench, spec)
    assert state.exit_code == 137 and took_s < 10


async def test_workload_that_will_not_end_is_killed_after_the_grace(bench: Bench) -> None:
    spec = bench.spec("trap '' TERM; echo up; while :; do sleep 0.1; done", stop_grace_ns=SECOND_NS)
    state, _, took_s = await stop_when_up(bench, spec)
    assert state.exit_code == 137 and 1 <= took_s < 10


async def test_no_grace_means_no_signal(bench: Bench) -> None:
    spec = bench.spec("trap 'echo saved; exit 5' TERM; echo up; while :; do sleep 0.1; done", stop_grace_ns=0)
    state, log, _ = await stop_when_up(bench, spec)
    assert state.exit_code == 137 and "saved" not in log


async def test_signal_is_the_jobs_else_the_images(bench: Bench) -> None:
    script = "trap 'exit 11' INT; trap 'exit 12' USR1; trap 'exit 15' TERM; echo up; while :; do sleep 0.1; done"
    await bench.use_image(StopSignal="SIGINT")
    state, _, _ = await stop_when_up(bench, bench.spec(script, stop_grace_ns=LONG_NS))
    assert state.exit_code == 11
    state, _, _ = await stop_when_up(bench, bench.spec(script, stop_grace_ns=LONG_NS, stop_signal="SIGUSR1"))
    assert state.exit_code == 12


async def test_time_limit_asks_first_and_the_grace_is_not_billed(bench: Bench) -> None:
    script = """
        trap 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 0.5; echo saved; exit 0' TERM
        echo up; while :; do sleep 0.1; done"""
    spec = bench.spec(script, seconds=1, stop_grace_ns=LONG_NS)
    await bench.engine.start(spec)
    with trio.fail_after(60):
        state = await bench.engine.wait(spec.lease_id)
    assert state.timed_out and state.exit_code == 0 and "saved" in await bench.read_log(spec.lease_id)
    assert state.started_at_ns is not None and state.finished_at_ns is not None
    assert state.finished_at_ns - state.started_at_ns > 1.4 * SECOND_NS
    counters = await bench.engine.read_counters(spec.lease_id)
    assert counters.running_ns == SECOND_NS
    assert counters.vcpu_ns < 0.5 * SECOND_NS, "the trap's own work was billed"
    again = PodmanEngine(bench.state_dir, NAMESPACE)
    assert await again.read_counters(spec.lease_id) == counters
    assert await again.inspect(spec.lease_id) == state


async def test_grace_is_one_however_often_and_by_whom_it_is_asked(bench: Bench) -> None:
    """The daemon that asked has died: the next one knows signal and grace, and does not begin anew."""
    script = "trap 'echo heard' TERM; echo up; while :; do sleep 0.1; done"
    spec = bench.spec(script, stop_grace_ns=3 * SECOND_NS)
    await bench.engine.start(spec)
    await bench.wait_line(spec.lease_id, "up")
    with trio.move_on_after(0.5):
        await bench.engine.stop(spec.lease_id)
    since = time.monotonic()
    state = await PodmanEngine(bench.state_dir, NAMESPACE).stop(spec.lease_id)
    assert state.exit_code == 137 and time.monotonic() - since < 2.8
    assert (await bench.read_log(spec.lease_id)).count("heard") == 1


async def test_record_of_an_earlier_version_is_stopped_with_sigterm(bench: Bench) -> None:
    spec = bench.spec("trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done")
    await bench.engine.start(spec)
    await bench.wait_line(spec.lease_id, "up")
    path = bench.file(spec.lease_id, "record.json")
    new = ("network_bytes", "stop_signal", "stop_grace_ns", "cpus")
    record = {name: value for name, value in json.loads(await path.read_text()).items() if name not in new}
    await path.write_text(json.dumps(record))
    assert (await PodmanEngine(bench.state_dir, NAMESPACE).stop(spec.lease_id)).exit_code == 5


async def test_monitor_kills_after_limit_and_grace_while_no_daemon_runs(bench: Bench) -> None:
    spec = bench.spec("trap '' TERM; while :; do sleep 0.1; done", seconds=1, stop_grace_ns=SECOND_NS)
    await bench.engine.start(spec)
    await bench.wait_file(spec.lease_id, "exit")
    state = await PodmanEngine(bench.state_dir, NAMESPACE).inspect(spec.lease_id)
    assert state.timed_out and state.exit_code == 137
    assert (await bench.engine.read_counters(spec.lease_id)).running_ns == SECOND_NS
