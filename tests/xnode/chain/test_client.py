"""The client's reads and sends against real contracts: the money ends where it should."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio

from metering.eip712 import typed_digest
from metering.terms import Escrow, Opening, escrow_id_of
from metering.units import ZERO_HASH, Address, Amount, Hash32
from metering.voucher import Voucher
from tests.make.waiting import wait_until
from tests.xnode.chain.devchain import PACE, TOKEN, Bed, make_wallet, other_owner
from xnode.chain import client as chain_client
from xnode.chain.client import ChainClient, open_client
from xnode.chain.contracts import payment_escrow, provider_registry
from xnode.chain.contracts.events import Claimed, ClaimSkipped, ProviderPaid, Released
from xnode.chain.deployment.devnet import OWNER_KEY
from xnode.chain.deployment.manifest import Asset, Manifest
from xnode.chain.node.json_rpc import Reverted
from xnode.chain.send.tx_journal import TxCall, make_engine
from xnode.errors import Permanent
from xnode.ports.chain import ClaimRow, EscrowState, Spender, Staked
from xnode.text.hex import to_hex
from xnode.wallet.signer import NodeSigner, WalletKey

pytestmark = pytest.mark.chain

DEADLINE = 2**40
THAW_S = 100


class Market:
    """A payer with a deposit and an approved submitter's node, a registered provider, and the provider's client."""

    def __init__(self, bed: Bed, client: ChainClient, payer: WalletKey, submitter: WalletKey, owner: WalletKey) -> None:
        self.bed, self.client, self.payer, self.submitter, self.owner = bed, client, payer, submitter, owner
        self.asset = bed.manifest.assets[0].address
        self.separator = bed.manifest.domain.separator()

    def make_escrow(self, nonce: int = 1, provider: Address | None = None) -> Escrow:
        terms = (self.payer.address, self.submitter.address, provider or self.owner.address, self.asset)
        return Escrow(*terms, split=ZERO_HASH, thaw=THAW_S, nonce=nonce)

    def sign_opening(self, escrow: Escrow, amount: int, nonce: int, by: WalletKey) -> tuple[Opening, bytes]:
        escrow_id = escrow_id_of(self.separator, escrow)
        opening = Opening(escrow_id, Amount(amount), nonce.to_bytes(32, "big"), DEADLINE)
        return opening, by.sign_digest(typed_digest(self.separator, "Opening", opening))

    def make_row(self, escrow: Escrow, cumulative: int, by: WalletKey | None = None) -> ClaimRow:
        voucher = Voucher(escrow_id_of(self.separator, escrow), Amount(cumulative), Hash32(b"\x07" * 32))
        key = by or self.submitter
        return ClaimRow(escrow, voucher, key.sign_digest(typed_digest(self.separator, "Voucher", voucher)))

    async def open(self, amount: int, nonce: int) -> Escrow:
        """An escrow of that amount, relayed by the provider."""
        escrow = self.make_escrow(nonce)
        opening, signature = self.sign_opening(escrow, amount, nonce, self.submitter)
        sent = await self.client.open_escrow(f"open {nonce}", escrow, opening, signature)
        assert sent.ok
        return escrow

    async def state(self, escrow: Escrow) -> EscrowState:
        return await self.client.escrow_state(escrow_id_of(self.separator, escrow))

    async def free(self) -> int:
        return await self.client.free_balance(self.payer.address, self.asset)


async def send_as(bed: Bed, key: WalletKey, to: Address, data: bytes) -> None:
    """A transaction of any of the test's wallets, through a client of its own."""
    async with open_client(bed.manifest, key, make_engine(bed.folder / f"{key.address.hex()}.sqlite"), pace=PACE) as c:
        assert (await c._transactor.send(data.hex()[:100], TxCall(to, data))).ok


@pytest.fixture
async def market(bed: Bed) -> AsyncIterator[Market]:
    payer, owner = await bed.new_wallet(), await bed.new_wallet()
    submitter, node = make_wallet(), await bed.new_wallet()
    contract, asset = bed.manifest.contracts.payment_escrow, bed.manifest.assets[0].address
    await bed.approve_as_owner(contract, 100 * TOKEN)
    await bed.send_as_owner(contract, payment_escrow.DEPOSIT.encode(payer.address, asset, 100 * TOKEN))
    await send_as(bed, payer, contract, payment_escrow.APPROVE_OPENER.encode(submitter.address, asset, 60 * TOKEN))
    signer = NodeSigner(node, bed.manifest.domain)
    consent = signer.sign_node_key(bed.manifest.registry_domain, owner.address, 0, DEADLINE)
    register = provider_registry.REGISTER.encode(node.address, bytes(20), DEADLINE, consent)
    await send_as(bed, owner, bed.manifest.contracts.provider_registry, register)
    async with provider_client(bed, signer) as client:
        yield Market(bed, client, payer, submitter, owner)


