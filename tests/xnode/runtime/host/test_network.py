"""A workload with network reaches the world and nothing of ours; every byte is counted."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.xnode.runtime.conftest import Bench

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
