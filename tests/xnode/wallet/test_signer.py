"""Every signature against eth_account, which others' wallets agree with."""

from __future__ import annotations

import copy
import pickle
import re
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.eip712 import TYPES, Domain, keccak
from metering.signature import recover_signer
from metering.units import Address
from xnode.ports.wallet import Transaction
from xnode.text.hex import to_hex
from xnode.wallet.signer import NodeSigner, WalletKey

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

secrets = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
addresses = st.binary(min_size=20, max_size=20).map(Address)
domains = st.builds(Domain, st.integers(1, 2**63 - 1), addresses)


def _fields(name: str) -> list[tuple[str, str]]:
    return re.findall(r"(\w+) (\w+)", TYPES[name].partition("(")[2])


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", name).lower()


def _values(kind: str) -> st.SearchStrategy[Any]:
    """(our value, eth_account's value) of a field's type."""
    if kind in TYPES:
        return _messages(kind)
    if kind == "string":
        return st.text(max_size=40).map(lambda text: (text, text))
    if kind == "bool":
        return st.booleans().map(lambda flag: (flag, flag))
    if kind == "bytes32":
        return st.binary(min_size=32, max_size=32).map(lambda data: (data, data))
    if kind == "address":
        return addresses.map(lambda data: (data, to_hex(data)))
    bits = int(kind.removeprefix("uint"))
    return st.integers(0, 2**bits - 1).map(lambda number: (number, number))


def _messages(name: str) -> st.SearchStrategy[Any]:
    fields = _fields(name)

    def build(values: list[tuple[Any, Any]]) -> tuple[Any, dict[str, Any]]:
        ours = SimpleNamespace(**{_snake(field): value[0] for (_, field), value in zip(fields, values, strict=True)})
        return ours, {field: value[1] for (_, field), value in zip(fields, values, strict=True)}

    return st.tuples(*(_values(kind) for kind, _ in fields)).map(lambda values: build(list(values)))


def _oracle(secret: bytes, domain: Domain, name: str, message: dict[str, Any]) -> bytes:
    needed = {name} | {kind for kind, _ in _fields(name) if kind in TYPES}
    types = {each: [{"name": field, "type": kind} for kind, field in _fields(each)] for each in needed}
    signed = Account.sign_typed_data(
        secret,
        domain_data={
            "name": domain.name,
            "version": domain.version,
            "chainId": domain.chain_id,
            "verifyingContract": to_hex(domain.contract),
        },
        message_types=types,
        message_data=message,
    )
    return bytes(signed.signature)


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=12, deadline=None)
@given(data=st.data(), secret=secrets, domain=domains)
def test_typed_signature_equals_eth_accounts(name: str, data: st.DataObject, secret: bytes, domain: Domain) -> None:
    ours, theirs = data.draw(_messages(name))
    key = WalletKey(secret)
    expected = _oracle(secret, domain, name, theirs)
    assert NodeSigner(key, domain).sign(name, ours) == expected
    assert key.sign_typed(domain, name, ours) == expected


transactions = st.builds(
    Transaction,
    chain_id=st.integers(1, 2**63 - 1),
    nonce=st.integers(0, 2**63 - 1),
    max_priority_fee=st.integers(0, 2**80),
    max_fee=st.integers(0, 2**80),
    gas=st.integers(0, 2**63 - 1),
    to=st.none() | addresses,
    value=st.integers(0, 2**256 - 1),
    data=st.binary(max_size=100) | st.binary(min_size=250, max_size=70_000),
)


@settings(max_examples=60, deadline=None)
@given(transaction=transactions, secret=secrets)
def test_raw_transaction_equals_eth_accounts(transaction: Transaction, secret: bytes) -> None:
    expected = Account.sign_transaction(
        {
            "type": 2,
            "chainId": transaction.chain_id,
            "nonce": transaction.nonce,
            "maxPriorityFeePerGas": transaction.max_priority_fee,
            "maxFeePerGas": transaction.max_fee,
            "gas": transaction.gas,
            "to": transaction.to or "",
            "value": transaction.value,
            "data": transaction.data,
        },
        secret,
    )
    raw = WalletKey(secret).sign_transaction(transaction)
    assert raw == bytes(expected.raw_transaction)
    assert keccak(raw) == bytes(expected.hash)


@given(secrets)
def test_address_is_eth_accounts(secret: bytes) -> None:
    assert to_hex(WalletKey(secret).address) == Account.from_key(secret).address.lower()


def test_node_key_consent_is_for_the_registry_domain() -> None:
    key = WalletKey(b"\x11" * 32)
    escrow, registry = Domain(1, Address(b"\x01" * 20)), Domain(1, Address(b"\x02" * 20))
    signer, owner = NodeSigner(key, escrow), Address(b"\x05" * 20)
    signature = signer.sign_node_key(registry, owner, nonce=3, deadline=9)
    message = {"provider": to_hex(owner), "nodeKey": to_hex(key.address), "nonce": 3, "deadline": 9}
    assert signature == _oracle(b"\x11" * 32, registry, "NodeKey", message)


def test_same_value_gives_the_same_signature() -> None:
    signer = NodeSigner(WalletKey(b"\x11" * 32), Domain(1, Address(bytes(20))))
    value = SimpleNamespace(escrow_id=bytes(32), cumulative=5, receipts_hash=bytes(32))
    assert signer.sign("Voucher", value) == signer.sign("Voucher", value)


def test_key_is_never_shown() -> None:
    secret = keccak(b"not to be seen")
    key = WalletKey(secret)
    signer = NodeSigner(key, Domain(1, Address(bytes(20))))
    for shown in (repr(key), str(key), f"{key}", repr(signer), str(signer), repr([key, signer]), repr(vars)):
        assert secret.hex() not in shown
        assert str(int.from_bytes(secret, "big")) not in shown
    assert to_hex(key.address) in repr(signer)
    assert signer.libp2p_secret() == secret


def test_key_does_not_leave_by_copying() -> None:
    key = WalletKey(b"\x11" * 32)
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leave(key)


@pytest.mark.parametrize(
    "secret", [b"", bytes(32), b"\x01" * 31, b"\x01" * 33, ORDER.to_bytes(32, "big"), b"\xff" * 32]
)
def test_what_is_no_key_is_refused_without_showing_it(secret: bytes) -> None:
    with pytest.raises(ValueError, match="not a secp256k1 private key") as caught:
        WalletKey(secret)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_digest_signature_recovers_to_us() -> None:
    key = WalletKey(b"\x12" * 32)
    digest = keccak(b"x")
    assert recover_signer(digest, key.sign_digest(digest)) == key.address
