"""Voucher: the submitter's signed, cumulative promise to pay from one escrow; the last one counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from metering.bounds import MAX_COVERED, SignatureBytes
from metering.eip712 import keccak, typed_digest
from metering.units import U64, ZERO_HASH, Amount, Hash32


class Voucher(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """cumulative: over all leases that ever drew on the escrow; receipts_hash: fold of their latest receipts."""

    escrow_id: Hash32
    cumulative: Amount
    receipts_hash: Hash32


class SignedVoucher(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A voucher and the escrow signer's signature over its digest."""

    voucher: Voucher
    signature: SignatureBytes


class Coverage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How `receipts_hash` came about: `prefix` folds the leases numbered below `folded`; then comes the latest receipt
    digest of each lease from there on (zero where there is none yet)."""

    folded: U64
    prefix: Hash32
    digests: Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=MAX_COVERED)]

    def digest_of(self, lease_number: int) -> Hash32 | None:
        """The digest named for a lease, or None when it is folded away or has none yet."""
        index = lease_number - self.folded
        return self.digests[index] if 0 <= index < len(self.digests) else None


NO_COVERAGE = Coverage(0, ZERO_HASH, ())


def fold_receipts(prefix: Hash32, digests: Iterable[Hash32]) -> Hash32:
    """keccak(keccak(prefix || digest 0) || digest 1) ... in order of lease number; no digests give the prefix."""
    folded = prefix
    for digest in digests:
        folded = keccak(folded + digest)
    return folded


def voucher_digest_of(separator: Hash32, voucher: Voucher) -> Hash32:
    """What the escrow's signer signs, and PaymentEscrow recovers."""
    return typed_digest(separator, "Voucher", voucher)
