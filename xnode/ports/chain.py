"""Chain: the settlement contracts, as a node reads them and sends to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from metering.receipt import SignedReceipt
from metering.terms import Escrow, Opening
from metering.units import Address, Amount, Hash32
from metering.voucher import Voucher


@dataclass(frozen=True, slots=True)
class EscrowState:
    """An escrow on chain, in base units; thaw_end: seconds UTC, 0 when not thawing."""

    deposited: Amount
    claimed: Amount
    thaw_end: int


class Spender(NamedTuple):
    """Who would open escrows from whose deposit; a payer may do it itself."""

    payer: Address
    opener: Address
    asset: Address


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One row of a claim; without a voucher there is nothing to claim, only to release."""

    escrow: Escrow
    voucher: Voucher | None
    signature: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction that is final enough to rely on. ok is False when it reverted."""

    intent: str
    tx_hash: Hash32
    block_number: int
    ok: bool
    gas_used: int


@dataclass(frozen=True, slots=True)
class Fuel:
    """What a key has to pay for transactions: wei, and for about how many of ours that is enough at what gas costs now."""

    wei: int
    transactions: int


@dataclass(frozen=True, slots=True)
class Silence:
    """A provider's silence about a lease, claimed on chain and not answered. number: of the receipt after which nothing came;
    late_ns: receipts from then on answer, and the last one does; answer_until: the last second for it, by the chain's clock."""

    provider: Address
    number: int
    late_ns: int
    answer_until: int


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a broken promise owes a lease's payer out of its provider's stake, in base units of OPENX: to be collected from
    payable_at on, by anybody, and lapsed at payable_until; in seconds by the chain's clock."""

    amount: Amount
    payable_at: int
    payable_until: int


class Staked(NamedTuple):
    """What a provider has staked, in base units of OPENX. in_default: it has not served credits that it sold, so their holders
    come first."""

    amount: Amount
    in_default: bool = False


class Chain(Protocol):
    """Reads and writes of the contracts. Raises Retryable when the chain node cannot be reached, Permanent on a revert."""

    async def check(self) -> str:
        """Chain id, contracts and bytecode are what the manifest says; Permanent with what to fix."""
        ...

    async def free_balance(self, payer: Address, asset: Address) -> Amount: ...

    async def opener_cap(self, payer: Address, opener: Address, asset: Address) -> Amount: ...

    async def escrow_state(self, escrow_id: Hash32) -> EscrowState: ...

    async def spendables_of(self, spenders: Sequence[Spender]) -> tuple[Amount, ...]:
        """What each can reserve of its payer's deposit, in order, in base units, asked for in one batch."""
        ...

    async def provider_of(self, node: Address) -> Address | None: ...

    async def providers_of(self, nodes: Sequence[Address]) -> tuple[Address | None, ...]:
        """The owner of each node key, in order, asked for in as few batches as chain nodes take."""
        ...

    async def stakes_of(self, providers: Sequence[Address]) -> tuple[Staked, ...]:
        """What each provider has staked, in order, asked for in as few batches as chain nodes take."""
        ...

    async def open_escrow(self, intent: str, escrow: Escrow, opening: Opening, signature: bytes) -> Sent:
        """Send (or take up again) the opening; returns when confirmed. One intent never becomes two transactions."""
        ...

    async def claim_and_release(self, intent: str, rows: tuple[ClaimRow, ...], release: bool) -> Sent:
        """Claim all rows and, when `release`, give the rest of each escrow back to its payer, in one transaction."""
        ...

    async def start_thaw(self, intent: str, escrow: Escrow) -> Sent: ...

    async def close_escrow(self, intent: str, escrow: Escrow) -> Sent: ...

    async def silences_of(self, lease_ids: Sequence[Hash32]) -> tuple[Silence | None, ...]:
        """The claim that stands against each lease's provider, in order, asked for in as few batches as chain nodes take."""
        ...

    async def show_receipt(self, intent: str, newer: SignedReceipt, most_wei: int) -> Sent:
        """Answer a claim of silence by a receipt. Permanent when it is no answer."""
        ...

    async def shortfalls_of(self, lease_ids: Sequence[Hash32]) -> tuple[Shortfall | None, ...]:
        """What stake is still to make up for of each lease, in order, asked for in as few batches as chain nodes take; also
        what has lapsed."""
        ...

    async def collect_shortfall(self, intent: str, lease_id: Hash32) -> Sent:
        """Have it paid to the lease's payer, or as much of it as may be taken now. Permanent when it is nothing."""
        ...


class EscrowNews(Protocol):
    """Confirmed events of PaymentEscrow."""

    def follow(self) -> AsyncGenerator[set[Hash32], None]:
        """An empty set, once nothing can be missed any more; then sets of escrow ids that something happened to. Never
        ends, never raises: waits out whatever is wrong with the chain node."""
        ...


class SilenceNews(Protocol):
    """Claims that one provider is silent."""

    async def read_claimed(self) -> frozenset[Hash32]:
        """The leases of claims that came since the last call; the first one finds all that can still be answered. What the
        chain's last blocks hold may come again. Raises Retryable when the chain node cannot be reached."""
        ...


class ShortfallNews(Protocol):
    """Breaches of promises that were proved on chain."""

    async def read_noted(self) -> frozenset[Hash32]:
        """The leases, of anybody, of breaches that were proved since the last call; the first calls find all that can still be
        collected. What the chain's last blocks hold may come again. Raises Retryable when the chain node cannot be reached."""
        ...
