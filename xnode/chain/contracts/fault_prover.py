"""FaultProver: calls, views and events of the contract that judges evidence by signatures and arithmetic alone.

What a reporter commits to, and what says that it was proved, is the same at every judge (ICommitments): the calls and views
for it that stand here are asked of OverCapacity too.
"""

from __future__ import annotations

import msgspec
from eth_abi.abi import encode as abi_encode

from metering.capacity import ElementProof
from metering.eip712 import keccak
from metering.evidence import LeaseDocument, NumberedDocument, VerdictDocument
from metering.faults import Equivocation, FalseVerdict, Proof, WrongElement
from metering.receipt import SignedReceipt
from metering.units import Address, Amount, Hash32
from xnode.chain.abi.codec import Call, Event, View


class FaultProven(msgspec.Struct, frozen=True):
    """A provider lost `slashed` OPENX base units, of which its reporter got `reward`."""

    evidence_id: Hash32
    provider: Address
    fault: int
    reporter: Address
    slashed: Amount
    reward: Amount


COMMIT = Call("FaultProver", "commit")
PROVE_RECEIPTS = Call("FaultProver", "proveReceipts")
PROVE_OFFERS = Call("FaultProver", "proveOffers")
PROVE_QUOTES = Call("FaultProver", "proveQuotes")
PROVE_VERDICTS = Call("FaultProver", "proveVerdicts")
PROVE_WRONG_ELEMENT = Call("FaultProver", "proveWrongElement")
PROVE_FALSE_VERDICT = Call("FaultProver", "proveFalseVerdict")

IS_PROVEN = View("FaultProver", "isProven", bool)
COMMITTED_AT = View("FaultProver", "committedAt", int)
COMMIT_DELAY = View("FaultProver", "COMMIT_DELAY", int)
COMMIT_LIFE = View("FaultProver", "COMMIT_LIFE", int)

FAULT_PROVEN = Event("FaultProver", FaultProven)


def make_commitment(reporter: Address, evidence_id: Hash32, salt: Hash32) -> Hash32:
    """What a reporter commits to before it shows its proof, so that a copy of the proof cannot be first."""
    return keccak(abi_encode(("address", "bytes32", "bytes32"), (reporter, evidence_id, salt)))


def make_proof(proof: Proof, salt: Hash32) -> bytes:
    """Calldata that proves a fault to whose evidence its reporter committed with this salt."""
    match proof:
        case Equivocation(a=SignedReceipt() as a, b=SignedReceipt() as b, lease=LeaseDocument() as lease):
            return PROVE_RECEIPTS.encode(lease_of(lease), receipt_of(a), receipt_of(b), salt)
        case Equivocation(a=NumberedDocument() as a, b=NumberedDocument() as b):
            call = PROVE_OFFERS if a.kind == "Offer" else PROVE_QUOTES
            return call.encode(a, a.signature, b, b.signature, salt)
        case Equivocation(a=VerdictDocument(signed=one), b=VerdictDocument(signed=two)):
            return PROVE_VERDICTS.encode(one.verdict, one.signature, two.verdict, two.signature, salt)
        case WrongElement(document=wrong):
            return PROVE_WRONG_ELEMENT.encode(wrong.signed.answer, wrong.signed.signature, _require(wrong.proof), salt)
        case FalseVerdict(document=false):
            verdict, signature = false.signed.verdict, false.signed.signature
            element = _require(false.proof)
            return PROVE_FALSE_VERDICT.encode(verdict, signature, false.roots, false.device, element, salt)
    raise ValueError(f"a proof of another kind: {type(proof).__name__}")


def lease_of(document: LeaseDocument) -> tuple[object, ...]:
    """A lease as IEvidence.SignedLease."""
    return document.terms, document.submitter_signature, document.node_signature


def receipt_of(signed: SignedReceipt) -> tuple[object, ...]:
    """A receipt as IEvidence.SignedReceipt."""
    return signed.receipt, signed.signature


def _require(proof: ElementProof | None) -> ElementProof:
    assert proof is not None, "a proof about an element has it"
    return proof
