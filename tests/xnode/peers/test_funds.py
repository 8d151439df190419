"""What those who ask can pay with is asked of the chain seldom, for many at once, and remembered no longer than it holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing

from metering.units import NANOS_PER_SECOND, Amount
from tests.make.values import ASSET, address_of
from xnode.errors import Permanent, Retryable
from xnode.peers.funds import BATCH, ENOUGH_NS, LACKING_NS, MAX_SEEN, MAX_WAITING, SeenFunds
from xnode.ports.chain import Spender

PRICE = Amount(100)


@dataclass(slots=True)
class Ledger:
    """xnode.ports.Chain and its clock, in trio's time. has: what everybody can reserve."""

    has: Amount = PRICE
    asked: list[int] = field(default_factory=list)
    is_away: bool = False
    hangs: bool = False

    async def spendables_of(self, spenders: Sequence[Spender]) -> tuple[Amount, ...]:
        self.asked.append(len(spenders))
        if self.hangs:
            await trio.sleep_forever()
        if self.is_away:
            raise Retryable("chain node http://a cannot be reached")
        return tuple(self.has for _ in spenders)

    def now_ns(self) -> int:
        return round(trio.current_time() * NANOS_PER_SECOND)


def spender_of(number: int) -> Spender:
    return Spender(address_of(500), number.to_bytes(20, "big"), ASSET)  # type: ignore[arg-type]


@asynccontextmanager
async def open_funds(ledger: Ledger) -> AsyncIterator[SeenFunds]:
    chain: Any = ledger
    funds = SeenFunds(chain, chain)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(funds.run)
        await trio.testing.wait_all_tasks_blocked()
        yield funds
        nursery.cancel_scope.cancel()


async def test_enough_is_remembered_for_a_while_and_too_little_for_a_moment(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ledger = Ledger()
    async with open_funds(ledger) as funds:
        for _ in range(50):
            assert await funds.look(spender_of(1), PRICE) == PRICE
        assert ledger.asked == [1]
        autojump_clock.jump(ENOUGH_NS / NANOS_PER_SECOND)
        ledger.has = Amount(5)
        assert await funds.look(spender_of(1), PRICE) == 5
        ledger.has = PRICE  # a deposit
        autojump_clock.jump(LACKING_NS / NANOS_PER_SECOND)
        assert await funds.look(spender_of(1), PRICE) == PRICE and ledger.asked == [1, 1, 1]


async def test_a_flood_of_fresh_keys_costs_the_chain_node_a_few_batches_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ledger = Ledger()
    refused, begun = 0, trio.current_time()
    async with open_funds(ledger) as funds, trio.open_nursery() as nursery:

        async def ask(number: int) -> None:
            nonlocal refused
            try:
                await funds.look(spender_of(number), PRICE)
            except Retryable:
                refused += 1

        for number in range(10_000):
            nursery.start_soon(ask, number)
    seconds = trio.current_time() - begun
    assert refused >= 10_000 - MAX_WAITING - BATCH
    assert max(ledger.asked) <= BATCH and len(ledger.asked) <= 1 + seconds * 5 + 1


async def test_the_first_to_ask_waits_for_nothing_but_the_chain(autojump_clock: trio.testing.MockClock) -> None:
    async with open_funds(Ledger()) as funds:
        begun = trio.current_time()
        await funds.look(spender_of(1), PRICE)
        assert trio.current_time() == begun


@pytest.mark.parametrize("fault", ["is_away", "hangs"])
async def test_a_chain_node_that_is_away_is_named_and_nothing_is_made_up(
    autojump_clock: trio.testing.MockClock, fault: str
) -> None:
    ledger = Ledger()
    setattr(ledger, fault, True)
    async with open_funds(ledger) as funds:
        with trio.fail_after(3), pytest.raises(Permanent, match="our chain node did not say") as away:
            await funds.look(spender_of(1), PRICE)
        assert away.value.reason_code == "provider_chain"
        setattr(ledger, fault, False)
        autojump_clock.jump(1)
        await trio.testing.wait_all_tasks_blocked()
        assert await funds.look(spender_of(1), PRICE) == PRICE


async def test_what_is_remembered_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    funds = SeenFunds(Ledger(), Ledger())  # type: ignore[arg-type]
    for number in range(MAX_SEEN + 7):
        funds._remember(spender_of(number), PRICE)
    assert len(funds._seen) == MAX_SEEN and spender_of(0) not in funds._seen
