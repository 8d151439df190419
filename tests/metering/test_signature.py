"""One spelling for one signature."""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_account._utils.signing import sign_message_hash
from eth_keys.datatypes import PrivateKey, Signature
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.signature import address_of_key, is_signed_by, recover_signer, sign_digest
from metering.units import Hash32
from tests.make.values import address_of, make_key
from tests.metering.strategies import hashes

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DIGEST = Hash32(bytes(range(32)))


def malleate(signature: bytes) -> bytes:
    """The same signature with high s and the other v: valid on the curve, and not the accepted form."""
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes((55 - signature[64],))


@given(hashes, st.integers(0, 50))
@settings(max_examples=40)
def test_a_signature_names_its_signer_and_is_the_oracles(digest: Hash32, number: int) -> None:
    key = make_key(number)
    signature = sign_digest(key, digest)
    assert recover_signer(digest, signature) == address_of(number)
    assert is_signed_by(address_of(number), digest, signature)
    assert not is_signed_by(address_of(number + 1), digest, signature)
    assert signature == sign_message_hash(PrivateKey(key.secret), digest)[3]


@given(st.integers(0, 2**64))
@settings(max_examples=20)
def test_addresses_are_ethereums(number: int) -> None:
    key = make_key(number)
    assert address_of_key(key.public_key) == bytes.fromhex(Account.from_key(key.secret).address[2:])


@given(hashes)
@settings(max_examples=30)
def test_high_s_is_refused_although_it_recovers(digest: Hash32) -> None:
    signature = malleate(sign_digest(make_key(1), digest))
    raw = Signature(signature[:64] + bytes((signature[64] - 27,)))
    assert raw.recover_public_key_from_msg_hash(digest).to_canonical_address() == address_of(1)
    assert recover_signer(digest, signature) is None


def _spellings() -> dict[str, bytes]:
    good = sign_digest(make_key(1), DIGEST)
    recovery = good[64] - 27
    compact_s = (int.from_bytes(good[32:64], "big") | recovery << 255).to_bytes(32, "big")
    return {
        "v is 0 or 1": good[:64] + bytes((recovery,)),
        "v of EIP-155": good[:64] + bytes((recovery + 37,)),
        "64 bytes, no v": good[:64],
        "64 bytes, EIP-2098": good[:32] + compact_s,
        "66 bytes": good + b"\0",
        "empty": b"",
        "zeros": bytes(65),
        "r is zero": bytes(32) + good[32:],
        "s is zero": good[:32] + bytes(32) + good[64:],
        "r is the order": ORDER.to_bytes(32, "big") + good[32:],
        "r is not a point": (5).to_bytes(32, "big") + good[32:],
    }


@pytest.mark.parametrize("name", _spellings())
def test_other_spellings_are_refused(name: str) -> None:
    assert recover_signer(DIGEST, _spellings()[name]) is None


@given(st.binary(max_size=70), hashes)
def test_no_bytes_make_it_raise(signature: bytes, digest: Hash32) -> None:
    recover_signer(digest, signature)


@given(st.binary(min_size=64, max_size=64), st.sampled_from([27, 28]))
def test_no_signature_of_the_right_form_makes_it_raise(body: bytes, v: int) -> None:
    recover_signer(DIGEST, body + bytes((v,)))
