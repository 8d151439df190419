"""What a quote costs who asks for it: a deposit that is seen; and what it is worth against one who signs."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from metering.eip712 import typed_digest
from metering.refusal import Refusal
from metering.signature import sign_digest
from metering.terms import LeaseTerms, Opening, escrow_id_of, lease_id_of
from metering.units import PPM, Address, Amount
from tests.make.nodes import PAYER
from tests.make.records import ESCROW, SECOND, TERMS, Node, make_provider, make_provider_escrow
from tests.make.values import SEPARATOR, TOKEN, address_of, make_job, make_key, make_resources
from xnode.node import changes, effects
from xnode.node.provider.quote import MAX_QUOTES_PER_SUBMITTER, MAX_STRANGERS_QUOTES
from xnode.node.records import HeldQuote, KnownPayer

ALL = make_resources(vcpu_milli=8000, memory_bytes=8 << 30, disk_bytes=80 << 30)
HALF = make_resources(vcpu_milli=4000, memory_bytes=4 << 30, disk_bytes=40 << 30)
SMALL = make_resources(vcpu_milli=10, memory_bytes=1 << 20, disk_bytes=1 << 20)
RICH = Amount(1000 * TOKEN)
FRIEND = 3


def make_host() -> Node:
    """Room for ALL; the payer of key FRIEND has paid before."""
    return make_provider(KnownPayer(address_of(PAYER + FRIEND), 0), capacity=ALL)


def ask(node: Node, key: int, number: int = 0, spendable: Amount | None = RICH, **fields: Any) -> HeldQuote | Refusal:
    """What the submitter of the key, with a payer of its own, gets for a job."""
    job = make_job(nonce=number.to_bytes(16, "big"), submitter=address_of(key), **fields)
    found = node.tell(changes.QuoteRequested("ask", address_of(key), job, address_of(PAYER + key), spendable))
    reply = found[-1]
    if isinstance(reply, effects.ReplyRefusal):
        return reply.refusal
    assert isinstance(reply, effects.ReplyQuote)
    return next(one for one in node.state.all(HeldQuote) if one.quote == reply.quote)


def quoted(found: HeldQuote | Refusal) -> HeldQuote:
    assert isinstance(found, HeldQuote), found
    return found


def open_lease(node: Node, key: int, held: HeldQuote, opening_s: int = 120, **changed: Any) -> list[effects.Effect]:
    """Sign what was quoted, and ask for the lease."""
    quote, submitter = held.quote, address_of(key)
    escrow = replace(
        ESCROW, payer=address_of(PAYER + key), signer=submitter, provider=quote.provider, thaw=quote.body.thaw
    )
    body = {name: getattr(quote.body, name) for name in quote.body.__struct_fields__ if hasattr(TERMS, name)}
    terms = LeaseTerms(
        **body, quote_hash=held.digest, provider=quote.provider, node=quote.node,
        escrow_id=escrow_id_of(SEPARATOR, escrow), lease_number=0, open_until_ns=node.now_ns + 20 * SECOND,
    )  # fmt: skip
    opening = Opening(terms.escrow_id, terms.cost_limit, bytes(32), node.now_ns // SECOND + opening_s)
    signed = sign_digest(make_key(key), typed_digest(SEPARATOR, "Opening", opening))
    request = changes.LeaseRequested(
        "lease",
        submitter,
        (),
        terms,
        sign_digest(make_key(key), lease_id_of(SEPARATOR, terms)),
        escrow,
        opening,
        signed,
    )
    return node.tell(replace(request, **changed))


def refusal_of(found: list[effects.Effect]) -> Refusal | None:
    return next((one.refusal for one in found if isinstance(one, effects.ReplyRefusal)), None)


# ------------------------------------------------------------------------------------------------------------- funds


def test_no_quote_without_a_deposit_that_covers_the_job() -> None:
    node = make_host()
    limit = quoted(ask(node, 1)).quote.body.cost_limit
    refused = ask(node, 2, spendable=Amount(limit - 1))
    assert isinstance(refused, Refusal) and refused.code == "quote_funds" and str(limit) in refused.detail
    assert ask(node, 2, spendable=limit)


def test_one_deposit_does_not_hold_capacity_twice() -> None:
    node = make_host()
    limit = quoted(ask(node, 1, 0, resources=SMALL)).quote.body.cost_limit
    assert quoted(ask(node, 1, 1, spendable=Amount(2 * limit), resources=SMALL))
    refused = ask(node, 1, 2, spendable=Amount(2 * limit), resources=SMALL)
    assert isinstance(refused, Refusal) and refused.code == "quote_funds"


# ------------------------------------------------------------------------------------------------------------- holds


def free_vcpus(node: Node) -> int:
    return node.state.standing_offer.free.vcpu_milli


def test_strangers_hold_no_more_than_their_share_and_the_offer_stays_open() -> None:
    node = make_host()
    for key in range(10, 30):
        for number in range(4):
            quoted(ask(node, key, number, resources=make_resources(vcpu_milli=1000, memory_bytes=1 << 20)))
    share_ppm = node.state.settings.provider.stranger_share_ppm  # type: ignore[union-attr]
    assert free_vcpus(node) >= 8000 - 8000 * share_ppm // PPM


def test_a_newcomer_gets_all_of_a_host_that_strangers_only_have_quotes_for() -> None:
    node = make_host()
    for key in range(10, 14):
        quoted(ask(node, key, resources=ALL))
    held = quoted(ask(node, 1, resources=ALL))
    assert refusal_of(open_lease(node, 1, held)) is None
    assert free_vcpus(node) == 0, "it is leased"


def test_what_a_payer_that_has_paid_holds_is_promised_to_nobody_else() -> None:
    node = make_host()
    quoted(ask(node, FRIEND, resources=ALL))
    refused = ask(node, 1, resources=HALF)
    assert isinstance(refused, Refusal) and refused.code == "capacity"


def test_who_signs_first_has_the_capacity_and_the_other_is_told_so() -> None:
    node = make_host()
    friend, stranger = quoted(ask(node, FRIEND, resources=HALF)), quoted(ask(node, 1, resources=HALF))
    rival = quoted(ask(node, 2, resources=HALF))
    assert refusal_of(open_lease(node, 1, stranger)) is None
    assert refusal_of(open_lease(node, 2, rival)) is None
    lost = refusal_of(open_lease(node, FRIEND, friend))
    assert lost is not None and lost.code == "capacity" and "another submitter signed first" in lost.detail
    assert isinstance(ask(node, 9, resources=HALF), Refusal), "nothing is quoted that is leased"


def test_an_opening_that_nobody_signed_takes_no_capacity() -> None:
    node = make_host()
    held = quoted(ask(node, 1))
    refused = refusal_of(open_lease(node, 1, held, opening_signature=bytes(65)))
    assert refused is not None and refused.code == "opening_signature"
    assert refusal_of(open_lease(node, 1, held)) is None, "the quote holds still"


@pytest.mark.parametrize("opening_s", [-1_000_000, -1, 0, 29])
def test_an_opening_that_the_chain_will_not_take_in_time_takes_no_capacity(opening_s: int) -> None:
    node = make_host()
    held = quoted(ask(node, 1))
    refused = refusal_of(open_lease(node, 1, held, opening_s))
    assert refused is not None and refused.code == "opening_expired"
    assert refusal_of(open_lease(node, 1, held)) is None, "the quote holds still"


def test_a_submitter_gets_no_more_quotes_than_there_is_room_for_its_own_jobs() -> None:
    node = make_host()
    for number in range(2):
        quoted(ask(node, 1, number, resources=HALF))
    refused = ask(node, 1, 2, resources=HALF)
    assert isinstance(refused, Refusal) and refused.code == "capacity"


def test_many_strangers_with_many_quotes_do_not_shut_out_newcomers_nor_those_who_pay() -> None:
    node = make_host()
    per_key = MAX_QUOTES_PER_SUBMITTER
    for number in range(MAX_STRANGERS_QUOTES):
        quoted(ask(node, 100 + number // per_key, number, resources=SMALL))
    for key in range(10, 14):
        quoted(ask(node, key, resources=SMALL))
    assert sum(not one.firm for one in node.state.all(HeldQuote)) == MAX_STRANGERS_QUOTES
    quoted(ask(node, FRIEND, resources=SMALL))
    refused = ask(node, 100 + 9, 10_000, resources=SMALL)
    assert isinstance(refused, Refusal) and refused.code == "too_many_quotes"


# ----------------------------------------------------------------------------------------------------------- payers


def paid(node: Node, payer: Address) -> bool:
    return node.state.get(KnownPayer, payer) is not None


def test_a_payer_is_no_stranger_once_a_claim_has_brought_something() -> None:
    escrow = make_provider_escrow()
    payer = escrow.escrow.payer
    for claimed, known in ((0, False), (7, True)):
        node = make_provider(escrow)
        node.tell(changes.ClaimConfirmed(escrow.escrow_id, escrow.deposited, Amount(claimed), bytes(32), 1))  # type: ignore[arg-type]
        assert paid(node, payer) is known
        node = make_provider(escrow)
        node.tell(changes.EscrowSeen(escrow.escrow_id, escrow.deposited, Amount(claimed), 0))
        assert paid(node, payer) is known
