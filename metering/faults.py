"""Faults: what signed documents prove against who signed them, exactly as FaultProver judges it. Only looks at bytes.

authors, wherever it is asked for: what the registry knows of the node keys (`metering/authors.py`). escrow: the separator
of PaymentEscrow's domain. Usage beyond what was verified has a judge of its own: `metering/over_capacity.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from metering.authors import Authors
from metering.capacity import (
    ElementProof,
    answer_digest_of,
    answers_hash_of,
    count_leaves,
    count_levels,
    element_at,
    find_opened_rows,
    verdict_digest_of,
)
from metering.eip712 import keccak, typed_digest
from metering.evidence import AnswerDocument, LeaseDocument, NumberedDocument, VerdictDocument
from metering.receipt import SignedReceipt, receipt_digest_of
from metering.signature import recover_signer
from metering.terms import lease_id_of
from metering.units import NANOS_PER_SECOND, Address, Hash32


class Fault(IntEnum):
    """IEvidence.Fault."""

    NONE = 0
    EQUIVOCATION = 1
    OVER_CAPACITY = 2
    WRONG_ELEMENT = 3
    FALSE_VERDICT = 4


Contradictable = SignedReceipt | NumberedDocument | VerdictDocument
"""What is signed once for each number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What every proof says: against whom, and by which documents. dated_s: the date of the latest of them, in seconds.

    first, second: what of the documents is in the evidence's id (ICommitments, IFaultProver, IOverCapacity).
    """

    fault: Fault
    provider: Address
    first: Hash32
    second: Hash32
    dated_s: int

    @property
    def evidence_id(self) -> Hash32:
        """keccak256(abi.encode(fault, provider, first, second)): what a reporter commits to."""
        return keccak(int(self.fault).to_bytes(32, "big") + self.provider.rjust(32, b"\0") + self.first + self.second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation(Proof):
    """Two different documents under one number, both of one kind. lease: whose receipts they are, as both sides signed it."""

    a: Contradictable
    b: Contradictable
    lease: LeaseDocument | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongElement(Proof):
    """An element of a signed answer that is not the product's."""

    document: AnswerDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseVerdict(Proof):
    """A verdict that passed an answer with a wrong element in a row that it says was opened."""

    document: VerdictDocument


# ------------------------------------------------------------------------------------------------------ what is known


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a challenge, as CapacityRegistry.deviceOf tells. provider: who was challenged."""

    provider: Address
    seed: Hash32
    n: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A challenge that was drawn, and who sits on its panel. Answers and verdicts are signed from drawn_s to deadline_s."""

    drawn_s: int
    deadline_s: int
    panel: frozenset[Address]


@dataclass(frozen=True, slots=True)
class Known:
    """What documents are judged by: the keys, the leases that both sides signed, and the challenges that were drawn."""

    authors: Authors
    leases: Mapping[Hash32, LeaseDocument] = field(default_factory=dict)
    challenges: Mapping[Hash32, Drawn] = field(default_factory=dict)


def keep_leases(documents: Iterable[object], escrow: Hash32, authors: Authors) -> dict[Hash32, LeaseDocument]:
    """Those of the documents that are leases with both signatures, by lease id: receipts prove nothing without one."""
    return {
        lease_id_of(escrow, one.terms): one
        for one in documents
        if isinstance(one, LeaseDocument) and is_signed_lease(one, escrow, authors)
    }


def is_signed_lease(lease: LeaseDocument, escrow: Hash32, authors: Authors) -> bool:
    """Both sides signed it, the provider by a key that was ever its own."""
    terms = lease.terms
    lease_id = lease_id_of(escrow, terms)
    signed = (
        recover_signer(lease_id, lease.submitter_signature) == terms.submitter
        and recover_signer(lease_id, lease.node_signature) == terms.node
    )
    return signed and authors.find_owner(terms.node) == terms.provider


