"""Evidence: the documents by which any party can check, without asking either side, that what was paid was owed, and by which
FaultProver judges: each with the domain in which it is signed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from metering.bounds import MAX_ROOTS, SignatureBytes
from metering.capacity import ElementProof, SignedAnswer, SignedVerdict
from metering.eip712 import Domain
from metering.receipt import SignedReceipt
from metering.terms import Escrow, LeaseTerms, lease_id_of
from metering.units import U32, U64, Address, Hash32, Nanos
from metering.voucher import Coverage, SignedVoucher


class LeaseDocument(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Terms and the two signatures under them, the escrow they draw on, and the domain in which everything is signed.

    node_signature: empty when the provider never signed, or its signature got lost on the way: then the receipts stand
    for it, which it signed under the same lease id.
    """

    chain_id: U64
    contract: Address
    escrow: Escrow
    terms: LeaseTerms
    submitter_signature: SignatureBytes
    node_signature: SignatureBytes

    @property
    def separator(self) -> Hash32:
        """Of the domain."""
        return Domain(self.chain_id, self.contract).separator()

    @property
    def lease_id(self) -> Hash32:
        return lease_id_of(self.separator, self.terms)


class CoveredVoucher(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A voucher and how its receipts hash came about: the bytes of an answer to receipts.push."""

    signed: SignedVoucher
    coverage: Coverage


class PrepaidVoucher(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A voucher signed ahead of the receipts it was to cover; coverage: of those that there were."""

    signed: SignedVoucher
    coverage: Coverage


class LeaseEvidence(msgspec.Struct, frozen=True):
    """All documents of one lease: receipts from number 1 on, vouchers in the order in which they were signed; ahead:
    vouchers signed ahead that are claimed, or could be."""

    document: LeaseDocument
    receipts: tuple[SignedReceipt, ...]
    vouchers: tuple[CoveredVoucher, ...]
    ahead: tuple[PrepaidVoucher, ...] = ()

    @property
    def lease_id(self) -> Hash32:
        return self.document.lease_id


class NumberedDocument(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An offer or a quote as it was signed: its body only by its hash. contract: PaymentEscrow."""

    chain_id: U64
    contract: Address
    kind: Literal["Offer", "Quote"]
    provider: Address
    node: Address
    number: U64
    expires_at_ns: Nanos
    body_hash: Hash32
    signature: SignatureBytes

    @property
    def separator(self) -> Hash32:
        """Of the domain."""
        return Domain(self.chain_id, self.contract).separator()


class AnswerDocument(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A signed capacity answer and, when one is wrong, an element of it. contract: CapacityRegistry."""

    chain_id: U64
    contract: Address
    signed: SignedAnswer
    proof: ElementProof | None = None

    @property
    def separator(self) -> Hash32:
        """Of the domain."""
        return Domain(self.chain_id, self.contract).separator()


class VerdictDocument(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A signed verdict and, when it passed a wrong answer, the roots it was about and an element it must have seen.
    contract: CapacityRegistry."""

    chain_id: U64
    contract: Address
    signed: SignedVerdict
    roots: Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=MAX_ROOTS)] = ()
    device: U32 = 0
    proof: ElementProof | None = None

    @property
    def separator(self) -> Hash32:
        """Of the domain."""
        return Domain(self.chain_id, self.contract).separator()


def make_numbered_document(
    domain: Domain, kind: Literal["Offer", "Quote"], value: Any, signature: bytes
) -> NumberedDocument:
    """The document of an Offer or Quote. domain: PaymentEscrow's."""
    head = (value.provider, value.node, value.number, value.expires_at_ns, value.body_hash)
    return NumberedDocument(domain.chain_id, domain.contract, kind, *head, signature)
