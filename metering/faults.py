"""Faults: what signed documents prove against who signed them, exactly as FaultProver judges it. Only looks at bytes.

owners, wherever it is asked for: the provider to which the registry has bound each node key forever; a key that is not in
it proves nothing against any provider. escrow, capacity: the separators of PaymentEscrow's and CapacityRegistry's domains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

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
from metering.evidence import AnswerDocument, NumberedDocument, VerdictDocument
from metering.receipt import SignedReceipt, receipt_digest_of
from metering.signature import recover_signer
from metering.units import NANOS_PER_SECOND, ZERO_HASH, Address, Hash32

TOLERANCE_NS = 60 * NANOS_PER_SECOND
"""How much more than the time between the receipts each device is given (FaultProver.TOLERANCE_NS)."""

MAX_PAIRS = 64
"""Pairs of receipts in one proof (FaultProver.MAX_PAIRS)."""


class Fault(IntEnum):
    """IFaultProver.Fault."""

    NONE = 0
    EQUIVOCATION = 1
    OVER_CAPACITY = 2
    WRONG_ELEMENT = 3
    FALSE_VERDICT = 4


Owners = Mapping[Address, Address]

Contradictable = SignedReceipt | NumberedDocument | VerdictDocument
"""What is signed once for each number."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What every proof says: against whom, and about what. Each subject counts once for each fault."""

    fault: Fault
    provider: Address
    subject: Hash32

    @property
    def fault_id(self) -> Hash32:
        """keccak256(abi.encode(fault, provider, subject))."""
        return keccak(int(self.fault).to_bytes(32, "big") + self.provider.rjust(32, b"\0") + self.subject)


@dataclass(frozen=True, slots=True)
class Equivocation(Proof):
    """Two different documents under one number, both of one kind."""

    a: Contradictable
    b: Contradictable


@dataclass(frozen=True, slots=True)
class ReceiptPair:
    """Two receipts of one lease between which usage is counted."""

    older: SignedReceipt
    newer: SignedReceipt


@dataclass(frozen=True, slots=True)
class OverCapacity(Proof):
    """Usage that no hardware of the verdict could have served. pairs: by ascending lease id."""

    pairs: tuple[ReceiptPair, ...]
    history_index: int


@dataclass(frozen=True, slots=True)
class WrongElement(Proof):
    """An element of a signed answer that is not the product's."""

    document: AnswerDocument


@dataclass(frozen=True, slots=True)
class FalseVerdict(Proof):
    """A verdict that passed an answer with a wrong element in a row that it says was opened."""

    document: VerdictDocument


# --------------------------------------------------------------------------------------------------------- equivocation


class Witness:
    """Remembers all that was signed, and tells when a second, different document of one number comes."""

    def __init__(self, escrow: Hash32, owners: Owners) -> None:
        self._escrow, self._owners = escrow, owners
        self._first: dict[tuple[Address, Hash32, type[Contradictable], Hash32], tuple[Hash32, Contradictable]] = {}

    def add(self, document: Contradictable) -> Equivocation | None:
        """The proof, when the document contradicts one seen before."""
        separator, digest = _document_digest_of(document, self._escrow)
        provider = _find_provider(digest, _signature_of(document), self._owners)
        # A document that names the node of another provider proves nothing.
        if provider is None or (isinstance(document, NumberedDocument) and self._owners.get(document.node) != provider):
            return None
        subject = subject_of(document)
        known, first = self._first.setdefault((provider, separator, type(document), subject), (digest, document))
        return Equivocation(Fault.EQUIVOCATION, provider, subject, first, document) if known != digest else None


def find_equivocations(documents: Iterable[Contradictable], escrow: Hash32, owners: Owners) -> tuple[Equivocation, ...]:
    """Every contradiction, one for each number."""
    witness = Witness(escrow, owners)
    found: dict[Hash32, Equivocation] = {}
    for document in documents:
        proof = witness.add(document)
        if proof is not None:
            found.setdefault(proof.fault_id, proof)
    return tuple(found.values())


def subject_of(document: Contradictable) -> Hash32:
    """What a document is about, of which there must not be two: as the contract has it."""
    match document:
        case SignedReceipt(receipt=receipt):
            return keccak(receipt.lease_id + _word(receipt.number))
        case NumberedDocument():
            # abi.encode of a string and two words: the string lies behind the words, and the first word says where.
            text = document.kind.lower().encode()
            head = _word(96) + document.node.rjust(32, b"\0") + _word(document.number)
            return keccak(head + _word(len(text)) + text.ljust(32, b"\0"))
        case VerdictDocument():
            return document.signed.verdict.challenge_id


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


def _find_provider(digest: Hash32, signature: bytes, owners: Owners) -> Address | None:
    node = recover_signer(digest, signature)
    return owners.get(node) if node is not None else None


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


# -------------------------------------------------------------------------------------------------------- over capacity


@dataclass(frozen=True, slots=True)
class Verified:
    """A verdict of the registry's history, as it counts here. from_s, until_s: when it was in force."""

    gpus: int
    vcpus: int
    from_s: int
    until_s: int


