"""Rows and ids against the contract's own: what we pack is what it reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.eip712 import typed_digest
from metering.terms import Escrow, escrow_id_of
from metering.units import U128_MAX, ZERO_HASH, Address, Amount, Hash32
from metering.voucher import Voucher
from tests.xnode.chain.devchain import TOKEN, Bed, make_wallet
from xnode.chain.abi.codec import Call
from xnode.chain.contracts import payment_escrow
from xnode.chain.contracts.payment_escrow import ESCROW_ID, encode_claim_rows, make_claims
from xnode.chain.deployment.devnet import OWNER_KEY
from xnode.ports.chain import ClaimRow
from xnode.text.hex import parse_hex, to_hex
from xnode.wallet.signer import WalletKey

ROW_BYTES = 164
"""Of one row in a claim: the contract's own number."""

CLAIM_ONE = Call("PaymentEscrow", "claimOne")

addresses = st.binary(min_size=20, max_size=20).map(Address)
hashes = st.binary(min_size=32, max_size=32).map(Hash32)
escrows = st.builds(
    Escrow,
    payer=addresses,
    signer=addresses,
    provider=addresses,
    asset=addresses,
    split=hashes,
    thaw=st.integers(0, 2**32 - 1),
    nonce=st.integers(0, 2**96 - 1),
)


def make_row(escrow: Escrow, separator: Hash32, key: WalletKey, cumulative: int, receipts_hash: Hash32) -> ClaimRow:
    voucher = Voucher(escrow_id_of(separator, escrow), Amount(cumulative), receipts_hash)
    return ClaimRow(escrow, voucher, key.sign_digest(typed_digest(separator, "Voucher", voucher)))


@pytest.mark.chain
@pytest.mark.parametrize("seed", range(12))
async def test_escrow_id_is_the_contracts(bed: Bed, seed: int) -> None:
    escrow = make_escrow(seed)
    found = await bed.rpc.view(bed.manifest.contracts.payment_escrow, ESCROW_ID, escrow)
    assert found == escrow_id_of(bed.manifest.domain.separator(), escrow)


def make_escrow(seed: int) -> Escrow:
    """Terms with every field far from its default; the last ones at their limits."""
    payer, signer, provider, asset = (make_wallet(f"{seed} {name}").address for name in range(4))
    top = seed == 11
    return Escrow(
        payer,
        signer,
        provider,
        asset,
        split=Hash32(bytes([seed]) * 32),
        thaw=2**32 - 1 if top else seed * 1000,
        nonce=2**96 - 1 if top else seed * 10**20,
    )


@given(st.lists(st.tuples(escrows, st.integers(0, U128_MAX), hashes), max_size=5))
def test_a_row_is_its_fields_without_padding(drawn: list[tuple[Escrow, int, Hash32]]) -> None:
    key = WalletKey(b"\x11" * 32)
    rows = [make_row(escrow, ZERO_HASH, key, cumulative, receipts) for escrow, cumulative, receipts in drawn]
    packed = encode_claim_rows(rows)
    assert len(packed) == ROW_BYTES * len(rows)
    for number, row in enumerate(rows):
        part = packed[number * ROW_BYTES :][:ROW_BYTES]
        assert row.voucher is not None
        assert part[:20] == row.escrow.payer
        assert part[20:40] == row.escrow.signer
        assert int.from_bytes(part[40:52], "big") == row.escrow.nonce
        assert int.from_bytes(part[52:68], "big") == row.voucher.cumulative
        assert part[68:100] == row.voucher.receipts_hash
        assert part[100:132] == row.signature[:32]
        v = 27 + (part[132] >> 7)
        assert bytes([part[132] & 0x7F]) + part[133:] + bytes([v]) == row.signature[32:]


@given(st.lists(escrows, min_size=1, max_size=8))
def test_claims_hold_every_row_once_by_what_they_share(drawn: list[Escrow]) -> None:
    key = WalletKey(b"\x11" * 32)
    rows = [make_row(escrow, ZERO_HASH, key, 1, ZERO_HASH) for escrow in drawn]
    calls = make_claims(rows)
    shared = {(row.escrow.provider, row.escrow.asset, row.escrow.split, row.escrow.thaw) for row in rows}
    assert len(calls) == len(shared)
    assert sum(len(call) // ROW_BYTES for call in calls) >= len(rows)


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(65), bytes(64) + b"\x1d", bytes(66)])
def test_a_signature_of_another_form_is_not_packed(signature: bytes) -> None:
    voucher = Voucher(ZERO_HASH, Amount(1), ZERO_HASH)
    with pytest.raises(ValueError, match="65 bytes"):
        encode_claim_rows([ClaimRow(make_escrow(1), voucher, signature)])


@pytest.mark.chain
@pytest.mark.parametrize("cumulative", [0, 1, 5 * TOKEN - 1, 5 * TOKEN, U128_MAX])
@pytest.mark.parametrize("damage", ["none", "signature"])
async def test_claim_of_our_row_pays_what_claim_one_pays(bed: Bed, cumulative: int, damage: str) -> None:
    escrow, signer = await open_funded(bed)
    row = make_row(escrow, bed.manifest.domain.separator(), signer, cumulative, Hash32(b"\x07" * 32))
    voucher = row.voucher
    assert voucher is not None
    if damage == "signature":
        row = ClaimRow(escrow, voucher, bytes([row.signature[0] ^ 1]) + row.signature[1:])
    one = await dry_run(bed, CLAIM_ONE.encode(escrow, voucher.cumulative, voucher.receipts_hash, row.signature))
    batch = await dry_run(bed, make_claims([row])[0])
    assert batch == one == (min(cumulative, 5 * TOKEN) if damage == "none" else 0)


async def dry_run(bed: Bed, data: bytes) -> int:
    """What a claim would return, without sending it."""
    call = {"to": to_hex(bed.manifest.contracts.payment_escrow), "data": to_hex(data)}
    return int.from_bytes(parse_hex(await bed.rpc.read("eth_call", call, "latest")), "big")


async def open_funded(bed: Bed) -> tuple[Escrow, WalletKey]:
    """An escrow of five OPENX whose payer is anvil's own account, and its signer's key."""
    signer, provider = make_wallet(), make_wallet().address
    asset, contract = bed.manifest.assets[0].address, bed.manifest.contracts.payment_escrow
    payer = WalletKey(OWNER_KEY).address
    escrow = Escrow(payer, signer.address, provider, asset, ZERO_HASH, 100, 2**96 - 1)
    await bed.approve_as_owner(contract, 5 * TOKEN)
    await bed.send_as_owner(contract, payment_escrow.DEPOSIT.encode(payer, asset, 5 * TOKEN))
    opening = payment_escrow.OPEN.encode(escrow, 5 * TOKEN)
    await bed.send_as_owner(contract, opening)
    return escrow, signer
