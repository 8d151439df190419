"""A node in its own process: prints one JSON line saying where it is, then answers until it is killed.

Run as `python node.py '{"secret": hex, "listen": [...], ...}'`; every option has a default.
"""

from __future__ import annotations

import json
import os
import sys
import time

import trio

from metering.units import Address, Hash32
from xnode.net.edge import Net, NetSettings, open_net

SEPARATOR = Hash32(bytes(range(32)))


async def main(options: dict[str, object]) -> None:
    settings = NetSettings(
        secret=bytes.fromhex(str(options["secret"])),
        listen=tuple(options.get("listen", ["/ip4/127.0.0.1/tcp/0"])),  # type: ignore[arg-type]
        separator=SEPARATOR,
    )
    async with open_net(settings, time.time_ns) as net:
        serve_all(net)
        print(
            json.dumps({"address": net.address.hex(), "multiaddrs": net.multiaddrs(), "pid": os.getpid()}), flush=True
        )
        await trio.sleep_forever()


def serve_all(net: Net) -> None:
    async def who(caller: Address, body: bytes) -> bytes:
        return caller

    async def echo(caller: Address, body: bytes) -> bytes:
        return body

    net.serve("who", who)
    net.serve("echo", echo)


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
