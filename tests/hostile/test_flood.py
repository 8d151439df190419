"""A flood of everything that strangers get for nothing, from real sockets: those we work with go on, and a newcomer gets in."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import pytest
import trio

from tests.hostile.attackers import ATTACKS
from tests.xnode.net.remote import ROOT, Remote, ask, make_settings
from xnode.errors import Retryable
from xnode.net.edge import Net, open_net
from xnode.net.identity import node_address_of

pytestmark = pytest.mark.net

FLOOD_S = 15.0
AT_ONCE = {
    "silent-sockets": 330,
    "half-handshakes": 40,
    "idle-connections": 30,
    "streams": 4,
    "half-frames": 4,
    "requests": 8,
}
"""So many of each: the attackers have one processor of this host, which they share with those that they attack."""

CALL_S = 5.0
NEWCOMER_S = 10.0
MAX_GROWTH_BYTES = 64 << 20


@contextmanager
def flooding(target: str, seconds: float, attacks: dict[str, int]) -> Iterator[None]:
    """Each attack in a process of its own."""
    command = [sys.executable, "-m", "tests.hostile.attackers"]
    started = [
        subprocess.Popen(
            [*command, name, target, str(count), str(seconds)],
            cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for name, count in attacks.items()
    ]  # fmt: skip
    try:
        yield
    finally:
        for one in started:
            one.kill()
        for one in started:
            one.wait()


@dataclass
class Served:
    """How others fared meanwhile. latencies_s: of the partner's calls; newcomers_s: from nothing to the first answer."""

    latencies_s: list[float] = field(default_factory=list)
    newcomers_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    items: int = 0


async def test_a_partner_is_served_and_a_newcomer_gets_in_while_strangers_flood(
    remotes: Callable[..., Remote],
) -> None:
    secret, served = secrets.token_bytes(32), Served()
    remote = remotes(partners=[node_address_of(secret).hex()], alive_s=1.0)
    process = psutil.Process(remote.process.pid)
    async with open_net(make_settings(secret=secret), time.time_ns) as partner:
        await ask(partner, remote, "echo")
        (way,) = partner._session.host.list_connections(remote.peer.address)  # type: ignore[union-attr]
        before = process.memory_info().rss
        with flooding(remote.bootstrap, FLOOD_S, AT_ONCE):
            with trio.move_on_after(FLOOD_S):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(keep_calling, partner, remote, served)
                    nursery.start_soon(keep_reading, partner, remote, served)
                    nursery.start_soon(keep_coming, remote, served)
            grown = process.memory_info().rss - before
            descriptors = process.num_fds()
        assert not way.is_closed
        assert not served.faults, served.faults
        assert len(served.latencies_s) > 20 and served.items == 1
        assert len(served.newcomers_s) >= 2 and max(served.newcomers_s) < NEWCOMER_S, served.newcomers_s
        assert grown < MAX_GROWTH_BYTES, grown
        assert descriptors < 1200
        assert await ask(partner, remote, "who") == partner.address


async def keep_calling(net: Net, remote: Remote, served: Served) -> None:
    """As a lease's receipts come, but more often."""
    while True:
        begun = time.monotonic()
        try:
            await ask(net, remote, "echo", b"receipt", CALL_S)
            served.latencies_s.append(time.monotonic() - begun)
        except Retryable as error:
            served.faults.append(f"call: {error}")
        await trio.sleep_until(trio.current_time() + 0.1)


async def keep_reading(net: Net, remote: Remote, served: Served) -> None:
    """A log that is silent, and must not end."""
    try:
        async with net.stream(remote.peer, "silence", b"") as items:
            async for _ in items:
                served.items += 1
        served.faults.append("the stream ended")
    except Retryable as error:
        served.faults.append(f"stream: {error}")


async def keep_coming(remote: Remote, served: Served) -> None:
    """Nodes that nobody has seen before, one after the other."""
    while True:
        begun = time.monotonic()
        async with open_net(make_settings(), time.time_ns) as newcomer:
            while True:
                try:
                    await ask(newcomer, remote, "who", within_s=NEWCOMER_S)
                    break
                except Retryable:
                    await trio.sleep_until(trio.current_time() + 0.2)
            served.newcomers_s.append(time.monotonic() - begun)


def test_every_attack_of_the_flood_has_a_name() -> None:
    assert set(AT_ONCE) == set(ATTACKS)
