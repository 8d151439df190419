"""Devnet run: this process becomes the devnet: anvil, the contracts, and what fills the wallets of its home."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from metering.units import Address
from xnode.chain.deployment.devnet import NODE_FOLDER, OWNER_KEY, Devnet, DevnetOptions, open_devnet
from xnode.chain.deployment.manifest import parse_address
from xnode.cli.terminal.screen import say
from xnode.control.server import hold_pid_file, serve_control
from xnode.devnet_node import DevnetNode, open_devnet_node
from xnode.errors import Retryable
from xnode.extras import has_module, install
from xnode.home import Home, make_private
from xnode.logs import set_up_logs
from xnode.text.hex import to_hex
from xnode.wallet.keystore import Keystore
from xnode.wallet.signer import WalletKey

LOOK_EVERY_S = 1.0
"""How soon a new wallet has money."""

ANOTHER_HINT = "stop it with Ctrl-C where it runs, or start another with --folder and --port"

MAX_ADDRESSES = 100
"""Of one request: each is two transactions."""


def run(home: Home, folder: Path, port: int, block_time_s: float, bare: bool) -> None:
    """Run until Ctrl-C or SIGTERM. bare: the chain alone."""
    set_up_logs("warning")
    make_private(folder)
    with hold_pid_file(folder / "devnet.pid", "a devnet is already running", ANOTHER_HINT):
        trio.run(_run, home, DevnetOptions(folder, WalletKey(OWNER_KEY), port, block_time_s), bare)
    say("stopped; the chain is kept")


def find_socket(folder: Path) -> Path:
    """Where a running devnet takes requests."""
    return folder / "devnet.sock"


async def _run(home: Home, options: DevnetOptions, bare: bool) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with (
            open_devnet(options) as devnet,
            _open_node(devnet, options.folder, bare) as node,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(serve_control, find_socket(options.folder), {"devnet.fund": partial(_fund, devnet)})
            nursery.start_soon(_fund_home, devnet, home)
            say(f"chain {devnet.manifest.chain_id} at {devnet.url}")
            if node is not None:
                say(f"first peer {node.address}")
                nursery.start_soon(_verify, node, devnet)
            say(f"manifest {options.folder / 'manifest.toml'}")
            say("wallets of this home get 10 ETH and 10000 OPENX; Ctrl-C stops it")
            async for _ in signals:
                break
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def _open_node(devnet: Devnet, folder: Path, bare: bool) -> AsyncIterator[DevnetNode | None]:
    """The devnet's own node, which its manifest names; None on a bare one."""
    if bare:
        yield None
        return
    async with open_devnet_node(devnet.manifest, folder / NODE_FOLDER) as node:
        await devnet.name_peer(node.address, folder / "manifest.toml")
        yield node


async def _verify(node: DevnetNode, devnet: Devnet) -> None:
    """Judge the challenges of all providers of the devnet."""
    if not has_module("numpy"):
        say(f"no verifier: challenges are not judged; {install('numpy')}")
        return
    enlisted = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.verify, devnet, enlisted)
        await enlisted.wait()
        say(f"verifier {to_hex(node.owner.address)} judges challenges")


async def _fund(devnet: Devnet, params: dict[str, Any]) -> bool:
    texts = list(params["addresses"])[:MAX_ADDRESSES]
    await devnet.fund([parse_address(text, "addresses") for text in texts])
    return True


async def _fund_home(devnet: Devnet, home: Home) -> None:
    """Money for each wallet and node key that comes up in the home."""
    done: set[Address] = set()
    while True:
        found = await trio.to_thread.run_sync(_list_addresses, home)
        for address in found - done:
            try:
                await devnet.fund([address])
            except Retryable as error:
                say(f"{to_hex(address)} not funded yet: {error}")
                continue
            done.add(address)
            say(f"funded {to_hex(address)}")
        await trio.sleep(LOOK_EVERY_S)


def _list_addresses(home: Home) -> set[Address]:
    files = [*Keystore(home.keystore).list()]
    if home.node_key.exists():
        files += Keystore(home.node_key).list()
    return {file.address for file in files if file.address}
