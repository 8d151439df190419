"""Devnet: a whole settlement chain on this machine: anvil, the contracts, and money for the addresses that are named."""

from __future__ import annotations

import gzip
import secrets
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
import trio

from metering.units import ZERO_ADDRESS, Address, Amount
from xnode.chain.contracts import openx_token
from xnode.chain.contracts.challenge_rules import DeviceClass
from xnode.chain.deployment.anvil import Anvil, AnvilOptions, lock_folder, open_anvil
from xnode.chain.deployment.deploy import deploy
from xnode.chain.deployment.manifest import Manifest, read_manifest, write_manifest
from xnode.chain.deployment.plan import CapacityPlan, Credits, Governance, Plan, Supply
from xnode.chain.node.json_rpc import JsonRpc, read_native_balance
from xnode.chain.node.questions import ask_block_size, ask_head, dump_state
from xnode.chain.send.transactor import Pace, Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, TxCall, make_engine
from xnode.durable import replace_file
from xnode.errors import Permanent, Retryable
from xnode.home import make_private
from xnode.ports.wallet import TransactionSigner
from xnode.text.amount import OPENX

if TYPE_CHECKING:
    from trio_typing import TaskStatus

CHAIN_ID = 31337

OWNER_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
"""anvil's first account, which is public and owns a devnet's contracts and supply; never use it elsewhere."""

SUPPLY = 1_000_000_000 * OPENX
MIN_THAW_S = 2
STAKE_THAW_S = 5
"""Short enough to watch a thaw end; a real network gives providers hours."""

GOVERNANCE_DELAY_S = 5
"""Of the timelock: short enough to watch a proposal become ready."""

