"""FaultProver: calldata, views and events of the contract that judges evidence by signatures and arithmetic alone."""

from __future__ import annotations

from enum import IntEnum

from eth_abi.abi import encode as abi_encode

from metering.eip712 import keccak
from metering.receipt import Receipt
from metering.terms import LeaseTerms
from metering.units import Address, Hash32
from xnode.chain.abi import Event, Function
from xnode.chain.payment_escrow import TERMS

_USAGE = "(uint128,uint128,uint128,uint128,uint128,uint128)"
_TARIFF = "(uint128,uint128,uint128,uint128,uint128,uint128)"
_RESOURCES = "(uint64,uint64,uint64,uint64,string)"
_RECEIPT = f"(bytes32,uint64,uint64,uint64,{_USAGE},uint128,bool)"
_NUMBERED = "(address,address,uint64,uint64,bytes32)"
_VERDICT = "(bytes32,bytes32,bool,bytes32)"
_ANSWER = "(bytes32,uint32,uint32,bytes32,bytes32)"
_OPENING = "(uint64,uint8,bytes,bytes32[])"
_PAIR = f"({_RECEIPT},bytes,{_RECEIPT},bytes)"
_LEASE_TERMS = (
    f"(bytes32,bytes32,address,address,address,bytes32,uint64,address,{_RESOURCES},{_TARIFF},"
    "uint128,uint128,uint64,uint64,uint64,uint32,uint32)"
)


class Fault(IntEnum):
    """What a provider's own signatures can prove against it."""

    NONE = 0
    EQUIVOCATION = 1
    OVER_CAPACITY = 2
    WRONG_ELEMENT = 3
    FALSE_VERDICT = 4


COMMIT = Function("commit(bytes32)")
PROVE_RECEIPTS = Function(f"proveReceipts({_RECEIPT},bytes,{_RECEIPT},bytes,bytes32)")
PROVE_OFFERS = Function(f"proveOffers({_NUMBERED},bytes,{_NUMBERED},bytes,bytes32)")
PROVE_QUOTES = Function(f"proveQuotes({_NUMBERED},bytes,{_NUMBERED},bytes,bytes32)")
PROVE_VERDICTS = Function(f"proveVerdicts({_VERDICT},bytes,{_VERDICT},bytes,bytes32)")
PROVE_OVER_CAPACITY = Function(f"proveOverCapacity({_PAIR}[],uint256,bytes32)")
PROVE_WRONG_ELEMENT = Function(f"proveWrongElement({_ANSWER},bytes,{_OPENING},bytes32)")
PROVE_FALSE_VERDICT = Function(f"proveFalseVerdict({_VERDICT},bytes,bytes32[],uint32,{_OPENING},bytes32)")
PROVE_BREACH = Function(f"proveBreach({TERMS},{_LEASE_TERMS},bytes,bytes,{_RECEIPT},bytes)", "uint128")

IS_PROVEN = Function("isProven(bytes32)", "bool")
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


def make_receipt_values(receipt: Receipt) -> tuple[object, ...]:
    """The receipt as the contract's tuple."""
    usage = tuple(int(getattr(receipt.usage, name)) for name in receipt.usage.__struct_fields__)
    lead = (receipt.lease_id, receipt.number, receipt.at_ns, receipt.running_ns)
    return (*lead, usage, int(receipt.cost), receipt.final)


def make_lease_values(terms: LeaseTerms) -> tuple[object, ...]:
    """The lease terms as the contract's tuple."""
    return tuple(_plain(getattr(terms, name)) for name in terms.__struct_fields__)


def _plain(value: object) -> object:
    fields = getattr(value, "__struct_fields__", None)
    return value if fields is None else tuple(_plain(getattr(value, name)) for name in fields)
