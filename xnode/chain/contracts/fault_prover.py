"""FaultProver: calls, views and events of the contract that judges evidence by signatures and arithmetic alone."""

from __future__ import annotations

import msgspec
from eth_abi.abi import encode as abi_encode

from metering.capacity import ElementProof
from metering.eip712 import keccak
from metering.evidence import LeaseDocument, NumberedDocument, VerdictDocument
from metering.faults import Equivocation, FalseVerdict, OverCapacity, Proof, WrongElement
from metering.receipt import SignedReceipt
from metering.units import Address, Amount, Hash32
from xnode.chain.abi.codec import Call, Event, View, amount_of


class FaultProven(msgspec.Struct, frozen=True):
    """A provider lost `slashed` OPENX base units, of which its reporter got `reward`."""

    fault_id: Hash32
    provider: Address
    fault: int
    reporter: Address
    slashed: Amount
    reward: Amount


class BreachProven(msgspec.Struct, frozen=True):
    """A lease's payer got `refunded` back, in base units of the escrow's asset."""

    lease_id: Hash32
    provider: Address
    escrow_id: Hash32
    refunded: Amount


COMMIT = Call("FaultProver", "commit")
PROVE_RECEIPTS = Call("FaultProver", "proveReceipts")
PROVE_OFFERS = Call("FaultProver", "proveOffers")
PROVE_QUOTES = Call("FaultProver", "proveQuotes")
PROVE_VERDICTS = Call("FaultProver", "proveVerdicts")
PROVE_OVER_CAPACITY = Call("FaultProver", "proveOverCapacity")
PROVE_WRONG_ELEMENT = Call("FaultProver", "proveWrongElement")
PROVE_FALSE_VERDICT = Call("FaultProver", "proveFalseVerdict")
PROVE_BREACH = Call("FaultProver", "proveBreach")

IS_PROVEN = View("FaultProver", "isProven", bool)
COMMITTED_AT = View("FaultProver", "committedAt", int)
REFUNDED_OF = View("FaultProver", "refundedOf", amount_of)
COMMIT_DELAY = View("FaultProver", "COMMIT_DELAY", int)
COMMIT_LIFE = View("FaultProver", "COMMIT_LIFE", int)

FAULT_PROVEN = Event("FaultProver", FaultProven)
BREACH_PROVEN = Event("FaultProver", BreachProven)


def make_commitment(reporter: Address, fault_id: Hash32, salt: Hash32) -> Hash32:
    """What a reporter commits to before it shows its proof, so that a copy of the proof cannot be first."""
    return keccak(abi_encode(("address", "bytes32", "bytes32"), (reporter, fault_id, salt)))


def make_proof(proof: Proof, salt: Hash32) -> bytes:
    """Calldata that proves a fault to which its reporter committed with this salt."""
    match proof:
        case Equivocation(a=SignedReceipt() as a, b=SignedReceipt() as b):
            return PROVE_RECEIPTS.encode(a.receipt, a.signature, b.receipt, b.signature, salt)
        case Equivocation(a=NumberedDocument() as a, b=NumberedDocument() as b):
            call = PROVE_OFFERS if a.kind == "Offer" else PROVE_QUOTES
            return call.encode(a, a.signature, b, b.signature, salt)
        case Equivocation(a=VerdictDocument(signed=one), b=VerdictDocument(signed=two)):
            return PROVE_VERDICTS.encode(one.verdict, one.signature, two.verdict, two.signature, salt)
        case OverCapacity():
            pairs = [
                (pair.older.receipt, pair.older.signature, pair.newer.receipt, pair.newer.signature)
                for pair in proof.pairs
            ]
            return PROVE_OVER_CAPACITY.encode(pairs, proof.history_index, salt)
        case WrongElement(document=wrong):
            return PROVE_WRONG_ELEMENT.encode(wrong.signed.answer, wrong.signed.signature, _require(wrong.proof), salt)
        case FalseVerdict(document=false):
            verdict, signature = false.signed.verdict, false.signed.signature
            element = _require(false.proof)
            return PROVE_FALSE_VERDICT.encode(verdict, signature, false.roots, false.device, element, salt)
    raise ValueError(f"a proof of another kind: {type(proof).__name__}")


def make_breach(document: LeaseDocument, last: SignedReceipt) -> bytes:
    """Calldata that has the escrow give back what both signed for a lease whose last receipt shows a broken promise."""
    signatures = (document.submitter_signature, document.node_signature)
    return PROVE_BREACH.encode(document.escrow, document.terms, *signatures, last.receipt, last.signature)


def _require(proof: ElementProof | None) -> ElementProof:
    assert proof is not None, "a proof about an element has it"
    return proof
