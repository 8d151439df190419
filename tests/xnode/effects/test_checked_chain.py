"""CheckedChain: new leases wait for the checks of a start, those that there are do not."""

from __future__ import annotations

from collections.abc import Sequence

import trio
import trio.testing

from metering.receipt import SignedReceipt
from metering.terms import Escrow, Opening
from metering.units import Address, Amount, Hash32
from tests.make.records import ESCROW, ESCROW_ID, LEASE_ID, make_receipt, sign_receipt
from tests.make.values import ASSET, address_of
from xnode.effects.checked_chain import CheckedChain
from xnode.ports.chain import ClaimRow, EscrowState, Sent, Shortfall, Silence, Spender, Staked

SENT = Sent("intent", Hash32(bytes(32)), 1, True, 50_000)


class RichChain:
    """Every payer has a token, and every transaction is mined."""

    async def check(self) -> str:
        return "chain"

    async def free_balance(self, payer: Address, asset: Address) -> Amount:
        return Amount(1)

    async def opener_cap(self, payer: Address, opener: Address, asset: Address) -> Amount:
        return Amount(1)

    async def escrow_state(self, escrow_id: Hash32) -> EscrowState:
        return EscrowState(Amount(1), Amount(0), 0)

    async def provider_of(self, node: Address) -> Address | None:
        return node

    async def providers_of(self, nodes: Sequence[Address]) -> tuple[Address | None, ...]:
        return tuple(nodes)

    async def spendables_of(self, spenders: Sequence[Spender]) -> tuple[Amount, ...]:
        return tuple(Amount(1) for _ in spenders)

    async def stakes_of(self, providers: Sequence[Address]) -> tuple[Staked, ...]:
        return tuple(Staked(Amount(1)) for _ in providers)

    async def open_escrow(self, intent: str, escrow: Escrow, opening: Opening, signature: bytes) -> Sent:
        return SENT

    async def claim_and_release(self, intent: str, rows: tuple[ClaimRow, ...], release: bool) -> Sent:
        return SENT

    async def start_thaw(self, intent: str, escrow: Escrow) -> Sent:
        return SENT

    async def close_escrow(self, intent: str, escrow: Escrow) -> Sent:
        return SENT

    async def silences_of(self, lease_ids: Sequence[Hash32]) -> tuple[Silence | None, ...]:
        return tuple(None for _ in lease_ids)

    async def show_receipt(self, intent: str, newer: SignedReceipt, most_wei: int) -> Sent:
        return SENT

    async def shortfalls_of(self, lease_ids: Sequence[Hash32]) -> tuple[Shortfall | None, ...]:
        return tuple(None for _ in lease_ids)

    async def collect_shortfall(self, intent: str, lease_id: Hash32) -> Sent:
        return SENT


async def test_what_a_new_lease_counts_on_is_read_after_the_last_check(autojump_clock: trio.testing.MockClock) -> None:
    contracts, engine = trio.Event(), trio.Event()
    chain, read = CheckedChain(RichChain(), (contracts, engine)), list[Amount]()

    async def read_funds() -> None:
        read.append(await chain.free_balance(address_of(1), ASSET))
        read.append(await chain.opener_cap(address_of(1), address_of(0), ASSET))
        read.extend(await chain.spendables_of([Spender(address_of(1), address_of(0), ASSET)]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_funds)
        for check in (contracts, engine):
            await trio.testing.wait_all_tasks_blocked()
            assert not read
            check.set()
    assert read == [1, 1, 1]


async def test_leases_under_way_wait_for_no_check() -> None:
    chain = CheckedChain(RichChain(), (trio.Event(),))
    with trio.fail_after(1):
        assert (await chain.escrow_state(ESCROW_ID)).deposited == 1
        assert await chain.claim_and_release("claim", (ClaimRow(ESCROW, None, b""),), True) == SENT
        assert await chain.start_thaw("thaw", ESCROW) == await chain.close_escrow("close", ESCROW) == SENT
        assert await chain.silences_of([LEASE_ID]) == (None,)
        assert await chain.show_receipt("answer", sign_receipt(make_receipt(1)), 10**15) == SENT
        assert await chain.shortfalls_of([LEASE_ID]) == (None,)
        assert await chain.collect_shortfall("collect", LEASE_ID) == SENT
