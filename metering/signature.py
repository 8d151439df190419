"""Signatures: 65 bytes r, s, v with low s and v 27 or 28; this one form only, so that one signing has one spelling."""

from __future__ import annotations

from typing import NewType

from coincurve import PrivateKey, PublicKey

from metering.eip712 import keccak
from metering.units import Address, Hash32

Signature = NewType("Signature", bytes)

SIGNATURE_BYTES = 65

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def sign_digest(key: PrivateKey, digest: Hash32) -> Signature:
    """Our signature; the same key and digest always give the same one (RFC 6979)."""
    raw = key.sign_recoverable(digest, hasher=None)
    return Signature(raw[:64] + bytes((raw[64] + 27,)))


def recover_signer(digest: Hash32, signature: bytes) -> Address | None:
    """Who signed, or None when the signature is not of the one accepted form."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return None
    try:
        public = PublicKey.from_signature_and_message(
            signature[:64] + bytes((signature[64] - 27,)), digest, hasher=None
        )
    except Exception:  # coincurve raises bare Exception and ValueError for unrecoverable points
        return None
    return address_of_key(public)


def is_signed_by(address: Address, digest: Hash32, signature: bytes) -> bool:
    """True when this address signed this digest."""
    return recover_signer(digest, signature) == address


def address_of_key(public: PublicKey) -> Address:
    """The Ethereum address of a secp256k1 public key."""
    return Address(keccak(public.format(compressed=False)[1:])[12:])
