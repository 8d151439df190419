"""A workload with network reaches the world and nothing of ours; every byte is counted."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.xnode.runtime.conftest import NAMESPACE, Bench
from xnode.runtime.podman.engine import PodmanEngine

pytestmark = pytest.mark.engine

WORLD, OURS, PRIVATE = "203.0.113.10", "203.0.113.1", "10.254.77.10"
"""An address of another host in the world, this host's on the same wire, and a private one behind it."""

BODY_BYTES = 1_000_000


def sh(script: str) -> None:
    """Run shell commands that must succeed."""
    subprocess.run(["sh", "-ec", script], check=True, capture_output=True, timeout=30)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[None]:
    """Another host, as a network namespace on a wire of ours, with a web server on every address. One at a time on a
    machine: another run of these tests would have the same addresses."""
    with Path("/run/xnode-test-world.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield from make_world(tmp_path)


def make_world(tmp_path: Path) -> Iterator[None]:
    """The namespace, its wire and both web servers, taken away in the end."""
    (tmp_path / "body").write_bytes(bytes(BODY_BYTES))
    sh(f"""ip netns add xnworld; ip link add xnworld0 type veth peer name eth0 netns xnworld
        ip addr add {OURS}/24 dev xnworld0; ip addr add 10.254.77.1/24 dev xnworld0; ip link set xnworld0 up
        ip -n xnworld addr add {WORLD}/24 dev eth0; ip -n xnworld addr add {PRIVATE}/24 dev eth0
        ip -n xnworld link set eth0 up; ip -n xnworld link set lo up""")
    there = subprocess.Popen(
        ["ip", "netns", "exec", "xnworld", "busybox", "httpd", "-f", "-p", "8099", "-h", str(tmp_path)]
    )
    here = subprocess.Popen(["busybox", "httpd", "-f", "-p", "8099", "-h", str(tmp_path)])
    try:
        yield
    finally:
        for server in (there, here):
            server.kill()
            server.wait()
        sh("ip netns delete xnworld; ip link delete xnworld0 2>/dev/null || true")


def fetch(address: str) -> str:
    """A script line that says whether a page can be had from an address."""
    request = "printf 'GET /body HTTP/1.0\\r\\n\\r\\n'"
    return f"[ $({request} | timeout 2 nc -w 1 {address} 8099 | wc -c) -gt 0 ] && echo to reached || echo to blocked"


async def test_workload_reaches_the_world_but_not_us_and_is_metered(bench: Bench, world: None) -> None:
    gateway = "$(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p')"
    lines = [fetch(address) for address in (WORLD, OURS, PRIVATE, gateway, "127.0.0.1", "169.254.169.254")]
    spec = bench.spec("; ".join(lines), network=True)
    await bench.engine.start(spec)
    with trio.fail_after(60):
        await bench.engine.wait(spec.lease_id)
    log = await bench.read_log(spec.lease_id)
    words = [line.split()[1] for line in log.splitlines() if line.endswith(("reached", "blocked"))]
    assert words == ["reached", "blocked", "blocked", "blocked", "blocked", "blocked"]
    counters = await bench.engine.read_counters(spec.lease_id)
    assert BODY_BYTES < counters.ingress_bytes < 1.2 * BODY_BYTES
    assert 0 < counters.egress_bytes < 0.2 * BODY_BYTES
    assert await bench.engine.read_counters(spec.lease_id) == counters


async def test_network_is_gone_with_its_lease(bench: Bench) -> None:
    spec = bench.spec("ls -d /sys/class/net/*; cat /etc/resolv.conf", network=True)
    before = await trio.run_process(["nft", "list", "tables"], capture_stdout=True)
    await bench.engine.start(spec)
    await bench.engine.wait(spec.lease_id)
    seen = (await bench.read_log(spec.lease_id)).split()
    assert seen == ["/sys/class/net/eth0", "/sys/class/net/lo", "nameserver", "9.9.9.9", "nameserver", "1.1.1.1"]
    await bench.engine.remove(spec.lease_id)
    after = await trio.run_process(["nft", "list", "tables"], capture_stdout=True)
    assert after.stdout == before.stdout


async def test_two_networked_workloads_do_not_reach_each_other(bench: Bench) -> None:
    server = bench.spec("echo up; nc -l -p 8099 -e echo hello; sleep 30", network=True)
    await bench.engine.start(server)
    await bench.wait_line(server.lease_id, "up")
    addresses = " ".join(f"198.18.0.{4 * number + 2}" for number in range(5))
    script = f"for a in {addresses}; do timeout 2 nc -w 1 $a 8099 </dev/null; done; echo over"
    _, log = await bench.run(script, network=True)
    assert "over" in log and "hello" not in log


def make_flood(rounds: int) -> str:
    """A script that fetches the body again and again, and says how many bytes came in all."""
    fetch_once = f"printf 'GET /body HTTP/1.0\\r\\n\\r\\n' | timeout 3 nc -w 1 {WORLD} 8099 2>/dev/null"
    return f"i=0; while [ $i -lt {rounds} ]; do i=$((i+1)); {fetch_once}; done 2>/dev/null | wc -c"


async def test_what_was_agreed_is_all_that_comes_in(bench: Bench, world: None) -> None:
    """Within one connection that stands already, too; what was dropped is not billed."""
    limit = BODY_BYTES // 4
    spec = bench.spec(make_flood(2), network=True, network_bytes=limit)
    state, log = await bench.run_spec(spec)
    assert 0.5 * limit < int(log) <= limit and state.network_spent
    counters = await bench.engine.read_counters(spec.lease_id)
    assert int(log) < counters.ingress_bytes <= limit and 0 < counters.egress_bytes < limit


async def test_what_was_agreed_is_all_that_goes_out(bench: Bench, world: None) -> None:
    sink = ["ip", "netns", "exec", "xnworld", "busybox", "nc", "-l", "-p", "8098"]
    async with trio.open_nursery() as nursery:
        serve = partial(trio.run_process, sink, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, check=False)
        server = await nursery.start(serve)
        before = read_world_bytes()
        script = f"head -c 20m /dev/zero | timeout 5 nc -w 1 {WORLD} 8098; echo over"
        spec = bench.spec(script, network=True, network_bytes=1_000_000)
        state, _ = await bench.run_spec(spec)
        server.kill()
    assert 500_000 < read_world_bytes() - before < 1_100_000 and state.network_spent
    assert (await bench.engine.read_counters(spec.lease_id)).egress_bytes <= 1_000_000


async def test_limit_stands_while_no_daemon_runs_and_begins_at_nothing(bench: Bench, world: None) -> None:
    """The rule is the kernel's: another engine over the same lease neither lifts it nor begins it anew."""
    spec = bench.spec(
        f"{make_flood(1)}; echo half; sleep 2; {make_flood(1)}", network=True, network_bytes=BODY_BYTES // 2
    )
    await bench.engine.start(spec)
    await bench.wait_line(spec.lease_id, "half")
    again = PodmanEngine(bench.state_dir, NAMESPACE)
    assert (await again.inspect(spec.lease_id)).status == "running"
    await again.start(spec)
    with trio.fail_after(60):
        await again.wait(spec.lease_id)
    first, _, second = (word for word in (await bench.read_log(spec.lease_id)).split() if word[0] in "0123456789h")
    assert int(first) > 0 and int(first) + int(second) <= BODY_BYTES // 2
    assert (await again.read_counters(spec.lease_id)).ingress_bytes <= BODY_BYTES // 2


async def test_agreed_on_nothing_is_nothing(bench: Bench, world: None) -> None:
    spec = bench.spec(fetch(WORLD), network=True, network_bytes=0)
    _, log = await bench.run_spec(spec)
    assert "to blocked" in log
    counters = await bench.engine.read_counters(spec.lease_id)
    assert (counters.ingress_bytes, counters.egress_bytes) == (0, 0)


def read_world_bytes() -> int:
    """Bytes that have gone out of this host to the world so far."""
    return int(Path("/sys/class/net/xnworld0/statistics/tx_bytes").read_text())


async def test_rest_of_what_was_agreed_is_no_limit_reached(bench: Bench, world: None) -> None:
    spec = bench.spec(make_flood(1), network=True)
    state, log = await bench.run_spec(spec)
    assert int(log) > BODY_BYTES and not state.network_spent
    assert not (await bench.engine.inspect(spec.lease_id)).network_spent
