"""Digests, against eth-account as the oracle."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak as oracle_keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from metering.eip712 import TYPES, Domain, keccak, type_hash_of, type_string_of, typed_digest
from metering.receipt import Receipt, receipt_digest_of
from metering.terms import Escrow, LeaseTerms, Opening, escrow_id_of, lease_id_of
from metering.units import Address, Amount
from metering.voucher import Voucher, voucher_digest_of
from tests.make.values import DOMAIN, SEPARATOR, make_job, make_signed_offer, make_signed_quote
from tests.metering.strategies import addresses, escrows, hashes, openings, terms, u64, u128, usages, vouchers


def fields_of(name: str) -> list[tuple[str, str]]:
    """(kind, field) of a type, read from the table's text by this test's own means."""
    inside = TYPES[name][len(name) + 1 : -1]
    return [(kind, field) for kind, field in (part.split(" ") for part in inside.split(","))]


def snake(name: str) -> str:
    """exposureLimit -> exposure_limit."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)


def random_value(name: str) -> st.SearchStrategy[Any]:
    """Values whose attributes are the type's fields."""

    def strategy(kind: str) -> st.SearchStrategy[Any]:
        if kind in TYPES:
            return random_value(kind)
        if kind.startswith("uint"):
            return st.integers(0, 2 ** int(kind[4:]) - 1)
        return {"bytes32": hashes, "address": addresses, "bool": st.booleans(), "string": st.text(max_size=40)}[kind]

    drawn = {snake(field): strategy(kind) for kind, field in fields_of(name)}
    return st.fixed_dictionaries(drawn).map(lambda fields: SimpleNamespace(**fields))


def oracle_digest(domain: Domain, name: str, value: Any) -> bytes:
    """What eth-account says is signed."""
    types: dict[str, list[dict[str, str]]] = {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ]
    }

    def message(kind: str, of: Any) -> dict[str, Any]:
        types[kind] = [{"name": field, "type": of_kind} for of_kind, field in fields_of(kind)]
        found = {}
        for of_kind, field in fields_of(kind):
            inner = getattr(of, snake(field))
            if of_kind in TYPES:
                inner = message(of_kind, inner)
            elif of_kind == "address":
                inner = "0x" + inner.hex()
            elif of_kind.startswith("uint") and isinstance(inner, bytes):
                inner = int.from_bytes(inner, "big")
            found[field] = inner
        return found

    body = message(name, value)
    where = {
        "name": domain.name,
        "version": domain.version,
        "chainId": domain.chain_id,
        "verifyingContract": "0x" + domain.contract.hex(),
    }
    full = {"types": types, "primaryType": name, "domain": where, "message": body}
    signable = encode_typed_data(full_message=full)
    return oracle_keccak(b"\x19" + signable.version + signable.header + signable.body)


domains = st.builds(Domain, st.integers(0, 2**256 - 1), addresses)


@pytest.mark.parametrize("name", TYPES)
def test_every_type_hashes_as_the_oracle_says(name: str) -> None:
    @given(domains, random_value(name))
    @settings(max_examples=25)
    def agree(domain: Domain, value: Any) -> None:
        assert typed_digest(domain.separator(), name, value) == oracle_digest(domain, name, value)

    agree()


@given(domains, escrows, openings, terms, vouchers)
@settings(max_examples=25)
def test_our_structs_have_the_fields_of_their_types(
    domain: Domain, escrow: Escrow, opening: Opening, lease: LeaseTerms, voucher: Voucher
) -> None:
    separator = domain.separator()
    assert escrow_id_of(separator, escrow) == oracle_digest(domain, "Escrow", escrow)
    assert typed_digest(separator, "Opening", opening) == oracle_digest(domain, "Opening", opening)
    assert lease_id_of(separator, lease) == oracle_digest(domain, "LeaseTerms", lease)
    assert voucher_digest_of(separator, voucher) == oracle_digest(domain, "Voucher", voucher)


@given(domains, st.builds(Receipt, hashes, u64, u64, u64, usages, u128.map(Amount), st.booleans()))
@settings(max_examples=25)
def test_receipts_hash_as_the_oracle_says(domain: Domain, receipt: Receipt) -> None:
    assert receipt_digest_of(domain.separator(), receipt) == oracle_digest(domain, "Receipt", receipt)


def test_offers_and_quotes_hash_as_the_oracle_says() -> None:
    offer, quote = make_signed_offer().offer, make_signed_quote(make_job()).quote
    assert typed_digest(SEPARATOR, "Offer", offer) == oracle_digest(DOMAIN, "Offer", offer)
    assert typed_digest(SEPARATOR, "Quote", quote) == oracle_digest(DOMAIN, "Quote", quote)


def test_inner_types_follow_in_alphabetical_order() -> None:
    text = type_string_of("LeaseTerms")
    assert text == TYPES["LeaseTerms"] + TYPES["Resources"] + TYPES["Tariff"]
    assert type_hash_of("LeaseTerms") == keccak(text.encode())


def test_keccak_is_the_evms() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@given(escrows, st.sampled_from(Escrow.__struct_fields__), st.data())
def test_every_field_counts(escrow: Escrow, name: str, data: st.DataObject) -> None:
    other = data.draw(escrows)
    separator = Domain(1, Address(bytes(20))).separator()
    changed = structs.replace(escrow, **{name: getattr(other, name)})
    assert (escrow_id_of(separator, changed) == escrow_id_of(separator, escrow)) == (changed == escrow)


@pytest.mark.parametrize(
    ("name", "value"),
    [("thaw", 2**32), ("thaw", -1), ("nonce", 2**96), ("payer", bytes(19)), ("payer", bytes(32)), ("split", bytes(31))],
)
def test_a_value_too_wide_for_its_type_raises_and_is_not_signed(name: str, value: Any) -> None:
    fields = {"payer": bytes(20), "signer": bytes(20), "provider": bytes(20), "asset": bytes(20), "split": bytes(32)}
    wrong = SimpleNamespace(**(fields | {"thaw": 1, "nonce": 1} | {name: value}))
    with pytest.raises((ValueError, OverflowError)):
        typed_digest(Domain(1, Address(bytes(20))).separator(), "Escrow", wrong)
