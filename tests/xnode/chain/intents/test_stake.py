"""A provider's stake, against real contracts."""

from __future__ import annotations

import pytest

from metering.units import Amount
from tests.xnode.chain.devchain import TOKEN, Bed
from xnode.chain.intents.session import WalletSession
from xnode.chain.intents.stake import add_stake, start_unstake, withdraw_stake

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
