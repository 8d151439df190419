"""What a workload in a container can and cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.xnode.runtime.conftest import MIB, Bench
from xnode.errors import Permanent

pytestmark = pytest.mark.engine


async def test_workload_is_nobody_and_has_no_powers(bench: Bench) -> None:
    script = "id -u; id -G; cat /proc/self/uid_map; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"
    state, log = await bench.run(script)
    lines = log.split("\n")
    assert state.exit_code == 0
    assert lines[0] == lines[1] == "1000"
    inside, outside, count = (int(word) for word in lines[2].split())
    assert inside == 0 and outside >= 0x7000_0000 and count == 65_536
    status = dict(line.split(":\t") for line in lines[3:] if line)
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


async def test_root_is_read_only_and_only_out_and_tmp_can_be_written(bench: Bench) -> None:
    script = """
        for place in / /etc /bin /work /work/in /dev /sys /proc /run /var; do
            touch $place/x 2>/dev/null && echo "wrote $place"; done
        touch /work/out/x /tmp/x /dev/shm/x && echo good"""
    _, log = await bench.run(script)
    assert log == "good\n"


async def test_workload_without_network_sees_only_loopback(bench: Bench) -> None:
    _, log = await bench.run(
        "ls /sys/class/net; wc -l < /proc/net/route; nslookup -timeout=1 localhost 1.1.1.1 | tail -1"
    )
    assert log.split("\n")[:2] == ["lo", "1"]


@pytest.mark.parametrize(
    "attempt",
    [
        "unshare -U true",
        "unshare -n true",
        "nsenter -t 1 -m true",
        "mount -t tmpfs none /tmp",
        "chroot / true",
        "mknod /work/out/kmem c 1 2",
        "dmesg",
        "hostname other",
        "chown 0 /work/out",
        "head -c 1 /proc/kcore | grep -q .",
        "cat /proc/1/root/proc/sysrq-trigger > /proc/sysrq-trigger",
        "echo 1 > /sys/fs/cgroup/memory/memory.limit_in_bytes",
    ],
)
async def test_attempt_is_denied(bench: Bench, attempt: str) -> None:
    _, log = await bench.run(f"if ({attempt}) >/dev/null 2>&1; then echo succeeded; else echo denied; fi")
    assert log == "denied\n"


async def test_fork_bomb_is_contained(bench: Bench) -> None:
    spec = bench.spec("b() { b | b & }; b 2>/dev/null; sleep 30; echo over", seconds=3, memory=512 * MIB)
    await bench.engine.start(spec)
    state = await bench.engine.wait(spec.lease_id)
    assert state.timed_out
    counters = await bench.engine.read_counters(spec.lease_id)
    assert counters.running_ns == 3_000_000_000 and counters.vcpu_ns <= counters.running_ns


async def test_memory_hog_is_killed_and_said_to_be_out_of_memory(bench: Bench) -> None:
    state, log = await bench.run("head -c 200m /dev/zero | tail -c 150m | wc -c; echo after")
    assert state.status == "exited" and state.out_of_memory
    assert "157286400" not in log


async def test_memory_hog_that_is_the_first_process_ends_as_killed(bench: Bench) -> None:
    state, _ = await bench.run("exec tail -c 150m /dev/zero")
    assert state.out_of_memory and state.exit_code == 137 and not state.timed_out


async def test_workload_that_kills_itself_is_not_out_of_memory(bench: Bench) -> None:
    state, _ = await bench.run("sh -c 'kill -9 $$'; exit 137")
    assert state.exit_code == 137 and not state.out_of_memory and not state.timed_out


async def test_full_out_gives_the_workload_enospc_at_its_leased_size(bench: Bench) -> None:
    script = "dd if=/dev/zero of=/work/out/f bs=64k 2>&1 | grep -o 'No space left'; stat -c %s /work/out/f; echo alive"
    state, log = await bench.run(script, disk=16 * MIB)
    said, size, alive = log.split("\n")[:3]
    assert state.exit_code == 0 and said == "No space left" and alive == "alive"
    assert 0.9 * 16 * MIB <= int(size) <= 16 * MIB


async def test_full_tmp_gives_the_workload_enospc(bench: Bench) -> None:
    _, log = await bench.run("dd if=/dev/zero of=/tmp/f bs=64k 2>&1 | grep -o 'No space left'; stat -c %s /tmp/f")
    assert log == f"No space left\n{32 * MIB}\n"


async def test_wall_clock_limit_ends_a_workload_that_will_not_end(bench: Bench) -> None:
    state, _ = await bench.run("trap '' TERM; while :; do sleep 1; done", seconds=1)
    assert state.timed_out and state.exit_code == 137 and not state.out_of_memory


async def test_inputs_are_there_read_only_under_any_name(bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / "blob"
    source.write_text("input\n")
    source.chmod(0o600)
    inputs = (("plain", source), ("a folder/with, odd:name=x", source))
    script = """cat /work/in/plain '/work/in/a folder/with, odd:name=x'
        (echo x > /work/in/plain; rm -f /work/in/plain) 2>/dev/null; ls /work/in"""
    _, log = await bench.run(script, inputs=inputs)
    assert log.startswith("input\ninput\n") and log.endswith("a folder\nplain\n")
    assert source.read_text() == "input\n"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", ".", "a\0b"])
async def test_input_path_that_leads_outside_is_refused(bench: Bench, tmp_path: Path, path: str) -> None:
    with pytest.raises(Permanent, match="input path"):
        await bench.engine.start(bench.spec("true", inputs=((path, tmp_path / "x"),)))


async def test_env_and_arguments_arrive_as_they_are(bench: Bench) -> None:
    spec = bench.spec("true")
    odd = "a'b\"c $HOME `id` \\ \n*=é"
    command = ("sh", "-c", 'printf "%s|%s|%s" "$ODD" "$1" "$HTTP_PROXY"', "-x", odd)
    from dataclasses import replace

    spec = replace(spec, command=command, env=(("ODD", odd),))
    await bench.engine.start(spec)
    await bench.engine.wait(spec.lease_id)
    assert await bench.read_log(spec.lease_id) == f"{odd}|{odd}|"