# --------------------------------------------------------------------------------------------------------- equivocation


class Witness:
    """Remembers all that was signed, and tells when a second, different document of one number comes.

    owners: the provider of each node key, whenever it was bound.
    """

    def __init__(self, escrow: Hash32, owners: Mapping[Address, Address]) -> None:
        self._escrow, self._owners = escrow, owners
        self._first: dict[tuple[Address, Hash32, type[Contradictable], Hash32], tuple[Hash32, Contradictable]] = {}

    def add(self, document: Contradictable) -> tuple[Contradictable, Contradictable] | None:
        """The two that contradict each other, when the document contradicts one seen before."""
        separator, digest = _document_digest_of(document, self._escrow)
        node = recover_signer(digest, _signature_of(document))
        provider = self._owners.get(node) if node is not None else None
        # A document that names the node of another provider proves nothing.
        if provider is None or (isinstance(document, NumberedDocument) and self._owners.get(document.node) != provider):
            return None
        subject = subject_of(document)
        known, first = self._first.setdefault((provider, separator, type(document), subject), (digest, document))
        return (first, document) if known != digest else None


def find_equivocations(documents: Iterable[Contradictable], escrow: Hash32, known: Known) -> tuple[Equivocation, ...]:
    """Every contradiction that can be proved, one for each number."""
    owners = {node: key.provider for node, key in known.authors.keys.items()}
    witness = Witness(escrow, owners)
    found: dict[tuple[type[Contradictable], Address, Hash32], Equivocation] = {}
    for document in documents:
        if find_author(document, escrow, known) is None:
            continue
        both = witness.add(document)
        if both is not None:
            proof = _make_equivocation(*both, escrow, known)
            found.setdefault((type(document), proof.provider, subject_of(document)), proof)
    return tuple(found.values())


