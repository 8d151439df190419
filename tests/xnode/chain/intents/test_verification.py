"""Whether the list of verifiers takes one more, on the real contract with a list as full as it gets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from metering.units import Address
from tests.make.verifiers import Verifiers, make_verifiers
from tests.xnode.chain.devchain import TOKEN, Bed
from xnode.chain.contracts.verifier_registry import LEAVE, MAX_VERIFIERS, SLOT_COUNT, VERIFIER_COUNT
from xnode.chain.intents.verification import has_room
from xnode.chain.reads import ChainReads
from xnode.text.hex import to_hex

pytestmark = pytest.mark.chain

MOST = 512
SLOTS = 6
"""Where the contract stores the number of its slots; two vacated ones and the count lie three further."""


class List:
    """The list of a chain that forgets all of it afterwards."""

    def __init__(self, bed: Bed) -> None:
        self._bed, self._registry = bed, bed.manifest.contracts.verifier_registry
        self.reads = ChainReads(bed.rpc, bed.manifest)

    async def fill(self, *, enlisted: int, vacated: int) -> None:
        """Every slot is taken."""
        await self._write(SLOTS, MOST)
        await self._write(SLOTS + 3, enlisted << 128 | vacated << 64)
        views = [await self._bed.rpc.view(self._registry, view) for view in (SLOT_COUNT, VERIFIER_COUNT, MAX_VERIFIERS)]
        assert views == [MOST, enlisted, MOST]

    async def _write(self, slot: int, value: int) -> None:
        await self._bed.rpc.write("anvil_setStorageAt", to_hex(self._registry), f"0x{slot:064x}", f"0x{value:064x}")

    async def leave(self, verifier: Address) -> None:
        await self._bed.rpc.write("anvil_impersonateAccount", to_hex(verifier))
        sent = {
            "from": to_hex(verifier),
            "to": to_hex(self._registry),
            "data": to_hex(LEAVE.encode()),
            "gas": hex(10**6),
        }
        await self._bed.rpc.write("eth_sendTransaction", sent)
        await self._bed.rpc.write("evm_mine")


@pytest.fixture
async def verifiers(bed: Bed) -> AsyncIterator[List]:
    for one in make_verifiers():
        await bed.give(one.wallet.address, openx=200 * TOKEN, wei=TOKEN)
    await Verifiers(bed.rpc, bed.manifest, bed.folder).enlist()
    before = await bed.rpc.write("evm_snapshot")
    yield List(bed)
    assert await bed.rpc.write("evm_revert", before)


async def test_a_list_with_free_slots_has_room(verifiers: List) -> None:
    assert await has_room(verifiers.reads)


async def test_a_list_of_which_every_slot_is_a_verifiers_has_none(verifiers: List) -> None:
    await verifiers.fill(enlisted=MOST, vacated=0)
    assert not await has_room(verifiers.reads)


async def test_a_slot_that_was_left_lately_is_not_free_and_one_that_was_left_before_it_is(verifiers: List) -> None:
    await verifiers.leave(make_verifiers()[0].wallet.address)
    await verifiers.fill(enlisted=MOST - 1, vacated=1)
    assert not await has_room(verifiers.reads)
    await verifiers.fill(enlisted=MOST - 2, vacated=2)
    assert await has_room(verifiers.reads)