def make_pairs(receipts: Iterable[SignedReceipt], oldest_ns: int, newest_ns: int) -> tuple[ReceiptPair, ...]:
    """The outermost two receipts of each lease that lie within the time, by ascending lease id."""
    by_lease: dict[Hash32, list[SignedReceipt]] = {}
    for signed in receipts:
        if oldest_ns <= signed.receipt.at_ns <= newest_ns:
            by_lease.setdefault(signed.receipt.lease_id, []).append(signed)
    ordered = (sorted(by_lease[lease_id], key=lambda one: one.receipt.number) for lease_id in sorted(by_lease))
    return tuple(ReceiptPair(found[0], found[-1]) for found in ordered if len(found) > 1)


def find_over_capacity(
    pairs: Sequence[ReceiptPair], verified: Verified, history_index: int, escrow: Hash32, owners: Owners
) -> OverCapacity | None:
    """The proof, when the verdict's devices cannot have served all this in the time from the first receipt to the last.

    A kind of device of which the verdict knows none is not judged.
    """
    provider = _find_pairs_provider(pairs, escrow, owners)
    if provider is None:
        return None
    oldest_ns = min(pair.older.receipt.at_ns for pair in pairs)
    newest_ns = max(pair.newer.receipt.at_ns for pair in pairs)
    if oldest_ns < verified.from_s * NANOS_PER_SECOND or newest_ns > verified.until_s * NANOS_PER_SECOND:
        return None
    window_ns = newest_ns - oldest_ns + TOLERANCE_NS
    gpu_ns, vcpu_ns = (_sum_served(pairs, name) for name in ("gpu_ns", "vcpu_ns"))
    if not (verified.gpus and gpu_ns > verified.gpus * window_ns) and not (
        verified.vcpus and vcpu_ns > verified.vcpus * window_ns
    ):
        return None
    return OverCapacity(Fault.OVER_CAPACITY, provider, Hash32(_word(history_index)), tuple(pairs), history_index)


def _find_pairs_provider(pairs: Sequence[ReceiptPair], escrow: Hash32, owners: Owners) -> Address | None:
    """The one provider that signed all of them, when they are in the order that the contract asks for."""
    if not 0 < len(pairs) <= MAX_PAIRS:
        return None
    found: set[Address | None] = set()
    before = ZERO_HASH
    for place, pair in enumerate(pairs):
        older, newer = pair.older.receipt, pair.newer.receipt
        if older.lease_id != newer.lease_id or (place and newer.lease_id <= before):
            return None
        if newer.number <= older.number or newer.at_ns < older.at_ns:
            return None
        if newer.usage.gpu_ns < older.usage.gpu_ns or newer.usage.vcpu_ns < older.usage.vcpu_ns:
            return None
        before = newer.lease_id
        for signed in (pair.older, pair.newer):
            found.add(_find_provider(receipt_digest_of(escrow, signed.receipt), signed.signature, owners))
    return found.pop() if len(found) == 1 else None


def _sum_served(pairs: Sequence[ReceiptPair], name: str) -> int:
    return sum(getattr(pair.newer.receipt.usage, name) - getattr(pair.older.receipt.usage, name) for pair in pairs)


# ------------------------------------------------------------------------------------------------------ capacity answers


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a challenge, as CapacityRegistry.deviceOf tells. provider: who was challenged."""

    provider: Address
    seed: Hash32
    n: int


def find_wrong_element(document: AnswerDocument, device: Device, owners: Owners) -> WrongElement | None:
    """The proof, when the opened element is under the signed root and is not the product's.

    Computing the element takes 0.1 s for the largest matrices.
    """
    answer, proof = document.signed.answer, document.proof
    digest = answer_digest_of(document.separator, answer)
    provider = _find_provider(digest, document.signed.signature, owners)
    if provider is None or proof is None or device != Device(provider, answer.seed, answer.n):
        return None
    if not _is_wrong(answer.root, device, proof):
        return None
    return WrongElement(Fault.WRONG_ELEMENT, provider, digest, document)


def find_false_verdict(document: VerdictDocument, device: Device, owners: Owners) -> FalseVerdict | None:
    """The proof, when the verdict passed these roots and its own entropy opened the row of a wrong element.

    device: the one that the document names, of the verdict's challenge.
    """
    verdict, proof = document.signed.verdict, document.proof
    digest = verdict_digest_of(document.separator, verdict)
    provider = _find_provider(digest, document.signed.signature, owners)
    if provider is None or proof is None or not verdict.passed or document.device >= len(document.roots):
        return None
    if verdict.answers_hash != answers_hash_of(document.roots) or not _is_wrong(
        document.roots[document.device], device, proof
    ):
        return None
    if proof.find_place(device.n)[0] not in find_opened_rows(verdict.opening_seed, document.device, device.n):
        return None
    return FalseVerdict(Fault.FALSE_VERDICT, provider, verdict.challenge_id, document)


def _is_wrong(root: Hash32, device: Device, proof: ElementProof) -> bool:
    n = device.n
    leaves = count_leaves(n)
    if proof.index >= leaves or len(proof.path) != count_levels(leaves) or proof.find_root() != root:
        return False
    return element_at(device.seed, n, *proof.find_place(n)) != proof.element