def find_author(document: Contradictable, escrow: Hash32, known: Known) -> Address | None:
    """The provider that answers for the document alone: by the key of its date, of a lease or a panel that was."""
    _, digest = _document_digest_of(document, escrow)
    signer = recover_signer(digest, _signature_of(document))
    match document:
        case SignedReceipt(receipt=receipt):
            lease = known.leases.get(receipt.lease_id)
            author = known.authors.find(signer, receipt.at_ns // NANOS_PER_SECOND)
            return author if lease is not None and author == lease.terms.provider else None
        case NumberedDocument():
            return known.authors.find(signer, _date_of(document, known))
        case VerdictDocument():
            drawn = known.challenges.get(document.signed.verdict.challenge_id)
            author = _find_author_in(drawn, signer, known.authors)
            return author if drawn is not None and author in drawn.panel else None


def subject_of(document: Contradictable) -> Hash32:
    """What a document is about, of which there must not be two."""
    match document:
        case SignedReceipt(receipt=receipt):
            return keccak(receipt.lease_id + _word(receipt.number))
        case NumberedDocument():
            return keccak(document.kind.encode() + document.node + _word(document.number))
        case VerdictDocument():
            return document.signed.verdict.challenge_id


def _make_equivocation(a: Contradictable, b: Contradictable, escrow: Hash32, known: Known) -> Equivocation:
    provider = find_author(a, escrow, known)
    assert provider is not None, "it was asked for before"
    first, second = sorted(_document_digest_of(one, escrow)[1] for one in (a, b))
    lease = known.leases[a.receipt.lease_id] if isinstance(a, SignedReceipt) else None
    return Equivocation(
        fault=Fault.EQUIVOCATION, provider=provider, first=first, second=second,
        dated_s=max(_date_of(a, known), _date_of(b, known)), a=a, b=b, lease=lease,
    )  # fmt: skip


def _date_of(document: Contradictable, known: Known) -> int:
    """In seconds. What has not expired yet was signed by now."""
    match document:
        case SignedReceipt(receipt=receipt):
            return receipt.at_ns // NANOS_PER_SECOND
        case NumberedDocument():
            return min(document.expires_at_ns // NANOS_PER_SECOND, known.authors.now_s)
        case VerdictDocument():
            return known.challenges[document.signed.verdict.challenge_id].drawn_s


def _find_author_in(drawn: Drawn | None, signer: Address | None, authors: Authors) -> Address | None:
    """Of an answer or a verdict: a key that was replaced between draw and deadline is no way out."""
    key = authors.keys.get(signer) if signer is not None else None
    if drawn is None or key is None:
        return None
    served_s = max(drawn.drawn_s, key.since_s)
    return authors.find(signer, served_s) if served_s <= drawn.deadline_s else None


def _document_digest_of(document: Contradictable, escrow: Hash32) -> tuple[Hash32, Hash32]:
    """The separator of the domain in which it is signed (a receipt does not say, the other documents do), and the digest."""
    match document:
        case SignedReceipt(receipt=receipt):
            return escrow, receipt_digest_of(escrow, receipt)
        case NumberedDocument():
            return document.separator, typed_digest(document.separator, document.kind, document)
        case VerdictDocument():
            return document.separator, verdict_digest_of(document.separator, document.signed.verdict)


def _signature_of(document: Contradictable) -> bytes:
    return document.signed.signature if isinstance(document, VerdictDocument) else document.signature


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


# ------------------------------------------------------------------------------------------------------ capacity answers


def find_wrong_element(document: AnswerDocument, device: Device, known: Known) -> WrongElement | None:
    """The proof, when the opened element is under the signed root and is not the product's.

    Computing the element takes 0.1 s for the largest matrices.
    """
    answer, proof = document.signed.answer, document.proof
    digest = answer_digest_of(document.separator, answer)
    drawn = known.challenges.get(answer.challenge_id)
    provider = _find_author_in(drawn, recover_signer(digest, document.signed.signature), known.authors)
    if provider is None or drawn is None or proof is None or device != Device(provider, answer.seed, answer.n):
        return None
    if not _is_wrong(answer.root, device, proof):
        return None
    return WrongElement(
        fault=Fault.WRONG_ELEMENT, provider=provider, first=digest, second=element_digest_of(proof),
        dated_s=drawn.drawn_s, document=document,
    )  # fmt: skip


def find_false_verdict(document: VerdictDocument, device: Device, known: Known) -> FalseVerdict | None:
    """The proof, when the verdict passed these roots and its own entropy opened the row of a wrong element.

    device: the one that the document names, of the verdict's challenge.
    """
    verdict, proof = document.signed.verdict, document.proof
    drawn = known.challenges.get(verdict.challenge_id)
    verifier = find_author(document, document.separator, known)
    if verifier is None or drawn is None or proof is None or not verdict.passed:
        return None
    if document.device >= len(document.roots) or verdict.answers_hash != answers_hash_of(document.roots):
        return None
    if not _is_wrong(document.roots[document.device], device, proof):
        return None
    if proof.find_place(device.n)[0] not in find_opened_rows(verdict.opening_seed, document.device, device.n):
        return None
    return FalseVerdict(
        fault=Fault.FALSE_VERDICT, provider=verifier, first=verdict_digest_of(document.separator, verdict),
        second=element_digest_of(proof), dated_s=drawn.drawn_s, document=document,
    )  # fmt: skip


def element_digest_of(proof: ElementProof) -> Hash32:
    """keccak256(abi.encode(index, column, keccak256(values))): which element is shown, for the evidence's id."""
    return keccak(_word(proof.index) + _word(proof.column) + keccak(proof.values))


def _is_wrong(root: Hash32, device: Device, proof: ElementProof) -> bool:
    n = device.n
    leaves = count_leaves(n)
    if proof.index >= leaves or len(proof.path) != count_levels(leaves) or proof.find_root() != root:
        return False
    return element_at(device.seed, n, *proof.find_place(n)) != proof.element
