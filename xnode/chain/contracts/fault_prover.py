"""FaultProver: calldata, views and events of the contract that judges evidence by signatures and arithmetic alone."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode as abi_encode

from metering.capacity import ElementProof
from metering.eip712 import keccak
from metering.evidence import LeaseDocument, NumberedDocument, VerdictDocument
from metering.faults import Equivocation, FalseVerdict, OverCapacity, Proof, WrongElement
from metering.receipt import Receipt, SignedReceipt
from metering.terms import LeaseTerms
from metering.units import Address, Hash32
from xnode.chain.abi.codec import Event, Function
from xnode.chain.contracts.payment_escrow import TERMS, make_terms_values

_USAGE = "(uint128,uint128,uint128,uint128,uint128,uint128)"
_TARIFF = "(uint128,uint128,uint128,uint128,uint128,uint128)"
_RESOURCES = "(uint64,uint64,uint64,uint64,string)"
_RECEIPT = f"(bytes32,uint64,uint64,uint64,{_USAGE},uint128,bool)"
_NUMBERED = "(address,address,uint64,uint64,bytes32)"
_VERDICT = "(bytes32,bytes32,bool,bytes32)"
_ANSWER = "(bytes32,uint32,uint32,bytes32,bytes32)"
_ELEMENT_PROOF = "(uint64,uint8,bytes,bytes32[])"
_PAIR = f"({_RECEIPT},bytes,{_RECEIPT},bytes)"
_LEASE_TERMS = (
    f"(bytes32,bytes32,address,address,address,bytes32,uint64,address,{_RESOURCES},{_TARIFF},"
    "uint128,uint128,uint64,uint64,uint64,uint32,uint32,uint32)"
)


COMMIT = Function("commit(bytes32)")
PROVE_RECEIPTS = Function(f"proveReceipts({_RECEIPT},bytes,{_RECEIPT},bytes,bytes32)")
PROVE_OFFERS = Function(f"proveOffers({_NUMBERED},bytes,{_NUMBERED},bytes,bytes32)")
PROVE_QUOTES = Function(f"proveQuotes({_NUMBERED},bytes,{_NUMBERED},bytes,bytes32)")
PROVE_VERDICTS = Function(f"proveVerdicts({_VERDICT},bytes,{_VERDICT},bytes,bytes32)")
PROVE_OVER_CAPACITY = Function(f"proveOverCapacity({_PAIR}[],uint256,bytes32)")
PROVE_WRONG_ELEMENT = Function(f"proveWrongElement({_ANSWER},bytes,{_ELEMENT_PROOF},bytes32)")
PROVE_FALSE_VERDICT = Function(f"proveFalseVerdict({_VERDICT},bytes,bytes32[],uint32,{_ELEMENT_PROOF},bytes32)")
PROVE_BREACH = Function(f"proveBreach({TERMS},{_LEASE_TERMS},bytes,bytes,{_RECEIPT},bytes)", "uint128")

IS_PROVEN = Function("isProven(bytes32)", "bool")
COMMITTED_AT = Function("committedAt(bytes32)", "uint256")
REFUNDED_OF = Function("refundedOf(bytes32)", "uint128")
COMMIT_DELAY = Function("COMMIT_DELAY()", "uint256")
COMMIT_LIFE = Function("COMMIT_LIFE()", "uint256")
ESCROW = Function("escrow()", "address")
REGISTRY = Function("registry()", "address")
CAPACITY = Function("capacity()", "address")

COMMITTED = Event("Committed(bytes32 indexed commitment, address indexed reporter)")
FAULT_PROVEN = Event(
    "FaultProven(bytes32 indexed faultId, address indexed provider, uint8 indexed fault, address reporter,"
    " uint256 slashed, uint256 reward)"
)
BREACH_PROVEN = Event(
    "BreachProven(bytes32 indexed leaseId, address indexed provider, bytes32 escrowId, uint128 refunded)"
)


def make_commitment(reporter: Address, fault_id: Hash32, salt: Hash32) -> Hash32:
    """What a reporter commits to before it shows its proof, so that nobody who copies the proof can be first."""
    return keccak(abi_encode(("address", "bytes32", "bytes32"), (reporter, fault_id, salt)))


def make_proof(proof: Proof, salt: Hash32) -> bytes:
    """Calldata that proves a fault to which its reporter committed with this salt."""
    match proof:
        case Equivocation(a=SignedReceipt() as a, b=SignedReceipt() as b):
            return PROVE_RECEIPTS.encode(*_make_signed(a), *_make_signed(b), salt)
        case Equivocation(a=NumberedDocument() as a, b=NumberedDocument() as b):
            function = PROVE_OFFERS if a.kind == "Offer" else PROVE_QUOTES
            return function.encode(_make_numbered(a), a.signature, _make_numbered(b), b.signature, salt)
        case Equivocation(a=VerdictDocument(signed=one), b=VerdictDocument(signed=two)):
            first, second = _flatten(one.verdict), _flatten(two.verdict)
            return PROVE_VERDICTS.encode(first, one.signature, second, two.signature, salt)
        case OverCapacity():
            pairs = [(*_make_signed(pair.older), *_make_signed(pair.newer)) for pair in proof.pairs]
            return PROVE_OVER_CAPACITY.encode(pairs, proof.history_index, salt)
        case WrongElement(document=wrong):
            answer, signature = _flatten(wrong.signed.answer), wrong.signed.signature
            return PROVE_WRONG_ELEMENT.encode(answer, signature, _make_element_proof(wrong.proof), salt)
        case FalseVerdict(document=false):
            verdict, signature = _flatten(false.signed.verdict), false.signed.signature
            element = _make_element_proof(false.proof)
            return PROVE_FALSE_VERDICT.encode(verdict, signature, false.roots, false.device, element, salt)
    raise ValueError(f"a proof of another kind: {type(proof).__name__}")


def make_breach(document: LeaseDocument, last: SignedReceipt) -> bytes:
    """Calldata that has the escrow give back what both signed for a lease whose last receipt shows a broken promise."""
    signatures = (document.submitter_signature, document.node_signature)
    terms = make_lease_values(document.terms)
    return PROVE_BREACH.encode(make_terms_values(document.escrow), terms, *signatures, *_make_signed(last))


def make_receipt_values(receipt: Receipt) -> tuple[object, ...]:
    """The receipt as the contract's tuple."""
    return tuple(_flatten(receipt))


def make_lease_values(terms: LeaseTerms) -> tuple[object, ...]:
    """The lease terms as the contract's tuple."""
    return tuple(_flatten(terms))


def _make_signed(signed: SignedReceipt) -> tuple[object, bytes]:
    return make_receipt_values(signed.receipt), signed.signature


def _make_numbered(document: NumberedDocument) -> tuple[object, ...]:
    return (document.provider, document.node, document.number, document.expires_at_ns, document.body_hash)


def _make_element_proof(proof: ElementProof | None) -> tuple[object, ...]:
    assert proof is not None, "a proof about an element has it"
    return (proof.index, proof.column, proof.values, proof.path)


def _flatten(value: Any) -> Any:
    """A struct as the contract's tuple, field by field: they have the same fields in the same order."""
    fields = getattr(value, "__struct_fields__", None)
    return value if fields is None else tuple(_flatten(getattr(value, name)) for name in fields)
