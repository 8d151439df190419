"""ChainClient: what the node reads of the contracts and sends to them (implements ports.Chain)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
import trio
from sqlalchemy import Engine

from metering.eip712 import typed_digest
from metering.receipt import SignedReceipt
from metering.signature import recover_signer
from metering.terms import Escrow, Opening, escrow_id_of
from metering.units import ZERO_HASH, Amount, Hash32
from xnode.chain.abi.codec import Call
from xnode.chain.capacity import CapacityClient
from xnode.chain.contracts import breach_prover, payment_escrow
from xnode.chain.deployment.check import find_other_owner
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc, Reverted, WrongChain
from xnode.chain.node.logs import POLL_S, Cursor, LogPoller
from xnode.chain.node.pulse import pace_of
from xnode.chain.node.questions import ask_block
from xnode.chain.reads import ChainReads
from xnode.chain.reveals import RevealClient
from xnode.chain.send.transactor import Pace, Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, TxCall
from xnode.errors import Permanent, Retryable
from xnode.ports.chain import ClaimRow, Fuel, Sent
from xnode.ports.wallet import TransactionSigner
from xnode.text.hex import checksum_address

if TYPE_CHECKING:
    from trio_typing import TaskStatus

# A row that is skipped when estimated may be paid when mined (a top-up came between), and a release that had nothing to
# give back may have something: limits must hold for the expensive case. Unused gas costs nothing.
CLAIM_GAS = 180_000  # With the first fee and the first share of a split ever taken in an asset.
CLAIM_ROW_GAS = 24_000
RELEASE_GAS = 50_000

TYPICAL_GAS = 250_000
"""Of one of our transactions: an opening takes less, a claim of a few rows about as much."""

log = structlog.get_logger(__name__)


class ChainClient(ChainReads):
    """The contracts of one manifest, through one chain node and one key. run() must be running for sends to end."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, transactor: Transactor) -> None:
        super().__init__(rpc, manifest)
        self._transactor = transactor
        self._separator = manifest.domain.separator()
        self.capacity = CapacityClient(rpc, manifest, transactor)
        self.reveals = RevealClient(rpc, manifest.contracts.answer_reveals, transactor)

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watches our transactions until cancelled."""
        await self._transactor.run(task_status)

    def make_poller(
        self, cursor: Cursor | None = None, find_pause_s: Callable[[], float] = lambda: POLL_S
    ) -> LogPoller:
        """Reads the contracts' confirmed events, from the deployment or a saved cursor on."""
        manifest, addresses = self.manifest, (self._escrow, self._registry)
        return LogPoller(self.rpc, addresses, manifest.deployed_at_block, manifest.confirmations, cursor, find_pause_s)

    async def make_cursor(self) -> Cursor:
        """A cursor at the newest confirmed block: a poller that goes on from it gives only what comes later."""
        number = max(0, await self.head_number() - self.manifest.confirmations + 1)
        block = await self.rpc.ask(ask_block(number))
        if block is None:
            raise Retryable(f"chain node {self.rpc.where} does not show block {number} yet")
        return Cursor(((number, block.hash),))

    # ---- Checking

    async def check(self) -> str:
        """One line about the chain, when everything is what the manifest says; else Permanent with what to fix.

        Another owner of contracts that are else what they should be is a warning in the log."""
        try:
            chain_id = await self.rpc.check_chain_id()
        except WrongChain as error:
            raise Permanent(error.message, code="wrong_chain", hint=error.hint) from error
        # Leases that run and money that is due must not wait for who governs.
        other = await find_other_owner(self.rpc, self.manifest)
        if other is not None:
            log.warning("contracts are governed by another owner", reason=other.message, hint=other.hint)
        return f"chain {chain_id} at {self.rpc.where}, escrow {checksum_address(self._escrow)}"

    async def check_is_there(self) -> None:
        """Nothing, when the node serves our chain now; else Retryable or Permanent."""
        await self.rpc.check_chain_id()

    # ---- Watching

    async def measure_pace(self) -> None:
        """Learn how fast blocks come, from the newest ones."""
        self.rpc.pulse.pace = pace_of(await self.block_times())

    async def read_fuel(self) -> Fuel:
        """What our key can pay for."""
        wei, gas_price = await self._transactor.read_fuel()
        return Fuel(wei, wei // max(1, TYPICAL_GAS * gas_price))

    # ---- Sending

    async def open_escrow(self, intent: str, escrow: Escrow, opening: Opening, signature: bytes) -> Sent:
        """Relays the opening; confirmed when it returns. ok too when someone else has relayed it first."""
        signed_by = recover_signer(typed_digest(self._separator, "Opening", opening), signature)
        # Another signer would be refused; a payer that is a contract (ERC-1271) recovers to an unknown address.
        opener = escrow.signer if signed_by == escrow.signer else escrow.payer
        data = payment_escrow.make_open_by_sig(escrow, opening, opener, signature)
        try:
            sent = await self._transactor.send(intent, TxCall(self._escrow, data))
        except Reverted as error:
            if error.revert.name != "NonceAlreadyUsed":
                raise
            return Sent(intent, ZERO_HASH, await self.head_number(), True, 0)
        nonce = int.from_bytes(opening.nonce, "big")
        used = sent.ok or await self.rpc.view(self._escrow, payment_escrow.IS_NONCE_USED, opener, nonce)
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

    async def show_receipt(self, intent: str, newer: SignedReceipt, most_wei: int) -> Sent:
        """Shows that a lease is not silent. Not sent again once the claim is gone: somebody else may have answered it."""
        judge = self.manifest.contracts.breach_prover
        call = TxCall(judge, breach_prover.make_answer(newer), most_wei=most_wei, is_optional=True)

        async def is_wanted() -> bool:
            (silence,) = await self.silences_of((newer.receipt.lease_id,))
            return silence is not None and (newer.receipt.final or newer.receipt.at_ns >= silence.late_ns)

        return await self._transactor.send(intent, call, is_wanted=is_wanted)

    async def collect_shortfall(self, intent: str, lease_id: Hash32) -> Sent:
        """Has what a lease's reserve lacked paid to its payer, out of the provider's stake."""
        call = TxCall(self.manifest.contracts.breach_prover, breach_prover.COLLECT.encode(lease_id))
        return await self._transactor.send(intent, call)

    async def _send_terms(self, intent: str, call: Call, escrow: Escrow) -> Sent:
        return await self._transactor.send(intent, TxCall(self._escrow, call.encode(escrow)))


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
        raise Permanent("no chain node is named", hint="set chain.rpc_url")
    async with (
        JsonRpc(url, manifest.chain_id, least_block=manifest.deployed_at_block) as rpc,
        trio.open_nursery() as nursery,
    ):
        client = make_client(rpc, manifest, signer, engine, pace)
        await nursery.start(client.run)
        yield client
        nursery.cancel_scope.cancel()
