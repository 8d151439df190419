"""Compensations on the real contracts: found by a submitter's node, collected with its own key, once over every crash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from metering.units import Hash32
from tests.make.values import TOKEN
from tests.make.waiting import wait_until
from tests.xnode.chain.devchain import PACE
from tests.xnode.chain.suspect import Broken, pass_time
from xnode.chain.breach_events import AGAIN_BLOCKS, MARGIN_S, ShortfallEvents
from xnode.chain.client import ChainClient
from xnode.chain.contracts.provider_registry import COLLECT_TIME_S, STAKE_THAW
from xnode.chain.intents.faults import collect_shortfall, prove_breach
from xnode.chain.node.json_rpc import Reverted
from xnode.chain.send.transactor import Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, make_engine
from xnode.effects.submitter import SubmitterEffects
from xnode.errors import Retryable
from xnode.node import changes, effects
from xnode.ports.chain import Shortfall

pytestmark = pytest.mark.chain

DUE = 4 * TOKEN


@asynccontextmanager
async def open_node(broken: Broken) -> AsyncIterator[ChainClient]:
    """The chain as a submitter's node sees it, with a key that is not the payer's: one life, on a journal that outlives it."""
    bed = broken.suspect.bed
    journal = SqlTxJournal(
        make_engine(bed.folder / "submitter.sqlite"), bed.manifest.chain_id, broken.suspect.node.address
    )
    async with trio.open_nursery() as nursery:
        transactor = Transactor(bed.rpc, broken.suspect.node, journal, bed.manifest.chain_id, PACE)
        await nursery.start(transactor.run)
        yield ChainClient(bed.rpc, bed.manifest, transactor)
        nursery.cancel_scope.cancel()


async def give_gas(broken: Broken) -> None:
    await broken.suspect.bed.give(broken.suspect.node.address, wei=10**19)


async def note(broken: Broken) -> Shortfall:
    """The provider took all of it, and its own last receipt says that it broke its promise."""
    await broken.claim(20 * TOKEN)
    await prove_breach(broken.payer, "breach", broken.document, broken.sign(9, 10, final=True))
    (short,) = await broken.payer.shortfalls_of([broken.document.lease_id])
    assert short is not None and short.amount == DUE
    return short


def make_effect(broken: Broken, short: Shortfall, name: str = "compensate:1") -> effects.CollectCompensation:
    return effects.CollectCompensation(broken.document.lease_id, short.payable_until, name, name)


def make_perform(chain: ChainClient) -> SubmitterEffects:
    return SubmitterEffects(None, None, chain, None, None, None)  # type: ignore[arg-type]


async def wait_for_thaw(broken: Broken) -> None:
    bed = broken.suspect.bed
    await pass_time(bed, await bed.rpc.view(bed.manifest.contracts.provider_registry, STAKE_THAW) + 1)


async def test_the_node_collects_with_its_own_key_and_the_payer_gets_it(broken: Broken) -> None:
    await give_gas(broken)
    short, payer = await note(broken), broken.payer.address
    await wait_for_thaw(broken)
    before = await broken.suspect.bed.openx_of(payer)
    async with open_node(broken) as chain:
        told = await make_perform(chain).collect_compensation(make_effect(broken, short))
    assert isinstance(told, changes.CompensationCollected) and told.left == 0
    assert await broken.suspect.bed.openx_of(payer) - before == DUE


async def test_one_collection_is_one_transaction_however_often_it_is_done(broken: Broken) -> None:
    await give_gas(broken)
    effect, bed = make_effect(broken, await note(broken)), broken.suspect.bed
    await wait_for_thaw(broken)
    # Killed after it was sent and before it was mined: the next life takes the same transaction up again.
    await bed.rpc.write("evm_setAutomine", False)
    try:
        async with open_node(broken) as chain, trio.open_nursery() as nursery:
            nursery.start_soon(make_perform(chain).collect_compensation, effect)
            await wait_until(lambda: count_sent(broken, "pending"))
            nursery.cancel_scope.cancel()
    finally:
        await bed.rpc.write("evm_setAutomine", True)
    async with open_node(broken) as chain:
        first, second = [await make_perform(chain).collect_compensation(effect) for _ in range(2)]
    assert isinstance(first, (changes.CompensationCollected, changes.CompensationSeen))
    assert second == changes.CompensationSeen(broken.document.lease_id)
    assert await count_sent(broken, "latest") == 1


async def count_sent(broken: Broken, block: str) -> int:
    key = "0x" + broken.suspect.node.address.hex()
    return int(await broken.suspect.bed.rpc.read("eth_getTransactionCount", key, block), 16)


async def test_what_somebody_else_collected_costs_the_node_nothing(broken: Broken) -> None:
    await give_gas(broken)
    effect = make_effect(broken, await note(broken))
    await wait_for_thaw(broken)
    await collect_shortfall(broken.suspect.reporter, "collect", broken.document.lease_id)
    async with open_node(broken) as chain:
        told = await make_perform(chain).collect_compensation(effect)
    assert told == changes.CompensationSeen(broken.document.lease_id) and await count_sent(broken, "latest") == 0


async def test_without_gas_it_waits_and_says_so(broken: Broken) -> None:
    effect = make_effect(broken, await note(broken))
    await wait_for_thaw(broken)
    async with open_node(broken) as chain:
        with pytest.raises(Retryable, match="0 wei"):
            await make_perform(chain).collect_compensation(effect)
        await give_gas(broken)
        assert isinstance(await make_perform(chain).collect_compensation(effect), changes.CompensationCollected)


async def test_what_the_contract_refuses_is_not_sent(broken: Broken) -> None:
    await give_gas(broken)
    effect = make_effect(broken, await note(broken))
    async with open_node(broken) as chain:
        with pytest.raises(Reverted, match="NotPayableYet"):
            await make_perform(chain).collect_compensation(effect)
    assert await count_sent(broken, "latest") == 0


async def test_one_is_found_whenever_it_was_noted_in_the_time_to_collect_it(broken: Broken) -> None:
    bed, lease_id = broken.suspect.bed, broken.document.lease_id

    async def find(events: ShortfallEvents) -> frozenset[Hash32]:
        return await events.read_noted()

    early = ShortfallEvents(bed.rpc, bed.manifest)
    assert lease_id not in await find(early)
    await note(broken)
    assert lease_id in await find(early)
    assert lease_id in await find(early), "a reorganisation may have moved it"
    await bed.rpc.write("anvil_mine", hex(2 * AGAIN_BLOCKS))
    await find(early)
    assert lease_id not in await find(early)
    thaw_s = await bed.rpc.view(bed.manifest.contracts.provider_registry, STAKE_THAW)
    await pass_time(bed, thaw_s + COLLECT_TIME_S - 60)
    assert lease_id in await find(ShortfallEvents(bed.rpc, bed.manifest)), "a node that was down for all that time"
    await pass_time(bed, 2 * MARGIN_S)
    assert lease_id not in await find(ShortfallEvents(bed.rpc, bed.manifest)), "what lapsed is not looked for"


async def test_a_long_past_is_read_in_several_looks(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    bed = broken.suspect.bed
    await note(broken)
    await bed.rpc.write("anvil_mine", hex(8))
    monkeypatch.setattr("xnode.chain.breach_events.MAX_SPAN_BLOCKS", 2)
    monkeypatch.setattr("xnode.chain.breach_events.MAX_QUESTIONS", 2)
    events, looks = ShortfallEvents(bed.rpc, bed.manifest), 1
    while broken.document.lease_id not in await events.read_noted():
        looks += 1
        assert looks < 1_000
    assert looks > 1
