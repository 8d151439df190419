"""CheckedChain: the chain as effects use it: no new lease counts on contracts that nobody has looked at since the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from metering.receipt import SignedReceipt
from metering.terms import Escrow, Opening
from metering.units import Address, Amount, Hash32
from xnode.ports.chain import Chain, ClaimRow, EscrowState, Sent, Shortfall, Silence, Spender, Staked


@dataclass(frozen=True, slots=True)
class CheckedChain:
    """ports.Chain. What is read before a new lease is signed waits until every check is over; the leases that there are
    need not wait: they were signed when the contracts were known."""

    chain: Chain
    checks: tuple[trio.Event, ...]

    async def free_balance(self, payer: Address, asset: Address) -> Amount:
        await self._wait_checks()
        return await self.chain.free_balance(payer, asset)

    async def opener_cap(self, payer: Address, opener: Address, asset: Address) -> Amount:
        await self._wait_checks()
        return await self.chain.opener_cap(payer, opener, asset)

    async def spendables_of(self, spenders: Sequence[Spender]) -> tuple[Amount, ...]:
        await self._wait_checks()
        return await self.chain.spendables_of(spenders)

    async def _wait_checks(self) -> None:
        # No deadline of its own: every effect that comes here has one, and readiness says what is not checked.
        for check in self.checks:
            await check.wait()

    async def check(self) -> str:
        return await self.chain.check()

    async def escrow_state(self, escrow_id: Hash32) -> EscrowState:
        return await self.chain.escrow_state(escrow_id)

    async def provider_of(self, node: Address) -> Address | None:
        return await self.chain.provider_of(node)

    async def providers_of(self, nodes: Sequence[Address]) -> tuple[Address | None, ...]:
        return await self.chain.providers_of(nodes)

    async def stakes_of(self, providers: Sequence[Address]) -> tuple[Staked, ...]:
        return await self.chain.stakes_of(providers)

    async def open_escrow(self, intent: str, escrow: Escrow, opening: Opening, signature: bytes) -> Sent:
        return await self.chain.open_escrow(intent, escrow, opening, signature)

    async def claim_and_release(self, intent: str, rows: tuple[ClaimRow, ...], release: bool) -> Sent:
        return await self.chain.claim_and_release(intent, rows, release)

    async def start_thaw(self, intent: str, escrow: Escrow) -> Sent:
        return await self.chain.start_thaw(intent, escrow)

    async def close_escrow(self, intent: str, escrow: Escrow) -> Sent:
        return await self.chain.close_escrow(intent, escrow)

    async def silences_of(self, lease_ids: Sequence[Hash32]) -> tuple[Silence | None, ...]:
        return await self.chain.silences_of(lease_ids)

    async def show_receipt(self, intent: str, newer: SignedReceipt, most_wei: int) -> Sent:
        return await self.chain.show_receipt(intent, newer, most_wei)

    async def shortfalls_of(self, lease_ids: Sequence[Hash32]) -> tuple[Shortfall | None, ...]:
        return await self.chain.shortfalls_of(lease_ids)

    async def collect_shortfall(self, intent: str, lease_id: Hash32) -> Sent:
        return await self.chain.collect_shortfall(intent, lease_id)
