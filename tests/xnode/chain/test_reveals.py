"""Reveals on the real contracts: a demand is found, answered by the node's own key, and what was shown is judged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from metering.capacity import ElementProof
from metering.eip712 import keccak
from metering.units import Address, Amount, Hash32
from tests.make.verifiers import Verifiers, make_verifiers
from tests.make.waiting import wait_until
from tests.xnode.chain.devchain import PACE, TOKEN, Bed
from tests.xnode.chain.intents.wallets import session_of
from xnode.capacity.challenge import device_seed_of
from xnode.capacity.product import make_product
from xnode.chain.capacity import CapacityClient
from xnode.chain.contracts import answer_reveals
from xnode.chain.contracts.provider_registry import STAKE_OF
from xnode.chain.intents.registration import register_provider
from xnode.chain.intents.stake import add_stake
from xnode.chain.intents.verification import request_challenge
from xnode.chain.reveals import SPARE_SENDS, RevealClient
from xnode.chain.send.transactor import MAX_IN_FLIGHT, Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, make_engine
from xnode.challenge.revealer import Revealer
from xnode.ports.capacity import Challenge
from xnode.ports.reveals import Demand
from xnode.text.hex import to_hex
from xnode.wallet.signer import NodeSigner, WalletKey

pytestmark = pytest.mark.chain

DEVICES, N = 2, 1024
STAKE = 200 * TOKEN
INDEX = N * N // 256 - 1
"""The last leaf of a product."""


@dataclass
class Passed:
    """A provider whose challenge was passed, its node's clients, and somebody who asks to see."""

    bed: Bed
    provider: WalletKey
    key: WalletKey
    challenge: Challenge
    roots: tuple[Hash32, ...]
    reveals: RevealClient = field(init=False)
    revealer: Revealer = field(init=False)

    @property
    def node(self) -> Address:
        return self.key.address

    async def demand(self, *places: tuple[int, int]) -> Demand:
        """Somebody pays to see these leaves, (device, index) each."""
        address = self.bed.manifest.contracts.answer_reveals
        await self.bed.approve_as_owner(address, 100 * TOKEN)
        data = answer_reveals.DEMAND.encode(self.challenge.challenge_id, list(self.roots), list(places))
        await self.bed.send_as_owner(address, data)
        number = await self.reveals.count_demands()
        (demand,) = await self.reveals.read_demands(number, number)
        return demand

    async def read_stage(self, demand: Demand) -> str:
        (now,) = await self.reveals.read_demands(demand.number, demand.number)
        return now.stage

    async def prove(self, demand: Demand, proof: ElementProof) -> None:
        """Somebody shows that an element of the first leaf is wrong."""
        _, leaves = await self.reveals.read_leaves(demand)
        rows = [(leaf.device, leaf.index, leaf.n, leaf.seed, leaf.root) for leaf in leaves]
        data = answer_reveals.PROVE_REVEALED.encode(demand.number, rows, 0, proof)
        await self.bed.send_as_owner(self.bed.manifest.contracts.answer_reveals, data)


@asynccontextmanager
async def open_passed(bed: Bed, lie: bool = False) -> AsyncIterator[Passed]:
    """With its node running; see make_passed."""
    passed = await make_passed(bed, lie)
    async with open_life(passed):
        yield passed


async def make_passed(bed: Bed, lie: bool = False) -> Passed:
    """lie: the recorded root of device 0 is that of another product."""
    manifest, node = bed.manifest, await bed.new_wallet()
    provider = await bed.new_wallet(openx=STAKE + 10 * TOKEN)
    verifiers = Verifiers(bed.rpc, manifest, bed.folder)
    for one in make_verifiers():
        await bed.give(one.wallet.address, openx=200 * TOKEN, wei=10 * TOKEN)
    await verifiers.enlist()
    async with session_of(bed, provider) as session:
        deadline = await session.chain_time_s() + 600
        signer = NodeSigner(node, manifest.domain)
        consent = signer.sign_node_key(manifest.registry_domain, provider.address, 0, deadline)
        await register_provider(session, "register", node.address, deadline, consent)
        await add_stake(session, "stake", Amount(STAKE))
        await request_challenge(session, "challenge", [(0, DEVICES)], Amount(5 * TOKEN))
    drawn = await verifiers.draw(provider.address)
    seeds = [device_seed_of(drawn.seed, device) for device in range(DEVICES)]
    roots = tuple(make_product(keccak(seed) if lie and not at else seed, N).root for at, seed in enumerate(seeds))
    await verifiers.judge(provider.address, roots=roots, drawn=drawn)
    return Passed(bed, provider, node, drawn, roots)