CAPACITY = CapacityPlan(
    draw_delay_blocks=1,
    panel_size=3,
    quorum=3,
    min_panel=1,
    min_list=1,
    answer_time_s=60,
    validity_s=86_400,
    spot_check_pause_s=10,
    recheck_time_s=3_600,
    leave_delay_s=60,
    fee=Amount(OPENX),
    device_fee=Amount(OPENX // 1000),
    verifier_stake=Amount(100 * OPENX),
)
"""A panel of three that must agree, or of the one verifier there is; and a challenge that is over in seconds."""

CLASSES = (
    DeviceClass("cpu", "cpu", weight_milli=1000, n=1024, time_limit_ms=20_000),
    DeviceClass("gpu", "gpu", weight_milli=1000, n=4096, time_limit_ms=20_000),
)
"""Small matrices: any machine multiplies them at once, also one that is busy."""

CREDITS = Credits(gpu_collateral=Amount(2 * OPENX), cpu_collateral=Amount(OPENX // 10), window_hours=24)

NODE_FOLDER = "node"
"""Of a devnet's folder: its own node's."""

FUND_WEI = 10 * 10**18
FUND_OPENX = 10_000 * OPENX

DEPLOY_POLL_S = 0.03
"""While a devnet deploys: how often a block is made and looked at."""

SAVE_INTERVAL_S = 1.0
"""The most that a kill -9 of the chain loses; senders then broadcast what is missing again."""

SAVE_DEADLINE_S = 10.0
"""For the last save, with a person waiting at Ctrl-C."""

SAVE_EMPTY_BLOCKS = 120
"""Blocks without transactions cost nothing to lose, so they alone are saved rarely."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DevnetOptions:
    """folder: keeps state, manifest and journal; owner: signs for OWNER_KEY's account; port: 0 takes a free one."""

    folder: Path
    owner: TransactionSigner
    port: int = 0
    block_time_s: float | None = 1.0
    chain_id: int = CHAIN_ID


class Devnet:
    """A running devnet."""

    def __init__(self, manifest: Manifest, anvil: Anvil, rpc: JsonRpc, transactor: Transactor) -> None:
        self.manifest, self.rpc, self.pid = manifest, rpc, anvil.pid
        self._transactor = transactor
        self._funding = trio.Lock()

    @property
    def url(self) -> str:
        """Where its JSON-RPC answers."""
        return self.manifest.rpc_url

    async def fund(self, addresses: Iterable[Address], *, wei: int = FUND_WEI, openx: int = FUND_OPENX) -> None:
        """Bring each address up to that much ETH and OPENX; one that has it already gets nothing."""
        # One at a time: two that looked at the same empty wallet would fill it twice.
        async with self._funding, trio.open_nursery() as nursery:
            for address in addresses:
                nursery.start_soon(self._fund_wei, address, wei)
                nursery.start_soon(self._fund_openx, address, openx)

    async def _fund_wei(self, address: Address, target: int) -> None:
        missing = target - await read_native_balance(self.rpc, address)
        if missing > 0:
            await self._transactor.send(_make_intent("wei"), TxCall(address, b"", value=missing))

    async def _fund_openx(self, address: Address, target: int) -> None:
        token = self.manifest.contracts.openx_token
        missing = target - await self.rpc.view(token, openx_token.BALANCE_OF, address)
        if missing > 0:
            await self._transactor.send(
                _make_intent("openx"), TxCall(token, openx_token.TRANSFER.encode(address, missing))
            )

    async def name_peer(self, address: str, path: Path) -> None:
        """Say in the manifest at `path` which peer nodes of this market start from."""
        self.manifest = msgspec.structs.replace(self.manifest, bootstrap=(address,))
        await trio.to_thread.run_sync(write_manifest, path, self.manifest)

    async def save(self, path: Path) -> None:
        """Write the whole chain to a file that anvil can begin from, complete or not at all."""
        packed = await self.rpc.ask(dump_state())
        await trio.to_thread.run_sync(replace_file, path, gzip.decompress(packed))


async def run_devnet(options: DevnetOptions, task_status: TaskStatus[Devnet] = trio.TASK_STATUS_IGNORED) -> None:
    """Runs until cancelled, then saves the chain and ends anvil. nursery.start gets the Devnet when all is deployed."""
    make_private(options.folder)
    with lock_folder(options.folder):
        await _run_locked(options, task_status)


async def _run_locked(options: DevnetOptions, task_status: TaskStatus[Devnet]) -> None:
    folder = options.folder
    state = folder / "chain.json"
    if not state.exists():
        _forget(folder)
    anvil_options = AnvilOptions(
        folder, options.chain_id, options.port, options.block_time_s, state if state.exists() else None
    )
    async with (
        open_anvil(anvil_options) as anvil,
        JsonRpc(anvil.url, options.chain_id) as rpc,
        trio.open_nursery() as nursery,
    ):
        manifest = await _deploy_once(options, rpc, anvil.url)
        transactor = _make_transactor(options, rpc, min(0.25, (options.block_time_s or 0.2) / 4))
        await nursery.start(transactor.run)
        devnet = Devnet(manifest, anvil, rpc, transactor)
        await devnet.save(state)
        task_status.started(devnet)
        try:
            await _keep_saving(devnet, state)
        finally:
            await _save_last(devnet, state)


@asynccontextmanager
async def open_devnet(options: DevnetOptions) -> AsyncIterator[Devnet]:
    """A devnet for as long as the block runs."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(run_devnet, options)
        nursery.cancel_scope.cancel()


def make_devnet_plan(owner: Address) -> Plan:
    """What a devnet deploys: all OPENX and all governance are the owner's, and everything takes seconds."""
    return Plan(
        openx=Supply(owner, Amount(SUPPLY)),
        governance=Governance((owner,), (ZERO_ADDRESS,), owner, GOVERNANCE_DELAY_S),
        stake_thaw_s=STAKE_THAW_S,
        escrow_min_thaw_s=MIN_THAW_S,
        credits=CREDITS,
        capacity=CAPACITY,
        classes=CLASSES,
    )


def _make_transactor(options: DevnetOptions, rpc: JsonRpc, poll_interval_s: float) -> Transactor:
    engine = make_engine(options.folder / "transactions.sqlite")
    journal = SqlTxJournal(engine, options.chain_id, options.owner.address)
    return Transactor(rpc, options.owner, journal, options.chain_id, Pace(poll_interval_s=poll_interval_s))


async def _deploy_once(options: DevnetOptions, rpc: JsonRpc, url: str) -> Manifest:
    path = options.folder / "manifest.toml"
    manifest = read_manifest(path) if path.exists() else await _deploy(options, rpc)
    manifest = msgspec.structs.replace(manifest, rpc_url=url)
    write_manifest(path, manifest)
    return manifest


async def _deploy(options: DevnetOptions, rpc: JsonRpc) -> Manifest:
    async with trio.open_nursery() as nursery:
        # A dozen transactions one after the other: no one should wait for the block time, nor for ours to look.
        transactor = _make_transactor(options, rpc, DEPLOY_POLL_S)
        await nursery.start(transactor.run)
        nursery.start_soon(_mine_eagerly, rpc)
        manifest = await deploy(rpc, transactor, options.chain_id, make_devnet_plan(options.owner.address))
        nursery.cancel_scope.cancel()
    return manifest


async def _mine_eagerly(rpc: JsonRpc) -> None:
    while True:
        await trio.sleep(DEPLOY_POLL_S)
        await rpc.write("evm_mine")


async def _keep_saving(devnet: Devnet, state: Path) -> None:
    saved_block = 0
    while True:
        began = trio.current_time()
        try:
            head = await devnet.rpc.ask(ask_head())
            if head - saved_block >= SAVE_EMPTY_BLOCKS or await _has_transactions(devnet.rpc, saved_block + 1, head):
                await devnet.save(state)
                saved_block = head
        except (Retryable, Permanent) as error:
            log.warning("devnet state not saved", reason=str(error))
        # A state of many days takes long to save: never more than a tenth of the time.
        await trio.sleep(max(SAVE_INTERVAL_S, 9 * (trio.current_time() - began)))


async def _save_last(devnet: Devnet, state: Path) -> None:
    with trio.move_on_after(SAVE_DEADLINE_S) as scope:
        scope.shield = True
        try:
            await devnet.save(state)
        except (Retryable, Permanent) as error:
            # Most likely anvil is gone: what was saved before it stands.
            log.warning("devnet state not saved", reason=str(error))


async def _has_transactions(rpc: JsonRpc, first: int, last: int) -> bool:
    if last < first:
        return False
    blocks = range(max(first, last - 99), last + 1)
    return any(await rpc.ask_all([ask_block_size(block) for block in blocks]))


def _forget(folder: Path) -> None:
    """Nothing remembered of another chain is true on a new one."""
    for name in ("manifest.toml", "transactions.sqlite", "transactions.sqlite-wal", "transactions.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / NODE_FOLDER, ignore_errors=True)


def _make_intent(what: str) -> str:
    return f"fund/{what}/{secrets.token_hex(8)}"
