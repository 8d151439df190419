"""Evidence: the papers of a lease by which anybody can check, without asking either side, that what was paid was owed."""

from __future__ import annotations

import msgspec

from metering.eip712 import Domain
from metering.receipt import SignedReceipt
from metering.terms import Escrow, LeaseTerms, make_lease_id
from metering.units import U64, Address, Hash32
from metering.voucher import Coverage, SignedVoucher


class LeasePaper(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Terms and the two signatures under them, the escrow they draw on, and the domain in which everything is signed.

    node_signature: empty when the provider never signed, or its signature got lost on the way: then the receipts stand
    for it, which it signed under the same lease id.
    """

    chain_id: U64
    contract: Address
    escrow: Escrow
    terms: LeaseTerms
    submitter_signature: bytes
    node_signature: bytes

    @property
    def separator(self) -> Hash32:
        """Of the domain."""
        return Domain(self.chain_id, self.contract).separator()

    @property
    def lease_id(self) -> Hash32:
        return make_lease_id(self.separator, self.terms)


class CoveredVoucher(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A voucher and how its receipts hash came about: the bytes of an answer to receipts.push."""

    signed: SignedVoucher
    coverage: Coverage


class LeaseEvidence(msgspec.Struct, frozen=True):
    """All papers of one lease: receipts from number 1 on, vouchers in the order in which they were signed."""

    paper: LeasePaper
    receipts: tuple[SignedReceipt, ...]
    vouchers: tuple[CoveredVoucher, ...]

    @property
    def lease_id(self) -> Hash32:
        return self.paper.lease_id