@asynccontextmanager
async def open_life(passed: Passed) -> AsyncIterator[Revealer]:
    """One life of the provider's node, on a journal that outlives it."""
    bed, manifest = passed.bed, passed.bed.manifest
    async with trio.open_nursery() as nursery:
        journal = SqlTxJournal(make_engine(bed.folder / "node.sqlite"), manifest.chain_id, passed.node)
        transactor = Transactor(bed.rpc, passed.key, journal, manifest.chain_id, PACE)
        await nursery.start(transactor.run)
        passed.reveals = RevealClient(bed.rpc, manifest.contracts.answer_reveals, transactor)
        passed.revealer = Revealer(
            passed.provider.address, CapacityClient(bed.rpc, manifest, transactor), passed.reveals
        )
        yield passed.revealer
        await passed.revealer.close()
        nursery.cancel_scope.cancel()


async def test_a_node_shows_what_was_paid_for_and_gets_the_fee(bed: Bed) -> None:
    async with open_passed(bed) as passed:
        demand = await passed.demand((1, INDEX), (0, 3))
        _, leaves = await passed.reveals.read_leaves(demand)
        assert [(leaf.device, leaf.index, leaf.n) for leaf in leaves] == [(1, INDEX, N), (0, 3, N)]
        assert [leaf.root for leaf in leaves] == [passed.roots[1], passed.roots[0]]
        before = await bed.openx_of(passed.provider.address)
        await passed.revealer.look()
        assert await passed.read_stage(demand) == "revealed"
        assert await bed.openx_of(passed.provider.address) - before == TOKEN, "what a devnet's challenge costs"


async def test_a_flood_of_demands_is_answered_by_one_computation_for_each_device(bed: Bed) -> None:
    async with open_passed(bed) as passed:
        asked = [await passed.demand((at % 2, at), (0, INDEX - at)) for at in range(20)]
        await passed.revealer.look()
        assert {await passed.read_stage(one) for one in asked} == {"revealed"}
        assert passed.revealer.computed == DEVICES


async def test_answers_go_in_a_window_with_successive_nonces_and_go_on_where_a_killed_node_stopped(bed: Bed) -> None:
    passed, count = await make_passed(bed), 2 * MAX_IN_FLIGHT
    async with open_life(passed):
        asked = [await passed.demand((at % 2, at)) for at in range(count)]
    await bed.rpc.write("evm_setAutomine", False)
    try:
        async with open_life(passed) as revealer, trio.open_nursery() as nursery:
            nursery.start_soon(revealer.look)
            await wait_until(lambda: is_full(bed, passed.node))
            nursery.cancel_scope.cancel()
        assert await count_pooled(bed, passed.node) == MAX_IN_FLIGHT - SPARE_SENDS
    finally:
        await bed.rpc.write("evm_setAutomine", True)
    async with open_life(passed) as revealer:
        await revealer.look()
        assert {await passed.read_stage(one) for one in asked} == {"revealed"}
    assert int(await bed.rpc.read("eth_getTransactionCount", to_hex(passed.node), "latest"), 16) == count


async def count_pooled(bed: Bed, node: Address) -> int:
    counts = [await bed.rpc.read("eth_getTransactionCount", to_hex(node), block) for block in ("pending", "latest")]
    return int(counts[0], 16) - int(counts[1], 16)


async def is_full(bed: Bed, node: Address) -> bool:
    return await count_pooled(bed, node) >= MAX_IN_FLIGHT - SPARE_SENDS


async def test_a_node_shows_no_leaf_under_a_root_that_is_not_its_own(bed: Bed) -> None:
    async with open_passed(bed, lie=True) as passed:
        demand = await passed.demand((0, 3))
        await passed.revealer.look()
        assert await passed.read_stage(demand) == "demanded"


async def test_a_wrong_leaf_that_was_shown_costs_half_of_the_stake(bed: Bed) -> None:
    async with open_passed(bed, lie=True) as passed:
        demand = await passed.demand((0, 3))
        _, leaves = await passed.reveals.read_leaves(demand)
        product = make_product(keccak(leaves[0].seed), N)
        values = product.read_row(0)[3 * 1024 : 4 * 1024]
        proof = ElementProof(3, 0, values, product.tree.make_path(3))
        await passed.reveals.reveal(demand, leaves, (proof,))
        assert await passed.read_stage(demand) == "revealed"
        await passed.prove(demand, proof)
        assert await passed.read_stage(demand) == "proven_wrong"
        left = await bed.rpc.view(bed.manifest.contracts.provider_registry, STAKE_OF, passed.provider.address)
        assert left == STAKE // 2
