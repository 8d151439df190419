"""A provider's stake, against real contracts."""

from __future__ import annotations

import pytest

from metering.units import Amount
from tests.xnode.chain.devchain import TOKEN, Bed
from xnode.chain.contracts.provider_registry import Role
from xnode.chain.intents.session import WalletSession
from xnode.chain.intents.stake import add_stake, start_unstake, withdraw_stake
from xnode.chain.provider_record import read_stake
from xnode.ports.chain import Staked

pytestmark = pytest.mark.chain


async def test_stake_goes_in_and_thaws_out(bed: Bed, session: WalletSession) -> None:
    await add_stake(session, "s", Amount(30 * TOKEN))
    await start_unstake(session, "u", Amount(10 * TOKEN))
    stake = (await session.registration(session.address)).stake
    assert (stake.staked, stake.thawing) == (20 * TOKEN, 10 * TOKEN)
    assert stake.thaw_end > await session.chain_time_s() - 1
    await bed.rpc.write("evm_increaseTime", "0x3c")
    await bed.rpc.write("evm_mine")
    await withdraw_stake(session, "w")
    assert await bed.openx_of(session.address) == 80 * TOKEN


async def test_what_is_staked_for_one_role_is_nothing_of_the_other(bed: Bed, session: WalletSession) -> None:
    await add_stake(session, "s", Amount(30 * TOKEN))
    await add_stake(session, "p", Amount(50 * TOKEN), Role.VERIFIER)
    await start_unstake(session, "u", Amount(20 * TOKEN), Role.VERIFIER)
    found = await read_stake(bed.rpc, bed.manifest, session.address)
    assert (found.own.details.staked, found.own.details.thawing, found.own.can_leave) == (30 * TOKEN, 0, 30 * TOKEN)
    assert (found.pledge.details.staked, found.pledge.details.thawing) == (30 * TOKEN, 20 * TOKEN)
    assert await session.stakes_of([session.address]) == (Staked(Amount(30 * TOKEN)),)
    await bed.rpc.write("evm_increaseTime", "0x3c")
    await bed.rpc.write("evm_mine")
    await withdraw_stake(session, "w", Role.VERIFIER)
    assert await bed.openx_of(session.address) == 40 * TOKEN
