"""BreachProver: calls, views and events of the contract that gives back what a broken promise of availability owes."""

from __future__ import annotations

from typing import Any

import msgspec
from eth_abi.exceptions import DecodingError

from metering.evidence import LeaseDocument
from metering.receipt import Receipt, SignedReceipt
from metering.units import U128, Address, Amount, Hash32
from metering.usage import Usage
from xnode.chain.abi.codec import Call, Event, View, amount_of, decode_values
from xnode.chain.contracts.fault_prover import lease_of, receipt_of


class BreachProven(msgspec.Struct, frozen=True):
    """A lease's payer got `refunded` back, in base units of the escrow's asset; `short` more is to come out of stake."""

    lease_id: Hash32
    provider: Address
    escrow_id: Hash32
    refunded: Amount
    short: Amount


class BreachCompensated(msgspec.Struct, frozen=True):
    """A lease's payer got `paid` OPENX base units out of its provider's stake."""

    lease_id: Hash32
    provider: Address
    payer: Address
    paid: Amount


class SilenceClaimed(msgspec.Struct, frozen=True):
    """A lease's provider is to show a receipt after this number by answer_until, in the chain's seconds."""

    lease_id: Hash32
    provider: Address
    number: int
    answer_until: int


class ReceiptShown(msgspec.Struct, frozen=True):
    """A receipt of this provider was shown: it answers a claim, or says that the lease is over."""

    lease_id: Hash32
    provider: Address
    number: int
    final: bool


class Silence(msgspec.Struct, frozen=True):
    """A silence that was claimed and not answered: all zero when there is none. late_ns: receipts from then on answer; the
    most where only the last one does."""

    provider: Address
    number: int
    late_ns: int
    answer_until: int
    due: Amount
    escrow_id: Hash32


class Shortfall(msgspec.Struct, frozen=True):
    """What a reserve lacked, to come out of stake from payable_at on, and lapsed at payable_until: in the chain's seconds."""

    provider: Address
    payable_at: int
    payer: Address
    payable_until: int
    amount: Amount
    escrow_id: Hash32


PROVE_BREACH = Call("BreachProver", "proveBreach")
CLAIM_SILENCE = Call("BreachProver", "claimSilence")
SHOW_RECEIPT = Call("BreachProver", "showReceipt")
SETTLE_SILENCE = Call("BreachProver", "settleSilence")
COLLECT = Call("BreachProver", "collect")

REFUNDED_OF = View("BreachProver", "refundedOf", amount_of)
SILENCE_OF = View("BreachProver", "silenceOf", Silence)
SHORTFALL_OF = View("BreachProver", "shortfallOf", Shortfall)

SILENCE_CLAIMED = Event("BreachProver", SilenceClaimed)
RECEIPT_SHOWN = Event("BreachProver", ReceiptShown)
BREACH_PROVEN = Event("BreachProver", BreachProven)
BREACH_COMPENSATED = Event("BreachProver", BreachCompensated)

ANSWER_TIME_S = 86_400
"""How long a provider may take to answer a claim (BreachProver.ANSWER_TIME)."""


MAX_ANSWERS = 64
"""Looked for in one transaction's calldata: a wallet that is a contract packs one or a few calls into its own."""


def find_answers(data: bytes) -> tuple[SignedReceipt, ...]:
    """The receipts that calldata shows, also as part of another contract's call. It says nothing of whether they were taken."""
    found: list[SignedReceipt] = []
    at = data.find(SHOW_RECEIPT.selector)
    for _ in range(MAX_ANSWERS):
        if at < 0:
            break
        try:
            ((receipt, signature),) = decode_values(SHOW_RECEIPT.entry.inputs, data[at + 4 :])
            found.append(SignedReceipt(_make_receipt(receipt), signature))
        except (DecodingError, ValueError, OverflowError):
            # Four bytes that happen to be the same.
            pass
        at = data.find(SHOW_RECEIPT.selector, at + 1)
    return tuple(found)


def _make_receipt(values: tuple[Any, ...]) -> Receipt:
    lease_id, number, at_ns, running_ns, usage, cost, final = values
    return Receipt(lease_id, number, at_ns, running_ns, Usage(*map(U128, usage)), Amount(cost), final)


def make_breach(document: LeaseDocument, last: SignedReceipt) -> bytes:
    """Calldata that gives back what both signed for a lease whose last receipt shows a broken promise."""
    return PROVE_BREACH.encode(document.escrow, lease_of(document), receipt_of(last))


def make_claim(document: LeaseDocument, known: SignedReceipt) -> bytes:
    """Calldata that asks the provider of a lease for a receipt newer than this one."""
    return CLAIM_SILENCE.encode(document.escrow, lease_of(document), receipt_of(known))


def make_answer(newer: SignedReceipt) -> bytes:
    """Calldata that answers a claim of silence, or notes that a lease is over."""
    return SHOW_RECEIPT.encode(receipt_of(newer))
