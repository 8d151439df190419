"""Remote: a real node in its own process, and how a test talks to it."""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metering.units import NANOS_PER_SECOND, Address
from tests.xnode.net.node import SEPARATOR
from xnode.net.edge import Net, NetSettings
from xnode.net.identity import peer_id_text_of
from xnode.ports.net import Peer

NODE = Path(__file__).with_name("node.py")
ROOT = Path(__file__).parents[3]
START_S = 40.0


@dataclass
class Remote:
    """A node's process."""

    process: subprocess.Popen[str]
    secret: bytes
    peer: Peer
    bootstrap: str
    """Its first multiaddr with /p2p, for others' bootstrap."""

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> None:
        if self.is_running:
            self.signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_remote(**options: Any) -> Remote:
    secret = options.pop("secret", None) or secrets.token_bytes(32)
    process = subprocess.Popen(
        [sys.executable, str(NODE), json.dumps({"secret": secret.hex(), **options})],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline() if ready else ""
    if not line:
        process.kill()
        process.wait()
        raise AssertionError("the node did not start")
    where = json.loads(line)
    peer = Peer(Address(bytes.fromhex(where["address"])), tuple(where["multiaddrs"]))
    first = peer.multiaddrs[0] if peer.multiaddrs else ""
    return Remote(process, secret, peer, f"{first}/p2p/{peer_id_text_of(secret)}")


def make_settings(**changes: Any) -> NetSettings:
    """A node of this process: it listens nowhere and asks no DHT by default."""
    plain = {"secret": secrets.token_bytes(32), "listen": (), "separator": SEPARATOR, "dht": False}
    return NetSettings(**{**plain, **changes})


def in_s(seconds: float) -> int:
    """A deadline."""
    return time.time_ns() + int(seconds * NANOS_PER_SECOND)


async def ask(net: Net, remote: Remote | Peer, method: str, body: bytes = b"", within_s: float = 15.0) -> bytes:
    """Call with a deadline."""
    peer = remote.peer if isinstance(remote, Remote) else remote
    return await net.call(peer, method, body, in_s(within_s))
