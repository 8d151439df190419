"""A wallet's own operations, against real contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from xnode.chain.payer import Payer, Registration, open_payer

from metering.eip712 import Domain
from metering.units import Amount
from tests.xnode.chain.devchain import PACE, TOKEN, Bed, make_wallet
from xnode.chain.contracts import openx_token, payment_escrow
from xnode.chain.contracts.provider_registry import StakeDetails
from xnode.chain.deployment.manifest import Asset
from xnode.chain.node.json_rpc import Reverted
from xnode.chain.send.tx_journal import make_engine
from xnode.errors import ExitCode, UserError
from xnode.wallet.signer import NodeSigner, WalletKey

pytestmark = pytest.mark.chain


@asynccontextmanager
async def payer_of(bed: Bed, key: WalletKey) -> AsyncIterator[Payer]:
    engine = make_engine(bed.folder / f"{key.address.hex()}.sqlite")
    with trio.fail_after(60):
        async with open_payer(bed.manifest, key, engine, pace=PACE) as payer:
            yield payer


@pytest.fixture
async def payer(bed: Bed) -> AsyncIterator[Payer]:
    """A wallet with 100 OPENX."""
    async with payer_of(bed, await bed.new_wallet(openx=100 * TOKEN)) as opened:
        yield opened


def openx(payer: Payer) -> Asset:
    return payer.manifest.assets[0]


async def sent_by(bed: Bed, payer: Payer) -> int:
    return int(await bed.rpc.read("eth_getTransactionCount", "0x" + payer.address.hex(), "latest"), 16)


async def test_a_deposit_takes_one_transaction_by_permit(bed: Bed, payer: Payer) -> None:
    await payer.deposit("d", openx(payer), Amount(40 * TOKEN))
    assert await sent_by(bed, payer) == 1
    balances = await payer.balances(payer.address)
    assert balances.wei > 0
    assert (balances.assets[0].wallet, balances.assets[0].free) == (60 * TOKEN, 40 * TOKEN)


async def test_the_same_deposit_asked_again_is_done_once(payer: Payer) -> None:
    first = await payer.deposit("d", openx(payer), Amount(40 * TOKEN))
    assert await payer.deposit("d", openx(payer), Amount(40 * TOKEN)) == first
    assert (await payer.balances(payer.address)).assets[0].free == 40 * TOKEN


async def test_a_deposit_can_be_for_another_payer(payer: Payer) -> None:
    other = make_wallet().address
    await payer.deposit("d", openx(payer), Amount(TOKEN), other)
    assert (await payer.balances(other)).assets[0].free == TOKEN


async def test_a_token_that_signs_in_another_domain_is_approved_instead(bed: Bed, payer: Payer) -> None:
    # A wrong chain id gives us another domain than the token's: a permit would be refused, an approval is not.
    payer.manifest = msgspec.structs.replace(payer.manifest, chain_id=5)
    await payer.deposit("d", openx(payer), Amount(TOKEN))
    assert await sent_by(bed, payer) == 2
    assert (await payer.balances(payer.address)).assets[0].free == TOKEN


async def test_an_approval_that_is_too_small_is_replaced_through_zero(bed: Bed, payer: Payer) -> None:
    payer.manifest = msgspec.structs.replace(payer.manifest, chain_id=5)
    escrow, token = bed.manifest.contracts.payment_escrow, bed.manifest.contracts.openx_token
    await payer._send("earlier", token, openx_token.APPROVE.encode(escrow, 5))
    await payer.deposit("d", openx(payer), Amount(TOKEN))
    assert await sent_by(bed, payer) == 4
    assert await bed.rpc.view(token, openx_token.ALLOWANCE, payer.address, escrow) == 0


async def test_an_approval_that_suffices_is_used(bed: Bed, payer: Payer) -> None:
    escrow, token = bed.manifest.contracts.payment_escrow, bed.manifest.contracts.openx_token
    await payer._send("earlier", token, openx_token.APPROVE.encode(escrow, 5 * TOKEN))
    await payer.deposit("d", openx(payer), Amount(TOKEN))
    assert await bed.rpc.view(token, openx_token.ALLOWANCE, payer.address, escrow) == 4 * TOKEN


async def test_a_deposit_beyond_the_wallet_is_a_persons_mistake(bed: Bed, payer: Payer) -> None:
    with pytest.raises(UserError, match="the deposit takes") as caught:
        await payer.deposit("d", openx(payer), Amount(101 * TOKEN))
    assert caught.value.code == ExitCode.FUNDS
    assert await sent_by(bed, payer) == 0


async def test_withdrawing_returns_what_is_free(bed: Bed, payer: Payer) -> None:
    await payer.deposit("d", openx(payer), Amount(40 * TOKEN))
    await payer.withdraw("w", openx(payer), Amount(10 * TOKEN))
    other = make_wallet().address
    await payer.withdraw("w2", openx(payer), Amount(5 * TOKEN), other)
    balance = (await payer.balances(payer.address)).assets[0]
    assert (balance.wallet, balance.free) == (70 * TOKEN, 25 * TOKEN)
    assert await bed.openx_of(other) == 5 * TOKEN
    with pytest.raises(Reverted, match="NotEnoughFree"):
        await payer.withdraw("w3", openx(payer), Amount(26 * TOKEN))


async def test_an_opener_gets_the_cap(bed: Bed, payer: Payer) -> None:
    node = make_wallet().address
    await payer.approve_opener("a", node, openx(payer), Amount(7))
    contract = bed.manifest.contracts.payment_escrow
    found = await bed.rpc.view(contract, payment_escrow.OPENER_CAP, payer.address, node, openx(payer).address)
    assert found == 7


async def test_a_provider_registers_once_and_rotates_its_key(bed: Bed, payer: Payer) -> None:
    empty = await payer.registration(payer.address)
    nothing = StakeDetails(Amount(0), Amount(0), 0)
    assert empty == Registration(payer.address, None, payer.address, nothing, 0)
    for nonce in range(2):
        node = NodeSigner(make_wallet(), bed.manifest.domain)
        deadline = await payer.chain_time_s() + 600
        consent = node.sign_node_key(bed.manifest.registry_domain, payer.address, nonce, deadline)
        payout = make_wallet("payout").address
        assert await payer.register_provider(f"r{nonce}", node.address, deadline, consent, payout) is not None
        assert await payer.register_provider(f"again {nonce}", node.address, deadline, consent, payout) is None
        known = await payer.registration(payer.address)
        assert (known.node_key, known.payout, known.nonce) == (node.address, payout, nonce + 1)
    assert await sent_by(bed, payer) == 2


async def test_another_keys_consent_is_refused(bed: Bed, payer: Payer) -> None:
    node, deadline = make_wallet().address, await payer.chain_time_s() + 600
    other = NodeSigner(make_wallet(), Domain(31337, bed.manifest.contracts.provider_registry))
    consent = other.sign_node_key(bed.manifest.registry_domain, payer.address, 0, deadline)
    with pytest.raises(Reverted, match="WrongNodeKeySignature"):
        await payer.register_provider("r", node, deadline, consent)


async def test_stake_goes_in_and_thaws_out(bed: Bed, payer: Payer) -> None:
    await payer.stake("s", Amount(30 * TOKEN))
    await payer.start_unstake("u", Amount(10 * TOKEN))
    stake = (await payer.registration(payer.address)).stake
    assert (stake.staked, stake.thawing) == (20 * TOKEN, 10 * TOKEN)
    assert stake.thaw_end > await payer.chain_time_s() - 1
    await bed.rpc.write("evm_increaseTime", "0x3c")
    await bed.rpc.write("evm_mine")
    await payer.withdraw_stake("w")
    assert await bed.openx_of(payer.address) == 80 * TOKEN
