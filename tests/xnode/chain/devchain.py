"""A real chain for tests: anvil mining each transaction at once, the contracts, and wallets with money."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from metering.eip712 import keccak
from metering.units import Address, Amount
from tests.make.waiting import wait_until
from xnode.chain.contracts import openx_token
from xnode.chain.deployment.anvil import find_anvil
from xnode.chain.deployment.deploy import deploy
from xnode.chain.deployment.devnet import CHAIN_ID, OWNER_KEY, make_devnet_plan
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.send.transactor import Pace, Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, make_engine
from xnode.text.hex import parse_hex, to_hex
from xnode.wallet.signer import WalletKey

TOKEN = 10**18
PACE = Pace(poll_interval_s=0.02, stuck_after_s=0.3, deadline_s=20.0)

_numbers = itertools.count(1)


@dataclass(slots=True)
class DevChain:
    """A running anvil; manifest: None until something is deployed."""

    process: subprocess.Popen[bytes]
    drain: subprocess.Popen[bytes]
    """Reads on: what anvil says must not fill the pipe and stop it."""
    url: str
    manifest: Manifest | None = None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.drain.wait()


def start_anvil(*arguments: str, port: int = 0, chain_id: int = CHAIN_ID) -> DevChain:
    """A bare anvil."""
    command = [str(find_anvil()), "--port", str(port), "--chain-id", str(chain_id), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(rb"Listening on (\S+)", line)
        if found:
            null = subprocess.DEVNULL
            drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=null, stderr=null)
            process.stdout.close()
            return DevChain(process, drain, "http://" + found[1].decode())
    raise AssertionError("anvil did not start")


async def deploy_on(url: str, folder: Path) -> Manifest:
    """The contracts, on a fresh chain."""
    owner = WalletKey(OWNER_KEY)
    async with JsonRpc(url, CHAIN_ID) as rpc, trio.open_nursery() as nursery:
        journal = SqlTxJournal(make_engine(folder / "deploy.sqlite"), CHAIN_ID, owner.address)
        transactor = Transactor(rpc, owner, journal, CHAIN_ID, PACE)
        await nursery.start(transactor.run)
        manifest = await deploy(rpc, transactor, CHAIN_ID, make_devnet_plan(owner.address))
        nursery.cancel_scope.cancel()
    return manifest


def make_wallet(seed: str = "") -> WalletKey:
    """A key that no other test of this run uses."""
    return WalletKey(keccak(f"test wallet {seed or next(_numbers)}".encode()))


class Bed:
    """A chain with everything deployed, seen from one test."""

    def __init__(self, manifest: Manifest, rpc: JsonRpc, folder: Path) -> None:
        self.manifest, self.rpc, self.folder = manifest, rpc, folder

    async def new_wallet(self, *, openx: int = 0, wei: int = 10 * TOKEN) -> WalletKey:
        """A fresh key with money."""
        key = make_wallet()
        await self.give(key.address, openx=openx, wei=wei)
        return key

    async def give(self, address: Address, *, openx: int = 0, wei: int = 0) -> None:
        if wei:
            await self.rpc.write("anvil_setBalance", to_hex(address), hex(wei))
        if openx:
            await self.send_as_owner(
                self.manifest.contracts.openx_token, openx_token.TRANSFER.encode(address, Amount(openx))
            )

    async def send_as_owner(self, to: Address, data: bytes) -> str:
        """A transaction by anvil's own unlocked account; mined when this returns."""
        sender = to_hex(WalletKey(OWNER_KEY).address)
        call = {"from": sender, "to": to_hex(to), "data": to_hex(data)}
        tx_hash: str = await self.rpc.write("eth_sendTransaction", call)
        # anvil mines at once, but answers a little before it does.
        receipt = await wait_until(lambda: self.rpc.read("eth_getTransactionReceipt", tx_hash))
        assert receipt["status"] == "0x1", f"{tx_hash} reverted"
        return tx_hash

    async def openx_of(self, address: Address) -> int:
        found: int = await self.rpc.view(self.manifest.contracts.openx_token, openx_token.BALANCE_OF, address)
        return found

    async def approve_as_owner(self, spender: Address, amount: int) -> None:
        token = self.manifest.contracts.openx_token
        await self.send_as_owner(token, openx_token.APPROVE.encode(spender, amount))


@asynccontextmanager
async def other_owner(rpc: JsonRpc, contract: Address) -> AsyncIterator[None]:
    """The contract is owned by somebody else meanwhile, which nothing but the chain's own operator can do."""
    owner = parse_hex(
        await rpc.read("eth_call", {"to": to_hex(contract), "data": to_hex(keccak(b"owner()")[:4])}, "latest")
    )
    for number in range(64):
        slot = f"0x{number:064x}"
        if parse_hex(await rpc.read("eth_getStorageAt", to_hex(contract), slot, "latest")) == owner:
            break
    else:
        raise AssertionError("no slot has the owner")
    await rpc.write("anvil_setStorageAt", to_hex(contract), slot, to_hex(make_wallet().address.rjust(32, b"\0")))
    try:
        yield
    finally:
        await rpc.write("anvil_setStorageAt", to_hex(contract), slot, to_hex(owner))
