"""Chain: blocks, confirmations and outages around a Ledger; and each node's port to it, whose intents survive the node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from metering.eip712 import keccak
from metering.receipt import SignedReceipt
from metering.terms import Escrow, Opening
from metering.units import NANOS_PER_SECOND, Address, Amount, Hash32
from tests.sim.clockwork import Clockwork, Future
from tests.sim.ledger import Ledger, Reverted
from xnode.errors import Permanent, Retryable
from xnode.ports.chain import ClaimRow, EscrowState, Sent, Shortfall, Silence, Spender

READ_NS = 3_000_000


@dataclass(slots=True)
class Chain:
    """One block every `block_ns`. is_down: no chain node can be reached; holds_openings: openings wait in the mempool."""

    clockwork: Clockwork
    ledger: Ledger
    block_ns: int = 2 * NANOS_PER_SECOND
    is_down: bool = False
    holds_openings: bool = False
    blocks: int = 0
    waiting: list[Callable[[], bool]] = field(default_factory=list)

    def run(self) -> None:
        """Make blocks from now on."""
        self.clockwork.at(self.clockwork.now_ns + self.block_ns, self._make_block)

    @property
    def now_s(self) -> int:
        return self.clockwork.now_ns // NANOS_PER_SECOND

    def _make_block(self) -> None:
        self.blocks += 1
        self.waiting = [take for take in self.waiting if not take()]
        self.run()


@dataclass(slots=True)
class Wallet:
    """The chain client's memory of one node: durable, so that one intent never becomes two transactions."""

    chain: Chain
    owner: Address
    intents: dict[str, Future[Sent]] = field(default_factory=dict)

    async def send(self, intent: str, apply: Callable[[Ledger], None], is_opening: bool = False) -> Sent:
        """The end of this intent's one transaction. Raises Permanent, with nothing sent, when it would revert now."""
        await self.read()
        future = self.intents.get(intent)
        if future is None:
            try:
                apply(self.chain.ledger.copy())
            except Reverted as error:
                raise Permanent(f"the contract refuses: {error}", code="reverted") from error
            future = self.intents[intent] = Future()
            self.chain.waiting.append(self._make_transaction(intent, future, apply, is_opening))
        sent = await future
        await self.read()
        return sent

    async def read(self) -> None:
        """A round trip to the chain node."""
        await self.chain.clockwork.sleep(READ_NS)
        if self.chain.is_down:
            raise Retryable("the chain node cannot be reached")

    def _make_transaction(
        self, intent: str, future: Future[Sent], apply: Callable[[Ledger], None], is_opening: bool
    ) -> Callable[[], bool]:
        def take() -> bool:
            if is_opening and self.chain.holds_openings:
                return False
            try:
                apply(self.chain.ledger)
                ok = True
            except Reverted:
                ok = False
            tx_hash = Hash32(keccak(intent.encode() + self.owner))
            future.set(Sent(intent, tx_hash, self.chain.blocks, ok, 50_000))
            return True

        return take


@dataclass(frozen=True, slots=True)
class ChainPort:
    """xnode.ports.Chain for one node. `account`: who sends its transactions, as the contract sees it."""

    chain: Chain
    wallet: Wallet
    account: Address

    async def free_balance(self, payer: Address, _asset: Address) -> Amount:
        await self.wallet.read()
        return Amount(self.chain.ledger.free.get(payer, 0))

    async def opener_cap(self, payer: Address, opener: Address, _asset: Address) -> Amount:
        await self.wallet.read()
        return Amount(self.chain.ledger.caps.get((payer, opener), 0))

    async def spendables_of(self, spenders: Sequence[Spender]) -> tuple[Amount, ...]:
        await self.wallet.read()
        ledger = self.chain.ledger
        found = (
            (ledger.free.get(one.payer, 0), ledger.caps.get((one.payer, one.opener), 0), one.payer == one.opener)
            for one in spenders
        )
        return tuple(Amount(free if is_own else min(free, cap)) for free, cap, is_own in found)

    async def escrow_state(self, escrow_id: Hash32) -> EscrowState:
        await self.wallet.read()
        funds = self.chain.ledger.escrows.get(escrow_id)
        if funds is None:
            return EscrowState(Amount(0), Amount(0), 0)
        return EscrowState(Amount(funds.deposited), Amount(funds.claimed), funds.thaw_end)

    async def open_escrow(self, intent: str, escrow: Escrow, opening: Opening, signature: bytes) -> Sent:
        now = self.chain
        return await self.wallet.send(
            intent, lambda ledger: ledger.open_by_sig(now.now_s, escrow, opening, signature), is_opening=True
        )

    async def claim_and_release(self, intent: str, rows: tuple[ClaimRow, ...], release: bool) -> Sent:
        return await self.wallet.send(intent, lambda ledger: ledger.claim_and_release(self.account, rows[0], release))

    async def start_thaw(self, intent: str, escrow: Escrow) -> Sent:
        return await self.wallet.send(intent, lambda ledger: ledger.start_thaw(self.chain.now_s, self.account, escrow))

    async def close_escrow(self, intent: str, escrow: Escrow) -> Sent:
        return await self.wallet.send(intent, lambda ledger: ledger.close(self.chain.now_s, escrow))

    async def silences_of(self, lease_ids: Sequence[Hash32]) -> tuple[Silence | None, ...]:
        await self.wallet.read()
        return tuple(self.chain.ledger.silences.get(one) for one in lease_ids)

    async def show_receipt(self, intent: str, newer: SignedReceipt, most_wei: int) -> Sent:
        return await self.wallet.send(intent, lambda ledger: ledger.show_receipt(self.chain.now_s, newer))

    async def shortfalls_of(self, lease_ids: Sequence[Hash32]) -> tuple[Shortfall | None, ...]:
        await self.wallet.read()
        return tuple(self.chain.ledger.shortfalls.get(one) for one in lease_ids)

    async def collect_shortfall(self, intent: str, lease_id: Hash32) -> Sent:
        return await self.wallet.send(intent, lambda ledger: ledger.collect(self.chain.now_s, lease_id))
