"""Deposits, withdrawals and openers, against real contracts."""

from __future__ import annotations

import msgspec
import pytest

from metering.units import Amount
from tests.xnode.chain.devchain import TOKEN, Bed, make_wallet
from tests.xnode.chain.intents.wallets import openx, sent_by
from xnode.chain.contracts import openx_token, payment_escrow
from xnode.chain.intents.payments import approve_opener, deposit, withdraw
from xnode.chain.intents.session import WalletSession
from xnode.chain.node.json_rpc import Reverted
from xnode.errors import ExitCode, UserError

pytestmark = pytest.mark.chain


async def test_a_deposit_takes_one_transaction_by_permit(bed: Bed, session: WalletSession) -> None:
    await deposit(session, "d", openx(session), Amount(40 * TOKEN))
    assert await sent_by(bed, session) == 1
    balances = await session.balances(session.address)
    assert balances.wei > 0
    assert (balances.assets[0].wallet, balances.assets[0].free) == (60 * TOKEN, 40 * TOKEN)


async def test_the_same_deposit_asked_again_is_done_once(session: WalletSession) -> None:
    first = await deposit(session, "d", openx(session), Amount(40 * TOKEN))
    assert await deposit(session, "d", openx(session), Amount(40 * TOKEN)) == first
    assert (await session.balances(session.address)).assets[0].free == 40 * TOKEN


async def test_a_deposit_can_be_for_another_payer(session: WalletSession) -> None:
    other = make_wallet().address
    await deposit(session, "d", openx(session), Amount(TOKEN), other)
    assert (await session.balances(other)).assets[0].free == TOKEN


async def test_a_token_that_signs_in_another_domain_is_approved_instead(bed: Bed, session: WalletSession) -> None:
    # A wrong chain id gives us another domain than the token's: a permit would be refused, an approval is not.
    session.manifest = msgspec.structs.replace(session.manifest, chain_id=5)
    await deposit(session, "d", openx(session), Amount(TOKEN))
    assert await sent_by(bed, session) == 2
    assert (await session.balances(session.address)).assets[0].free == TOKEN


async def test_an_approval_that_is_too_small_is_replaced_through_zero(bed: Bed, session: WalletSession) -> None:
    session.manifest = msgspec.structs.replace(session.manifest, chain_id=5)
    escrow, token = bed.manifest.contracts.payment_escrow, bed.manifest.contracts.openx_token
    await session.send("earlier", token, openx_token.APPROVE.encode(escrow, 5))
    await deposit(session, "d", openx(session), Amount(TOKEN))
    assert await sent_by(bed, session) == 4
    assert await bed.rpc.view(token, openx_token.ALLOWANCE, session.address, escrow) == 0


async def test_an_approval_that_suffices_is_used(bed: Bed, session: WalletSession) -> None:
    escrow, token = bed.manifest.contracts.payment_escrow, bed.manifest.contracts.openx_token
    await session.send("earlier", token, openx_token.APPROVE.encode(escrow, 5 * TOKEN))
    await deposit(session, "d", openx(session), Amount(TOKEN))
    assert await bed.rpc.view(token, openx_token.ALLOWANCE, session.address, escrow) == 4 * TOKEN


async def test_withdrawing_returns_what_is_free(bed: Bed, session: WalletSession) -> None:
    await deposit(session, "d", openx(session), Amount(40 * TOKEN))
    await withdraw(session, "w", openx(session), Amount(10 * TOKEN))
    other = make_wallet().address
    await withdraw(session, "w2", openx(session), Amount(5 * TOKEN), other)
    balance = (await session.balances(session.address)).assets[0]
    assert (balance.wallet, balance.free) == (70 * TOKEN, 25 * TOKEN)
    assert await bed.openx_of(other) == 5 * TOKEN
    with pytest.raises(Reverted, match="NotEnoughFree"):
        await withdraw(session, "w3", openx(session), Amount(26 * TOKEN))


async def test_an_opener_gets_the_cap(bed: Bed, session: WalletSession) -> None:
    node = make_wallet().address
    await approve_opener(session, "a", node, openx(session), Amount(7))
    contract = bed.manifest.contracts.payment_escrow
    found = await bed.rpc.view(contract, payment_escrow.OPENER_CAP, session.address, node, openx(session).address)
    assert found == 7


async def test_a_deposit_beyond_the_wallet_is_a_persons_mistake(bed: Bed, session: WalletSession) -> None:
    with pytest.raises(UserError, match="the deposit takes") as caught:
        await deposit(session, "d", openx(session), Amount(101 * TOKEN))
    assert caught.value.code == ExitCode.FUNDS
    assert await sent_by(bed, session) == 0
