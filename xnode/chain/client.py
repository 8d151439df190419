"""ChainClient: what the node reads of the contracts and sends to them (implements ports.Chain)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
import trio
from sqlalchemy import Engine

from metering.eip712 import typed_digest
from metering.signature import recover_signer
from metering.terms import Escrow, Opening, escrow_id_of
from metering.units import U128_MAX, ZERO_ADDRESS, ZERO_HASH, Address, Amount, Hash32
from xnode.chain.abi.codec import Function, checksum_address, parse_hex
from xnode.chain.contracts import payment_escrow, provider_registry
from xnode.chain.contracts.capacity_registry import CapacityClient
from xnode.chain.deployment.check import check_deployment
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc, Reverted, View
from xnode.chain.node.logs import POLL_S, Cursor, LogPoller
from xnode.chain.send.transactor import Pace, Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, TxCall
from xnode.errors import Permanent
from xnode.ports.chain import ClaimRow, EscrowState, Sent
from xnode.ports.wallet import TransactionSigner

if TYPE_CHECKING:
    from trio_typing import TaskStatus

# A row that is skipped when estimated may be paid when mined (a top-up came between), and a release that had nothing to
# give back may have something: limits must hold for the dear case. Unused gas costs nothing.
CLAIM_GAS = 180_000  # With the first fee and the first share of a split ever taken in an asset.
CLAIM_ROW_GAS = 24_000
RELEASE_GAS = 50_000

log = structlog.get_logger(__name__)


class ChainClient:
    """The contracts of one manifest, through one chain node and one key. run() must be running for sends to end."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, transactor: Transactor) -> None:
        self.manifest = manifest
        self._rpc, self._transactor = rpc, transactor
        self._escrow = manifest.contracts.payment_escrow
        self._registry = manifest.contracts.provider_registry
        self._separator = manifest.domain.separator()
        self.capacity = CapacityClient(rpc, manifest, transactor)

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watches our transactions until cancelled."""
        await self._transactor.run(task_status)

    def make_poller(
        self, cursor: Cursor | None = None, find_pause_s: Callable[[], float] = lambda: POLL_S
    ) -> LogPoller:
        """Reads the contracts' confirmed events, from the deployment or a saved cursor on."""
        manifest, addresses = self.manifest, (self._escrow, self._registry)
        return LogPoller(self._rpc, addresses, manifest.deployed_at_block, manifest.confirmations, cursor, find_pause_s)

    async def make_cursor(self) -> Cursor:
        """A cursor at the newest confirmed block: a poller that goes on from it gives only what comes later."""
        head = int(await self._rpc.read("eth_blockNumber"), 16)
        number = max(0, head - self.manifest.confirmations + 1)
        block = await self._rpc.read("eth_getBlockByNumber", hex(number), False)
        return Cursor(((number, Hash32(parse_hex(block["hash"]))),))

    # ---- Reading

    async def check(self) -> str:
        """One line about the chain, when everything is what the manifest says; else Permanent with what to mend."""
        chain_id = await self._rpc.check_chain_id()
        await check_deployment(self._rpc, self.manifest)
        return f"chain {chain_id} at {self._rpc.where}, escrow {checksum_address(self._escrow)}"

    async def check_is_there(self) -> None:
        """Nothing, when the node serves our chain now; else Retryable or Permanent."""
        await self._rpc.check_chain_id()

    async def free_balance(self, payer: Address, asset: Address) -> Amount:
        """What the payer can still reserve or withdraw."""
        return _to_amount(await self._rpc.view(self._escrow, payment_escrow.FREE, payer, asset))

    async def opener_cap(self, payer: Address, opener: Address, asset: Address) -> Amount:
        """What the opener may still reserve of the payer's free balance."""
        return _to_amount(await self._rpc.view(self._escrow, payment_escrow.OPENER_CAP, payer, opener, asset))

    async def escrow_state(self, escrow_id: Hash32) -> EscrowState:
        """The escrow now; all zero when it was never opened."""
        return (await self.escrow_states((escrow_id,)))[0]

    async def escrow_states(self, escrow_ids: Sequence[Hash32]) -> tuple[EscrowState, ...]:
        """The escrows now, in order; at most MAX_ROWS."""
        assert len(escrow_ids) <= payment_escrow.MAX_ROWS, "too many escrows at once"
        found = await self._rpc.view(self._escrow, payment_escrow.ESCROW_STATES, tuple(escrow_ids))
        return tuple(EscrowState(Amount(deposited), Amount(claimed), end) for deposited, claimed, end in found)

    async def provider_of(self, node: Address) -> Address | None:
        """The provider whose node key this is now."""
        owner: Address = await self._rpc.view(self._registry, provider_registry.PROVIDER_OF, node)
        return None if owner == ZERO_ADDRESS else owner

    async def stakes_of(self, providers: Sequence[Address]) -> tuple[Amount, ...]:
        """The OPENX of each provider that counts as stake, in order."""
        views = [View(self._registry, provider_registry.STAKE_OF, (provider,)) for provider in providers]
        return tuple(_to_amount(stake) for stake in await self._rpc.view_all(views))

    # ---- Sending

    async def open_escrow(self, intent: str, escrow: Escrow, opening: Opening, signature: bytes) -> Sent:
        """Relays the opening; confirmed when it returns. ok too when someone else has relayed it first."""
        signed_by = recover_signer(typed_digest(self._separator, "Opening", opening), signature)
        # Whoever else signed would be refused; a payer that is a contract (ERC-1271) recovers to nobody we know.
        opener = escrow.signer if signed_by == escrow.signer else escrow.payer
        data = payment_escrow.make_open_by_sig(escrow, opening, opener, signature)
        try:
            sent = await self._transactor.send(intent, TxCall(self._escrow, data))
        except Reverted as error:
            if error.revert.name != "NonceAlreadyUsed":
                raise
            head = int(await self._rpc.read("eth_blockNumber"), 16)
            return Sent(intent, ZERO_HASH, head, True, 0)
        nonce = int.from_bytes(opening.nonce, "big")
        used = sent.ok or await self._rpc.view(self._escrow, payment_escrow.IS_NONCE_USED, opener, nonce)
        return replace(sent, ok=used)

    async def claim_and_release(self, intent: str, rows: tuple[ClaimRow, ...], release: bool) -> Sent:
        """Claims every row's voucher and, when `release`, gives the rest of each escrow back to its payer.

        One transaction, or one for each MAX_ROWS rows: then the last is returned, with the gas of all. When the
        releases would revert (the node key was replaced, say), the claims go alone: the money comes first.
        """
        parts = [rows[at : at + payment_escrow.MAX_ROWS] for at in range(0, len(rows), payment_escrow.MAX_ROWS)]
        if not parts:
            raise Permanent("a claim without rows", code="empty_claim")
        sents = []
        for number, part in enumerate(parts):
            name = intent if number == 0 else f"{intent}/{number}"
            sents.append(await self._claim_part(name, part, release))
        ok, gas_used = all(sent.ok for sent in sents), sum(sent.gas_used for sent in sents)
        return replace(sents[-1], intent=intent, ok=ok, gas_used=gas_used)

    async def _claim_part(self, intent: str, rows: tuple[ClaimRow, ...], release: bool) -> Sent:
        claimable = [row for row in rows if row.voucher is not None]
        claims = payment_escrow.make_claims(claimable)
        releases = await self._make_releases(rows) if release else []
        if not claims and not releases:
            raise Permanent("nothing to claim and nothing to release", code="empty_claim")
        gas_floor = CLAIM_GAS + CLAIM_ROW_GAS * len(claimable) + RELEASE_GAS * len(releases)
        try:
            return await self._send_all(intent, [*claims, *releases], gas_floor)
        except Reverted as error:
            if not claims or not releases:
                raise
            log.warning("released nothing, claiming alone", intent=intent, reason=str(error))
            return await self._send_all(intent, claims, gas_floor)

    async def _make_releases(self, rows: tuple[ClaimRow, ...]) -> list[bytes]:
        states = await self.escrow_states([escrow_id_of(self._separator, row.escrow) for row in rows])
        releases = []
        for row, state in zip(rows, states, strict=True):
            # Never below what is claimed by then, or the release would revert and take the claims with it.
            owed = max(row.voucher.cumulative if row.voucher else Amount(0), state.claimed)
            releases.append(payment_escrow.make_release(row.escrow, owed))
        return releases

    async def _send_all(self, intent: str, calls: list[bytes], gas_floor: int) -> Sent:
        data = calls[0] if len(calls) == 1 else payment_escrow.MULTICALL.encode(calls)
        return await self._transactor.send(intent, TxCall(self._escrow, data, gas_floor=gas_floor))

    async def start_thaw(self, intent: str, escrow: Escrow) -> Sent:
        """Starts the time after which the rest goes back to the payer."""
        return await self._send_terms(intent, payment_escrow.START_THAW, escrow)

    async def close_escrow(self, intent: str, escrow: Escrow) -> Sent:
        """Gives the rest back to the payer's free balance after the thaw."""
        return await self._send_terms(intent, payment_escrow.CLOSE, escrow)

    async def _send_terms(self, intent: str, function: Function, escrow: Escrow) -> Sent:
        data = function.encode(payment_escrow.make_terms_values(escrow))
        return await self._transactor.send(intent, TxCall(self._escrow, data))