@asynccontextmanager
async def provider_client(bed: Bed, signer: NodeSigner, manifest: Manifest | None = None) -> AsyncIterator[ChainClient]:
    engine = make_engine(bed.folder / "node.sqlite")
    with trio.fail_after(60):
        async with open_client(manifest or bed.manifest, signer, engine, rpc_url=bed.rpc._url, pace=PACE) as client:
            yield client


# --------------------------------------------------------------------------------------------------------------- check


async def test_a_right_manifest_passes(market: Market) -> None:
    assert "chain 31337" in await market.client.check()


async def test_another_owner_of_the_same_contracts_is_a_warning(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons: list[str] = []
    monkeypatch.setattr(chain_client.log, "warning", lambda _event, reason, hint: reasons.append(reason), raising=False)
    async with other_owner(market.bed.rpc, market.bed.manifest.contracts.payment_escrow):
        assert "chain 31337" in await market.client.check()
    (reason,) = reasons
    assert "payment_escrow" in reason and "owned by another" in reason


async def test_a_wrong_manifest_is_named(bed: Bed) -> None:
    signer = NodeSigner(make_wallet(), bed.manifest.domain)
    contracts = bed.manifest.contracts
    swapped = msgspec.structs.replace(contracts, payment_escrow=contracts.provider_registry)
    nothing = msgspec.structs.replace(contracts, openx_token=make_wallet().address)
    stranger = Asset("EVIL", 18, contracts.provider_registry)
    poor = tuple(asset for asset in bed.manifest.assets if asset.symbol != "tGPU")
    for changes, told in (
        ({"contracts": swapped}, "is not the PaymentEscrow we know"),
        ({"contracts": nothing}, "no OpenxToken at"),
        ({"assets": (*bed.manifest.assets, stranger)}, "EVIL is not accepted"),
        ({"assets": poor}, "lack tGPU"),
    ):
        async with provider_client(bed, signer, msgspec.structs.replace(bed.manifest, **changes)) as client:
            with pytest.raises(Permanent, match=told):
                await client.check()


# --------------------------------------------------------------------------------------------------------------- reads


async def test_what_was_never_there_reads_as_nothing(market: Market) -> None:
    stranger = make_wallet().address
    assert await market.client.free_balance(stranger, market.asset) == 0
    assert await market.client.opener_cap(stranger, stranger, market.asset) == 0
    assert await market.client.escrow_state(Hash32(b"\x01" * 32)) == EscrowState(Amount(0), Amount(0), 0)
    assert await market.client.provider_of(stranger) is None
    assert await market.client.stakes_of((stranger, stranger)) == (Staked(Amount(0)), Staked(Amount(0)))


async def test_a_provider_is_found_by_its_node_key(market: Market) -> None:
    node = market.client._transactor._signer.address
    assert await market.client.provider_of(node) == market.owner.address
    stranger = make_wallet().address
    found = await market.client.providers_of((stranger, node, stranger))
    assert found == (None, market.owner.address, None)


async def test_what_can_be_reserved_is_the_deposit_for_its_payer_and_the_cap_for_an_opener(market: Market) -> None:
    payer, opener, stranger = market.payer.address, market.submitter.address, make_wallet().address
    asked = [Spender(*pair, market.asset) for pair in ((payer, payer), (payer, opener), (payer, stranger))]
    assert await market.client.spendables_of(asked) == (100 * TOKEN, 60 * TOKEN, 0)
    await market.open(20 * TOKEN, nonce=1)
    assert await market.client.spendables_of(asked) == (80 * TOKEN, 40 * TOKEN, 0)


# ------------------------------------------------------------------------------------------------------------- opening


async def test_the_submitters_node_opens_within_its_cap(market: Market) -> None:
    escrow = await market.open(20 * TOKEN, nonce=1)
    assert await market.state(escrow) == EscrowState(Amount(20 * TOKEN), Amount(0), 0)
    assert await market.free() == 80 * TOKEN
    assert await market.client.opener_cap(market.payer.address, market.submitter.address, market.asset) == 40 * TOKEN


async def test_the_payer_opens_without_a_cap(market: Market) -> None:
    escrow = market.make_escrow()
    opening, signature = market.sign_opening(escrow, 90 * TOKEN, 5, market.payer)
    assert (await market.client.open_escrow("open", escrow, opening, signature)).ok
    assert (await market.state(escrow)).deposited == 90 * TOKEN


async def test_an_opening_beyond_the_cap_is_permanent_and_says_why(market: Market) -> None:
    escrow = market.make_escrow()
    opening, signature = market.sign_opening(escrow, 61 * TOKEN, 1, market.submitter)
    with pytest.raises(Reverted, match="OpenerCapExceeded"):
        await market.client.open_escrow("open", escrow, opening, signature)


async def test_an_opening_someone_else_has_relayed_is_in_effect(market: Market) -> None:
    escrow = market.make_escrow()
    opening, signature = market.sign_opening(escrow, TOKEN, 9, market.submitter)
    data = payment_escrow.make_open_by_sig(escrow, opening, market.submitter.address, signature)
    await market.bed.send_as_owner(market.bed.manifest.contracts.payment_escrow, data)
    assert (await market.client.open_escrow("open", escrow, opening, signature)).ok
    assert (await market.state(escrow)).deposited == TOKEN


# ------------------------------------------------------------------------------------------------------------ claiming


async def test_a_claim_pays_the_owner_and_gives_back_the_rest(market: Market) -> None:
    escrow = await market.open(20 * TOKEN, nonce=1)
    sent = await market.client.claim_and_release("claim", (market.make_row(escrow, 7 * TOKEN),), release=True)
    assert sent.ok
    assert await market.bed.openx_of(market.owner.address) == 7 * TOKEN
    assert await market.free() == 93 * TOKEN
    assert await market.state(escrow) == EscrowState(Amount(7 * TOKEN), Amount(7 * TOKEN), 0)


async def test_a_claim_without_release_keeps_the_rest_reserved(market: Market) -> None:
    escrow = await market.open(20 * TOKEN, nonce=1)
    await market.client.claim_and_release("claim", (market.make_row(escrow, 7 * TOKEN),), release=False)
    assert await market.state(escrow) == EscrowState(Amount(20 * TOKEN), Amount(7 * TOKEN), 0)


async def test_without_a_voucher_all_is_released(market: Market) -> None:
    escrow = await market.open(20 * TOKEN, nonce=1)
    assert (await market.client.claim_and_release("release", (ClaimRow(escrow, None, b""),), release=True)).ok
    assert await market.free() == 100 * TOKEN


async def test_nothing_to_claim_is_permanent(market: Market) -> None:
    escrow = market.make_escrow()
    for rows in ((), (ClaimRow(escrow, None, b""),)):
        with pytest.raises(Permanent, match="claim"):
            await market.client.claim_and_release("claim", rows, release=False)


async def test_a_bad_row_neither_pays_nor_stops_the_others(market: Market) -> None:
    good, forged = await market.open(10 * TOKEN, nonce=1), await market.open(10 * TOKEN, nonce=2)
    rows = (market.make_row(forged, 10 * TOKEN, by=make_wallet()), market.make_row(good, 4 * TOKEN))
    poller = market.client.make_poller(find_pause_s=lambda: 0.02)
    assert (await market.client.claim_and_release("claim", rows, release=True)).ok
    assert await market.bed.openx_of(market.owner.address) == 4 * TOKEN
    assert (await market.state(good)).claimed == 4 * TOKEN
    assert (await market.state(forged)).claimed == 0
    with trio.fail_after(20):
        events = [entry.event for entry in (await poller.next_batch()).logs]
    forged_id, good_id = (escrow_id_of(market.separator, escrow) for escrow in (forged, good))
    assert ClaimSkipped(forged_id, 2) in events
    assert Claimed(good_id, Amount(4 * TOKEN), Hash32(b"\x07" * 32)) in events
    assert Released(good_id, Amount(6 * TOKEN), Amount(4 * TOKEN)) in events
    owner = market.owner.address
    assert ProviderPaid(owner, market.asset, owner, Amount(4 * TOKEN)) in events


async def test_an_old_voucher_with_release_cannot_take_back_what_was_paid(market: Market) -> None:
    escrow = await market.open(20 * TOKEN, nonce=1)
    await market.client.claim_and_release("new", (market.make_row(escrow, 9 * TOKEN),), release=False)
    assert (await market.client.claim_and_release("old", (market.make_row(escrow, 2 * TOKEN),), release=True)).ok
    assert await market.bed.openx_of(market.owner.address) == 9 * TOKEN
    assert await market.free() == 91 * TOKEN


async def test_rows_of_different_terms_settle_in_one_transaction(market: Market) -> None:
    first = await market.open(10 * TOKEN, nonce=1)
    second = msgspec.structs.replace(market.make_escrow(2), thaw=THAW_S + 1)
    opening, signature = market.sign_opening(second, 10 * TOKEN, 2, market.submitter)
    await market.client.open_escrow("open second", second, opening, signature)
    rows = (market.make_row(first, TOKEN), market.make_row(second, 2 * TOKEN))
    before = await nonce_of(market)
    assert (await market.client.claim_and_release("claim", rows, release=True)).ok
    assert await nonce_of(market) == before + 1
    assert await market.bed.openx_of(market.owner.address) == 3 * TOKEN


async def nonce_of(market: Market) -> int:
    address = to_hex(market.client._transactor._signer.address)
    return int(await market.bed.rpc.read("eth_getTransactionCount", address, "latest"), 16)


async def test_a_claim_is_paid_even_when_the_release_is_refused(market: Market) -> None:
    # Another provider's escrow: anyone may claim it for that provider, but only it may release.
    other = make_wallet().address
    escrow = market.make_escrow(provider=other)
    opening, signature = market.sign_opening(escrow, 10 * TOKEN, 1, market.submitter)
    await market.client.open_escrow("open", escrow, opening, signature)
    assert (await market.client.claim_and_release("claim", (market.make_row(escrow, 3 * TOKEN),), release=True)).ok
    assert await market.bed.openx_of(other) == 3 * TOKEN
    assert (await market.state(escrow)).deposited == 10 * TOKEN


async def test_more_rows_than_fit_go_in_several_transactions(market: Market) -> None:
    real = await market.open(10 * TOKEN, nonce=1)
    empty = [market.make_row(market.make_escrow(nonce), TOKEN) for nonce in range(1000, 1000 + payment_escrow.MAX_ROWS)]
    before = await nonce_of(market)
    sent = await market.client.claim_and_release("claim", (*empty, market.make_row(real, TOKEN)), release=False)
    assert sent.ok
    assert sent.intent == "claim"
    assert await nonce_of(market) == before + 2
    assert await market.bed.openx_of(market.owner.address) == TOKEN


async def test_gas_holds_when_a_top_up_comes_between_estimate_and_block(market: Market) -> None:
    escrows = [market.make_escrow(nonce) for nonce in range(1, 21)]
    rows = tuple(market.make_row(escrow, TOKEN) for escrow in escrows)
    await market.bed.rpc.write("evm_setAutomine", False)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(market.client.claim_and_release, "claim", rows, True)
            await wait_pooled(market, 1)
            await open_all_dearer(market, escrows)
            await wait_pooled(market, 1 + len(escrows))
            await market.bed.rpc.write("evm_mine")
    finally:
        await market.bed.rpc.write("evm_setAutomine", True)
    assert await market.bed.openx_of(market.owner.address) == len(rows) * TOKEN


async def wait_pooled(market: Market, count: int) -> None:
    async def is_pooled() -> bool:
        return int((await market.bed.rpc.read("txpool_status"))["pending"], 16) >= count

    await wait_until(is_pooled)


async def open_all_dearer(market: Market, escrows: list[Escrow]) -> None:
    """Openings that are mined before the claim that waits in the pool, because they pay more."""
    for number, escrow in enumerate(escrows):
        opening, signature = market.sign_opening(escrow, 2 * TOKEN, number, market.submitter)
        data = payment_escrow.make_open_by_sig(escrow, opening, market.submitter.address, signature)
        call = {
            "from": to_hex(WalletKey(OWNER_KEY).address),
            "to": to_hex(market.client._escrow),
            "data": to_hex(data),
            "gas": hex(300_000),
            "maxPriorityFeePerGas": hex(10**9),
            "maxFeePerGas": hex(10**11),
        }
        await market.bed.rpc.write("eth_sendTransaction", call)


# ------------------------------------------------------------------------------------------------------------- thawing


async def test_the_submitters_node_thaws_and_closes(market: Market) -> None:
    escrow = await market.open(20 * TOKEN, nonce=1)
    await market.bed.give(market.submitter.address, wei=TOKEN)
    signer = NodeSigner(market.submitter, market.bed.manifest.domain)
    async with provider_client(replace_folder(market.bed), signer) as client:
        assert (await client.start_thaw("thaw", escrow)).ok
        assert (await market.state(escrow)).thaw_end > 0
        with pytest.raises(Reverted, match="StillThawing"):
            await client.close_escrow("too early", escrow)
        await market.bed.rpc.write("evm_increaseTime", hex(THAW_S + 1))
        await market.bed.rpc.write("evm_mine")
        assert (await client.close_escrow("close", escrow)).ok
    assert await market.free() == 100 * TOKEN


def replace_folder(bed: Bed) -> Bed:
    folder = bed.folder / "submitter"
    folder.mkdir()
    return Bed(bed.manifest, bed.rpc, folder)