def make_client(
    rpc: JsonRpc, manifest: Manifest, signer: TransactionSigner, engine: Engine, pace: Pace | None = None
) -> ChainClient:
    """A client whose transactions are kept in table chain_tx of the engine (made by tx_journal.make_table)."""
    pace = replace(pace or Pace(), confirmations=manifest.confirmations)
    journal = SqlTxJournal(engine, manifest.chain_id, signer.address)
    return ChainClient(rpc, manifest, Transactor(rpc, signer, journal, manifest.chain_id, pace))


@asynccontextmanager
async def open_client(
    manifest: Manifest, signer: TransactionSigner, engine: Engine, *, rpc_url: str = "", pace: Pace | None = None
) -> AsyncIterator[ChainClient]:
    """A running client. rpc_url: "" takes the manifest's."""
    url = rpc_url or manifest.rpc_url
    if not url:
        raise Permanent("no chain node is named; set chain.rpc_url")
    async with JsonRpc(url, manifest.chain_id) as rpc, trio.open_nursery() as nursery:
        client = make_client(rpc, manifest, signer, engine, pace)
        await nursery.start(client.run)
        yield client
        nursery.cancel_scope.cancel()


def _to_amount(value: int) -> Amount:
    # 256 bits come only as "without limit", or from an asset nobody should accept.
    return Amount(min(value, U128_MAX))
