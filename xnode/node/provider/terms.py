"""The provider's look at lease terms: they must be those of its own quote, on an escrow that can pay it."""

from __future__ import annotations

from metering.eip712 import typed_digest
from metering.refusal import Refusal
from metering.signature import is_signed_by, recover_signer
from metering.terms import LeaseTerms, escrow_id_of
from metering.units import NANOS_PER_SECOND, ZERO_HASH
from scheduler.policy import DRAINING
from xnode.node.changes import LeaseRequested
from xnode.node.credit_term import check_credit_term
from xnode.node.late_start import check_start_time
from xnode.node.opening import OPENING_LEAST_NS
from xnode.node.provider.room import unleased_of
from xnode.node.records import HeldQuote, ProviderEscrow
from xnode.node.state import Turn


def check_request(turn: Turn, change: LeaseRequested, lease_id: bytes) -> Refusal | None:
    """What is wrong with a lease request, but for what only the chain can tell."""
    terms, provider = change.terms, turn.state.settings.provider
    if provider is None:
        return Refusal("not_a_provider", "this node offers no capacity any more")
    if turn.state.settings.drained_at_ns:
        return DRAINING
    held = turn.get(HeldQuote, terms.quote_hash)
    if held is None or held.wake_at_ns <= turn.at_ns:
        return Refusal("quote_expired", f"no live quote {terms.quote_hash.hex()[:16]} of ours; ask for a new one")
    if terms.open_until_ns <= turn.at_ns:
        return Refusal("terms_expired", "these lease terms were to be countersigned earlier")
    return (
        _check_terms(turn, terms, held, change)
        or check_start_time(terms, turn.at_ns)
        or _check_escrow(turn, change)
        or _check_terms_signature(change, lease_id)
        or _check_opening_time(turn, change)
        or _check_opening_signature(turn, change)
        # Credits may have been minted since the quote.
        or check_credit_term(provider.term, terms.resources, terms.duration_limit_ns, turn.at_ns)
    )


def check_room(turn: Turn, held: HeldQuote) -> Refusal | None:
    """Whose terms are signed first has the capacity, whatever quotes hold it: a quote alone costs nothing."""
    provider = turn.state.settings.provider
    assert provider is not None
    if held.job.resources.fits_in(unleased_of(turn, provider)):
        return None
    detail = f"what quote {held.quote.number} was for has been leased meanwhile: another submitter signed first"
    return Refusal("capacity", f"{detail}; ask for a new quote, here or elsewhere")


def _check_terms(turn: Turn, terms: LeaseTerms, held: HeldQuote, change: LeaseRequested) -> Refusal | None:
    settings, quote = turn.state.settings, held.quote
    body = quote.body
    due = LeaseTerms(
        job_hash=body.job_hash,
        quote_hash=held.digest,
        submitter=body.submitter,
        provider=quote.provider,
        node=settings.node,
        escrow_id=escrow_id_of(settings.separator, change.escrow),
        lease_number=terms.lease_number,
        asset=body.asset,
        resources=body.resources,
        tariff=body.tariff,
        cost_limit=body.cost_limit,
        exposure_limit=body.exposure_limit,
        interval_ns=body.interval_ns,
        duration_limit_ns=body.duration_limit_ns,
        open_until_ns=terms.open_until_ns,
        availability_ppm=body.promise.availability_ppm,
        refund_ppm=body.promise.refund_ppm,
        exposure_intervals=body.exposure_intervals,
    )
    if change.caller != body.submitter:
        return Refusal("lease_wrong_submitter", "the lease is for another submitter than who asks")
    for name in LeaseTerms.__struct_fields__:
        if getattr(terms, name) != getattr(due, name):
            return Refusal("terms_differ", f"{name} of the lease terms is not what quote {quote.number} says")
    return None


def _check_escrow(turn: Turn, change: LeaseRequested) -> Refusal | None:
    provider = turn.state.settings.provider
    assert provider is not None
    escrow, opening, terms = change.escrow, change.opening, change.terms
    if (escrow.signer, escrow.provider, escrow.asset) != (terms.submitter, terms.provider, terms.asset):
        return Refusal("escrow_terms", "the escrow names another signer, provider or asset than the lease")
    if escrow.split != ZERO_HASH:
        return Refusal("escrow_split", "splits are not accepted here; leave it zero")
    if escrow.thaw < provider.thaw:
        return Refusal("escrow_thaw", f"the escrow thaws in {escrow.thaw} s; we need {provider.thaw} s")
    if opening is not None and opening.escrow_id != terms.escrow_id:
        return Refusal("opening_escrow", "the opening is for another escrow than the lease")
    known = turn.get(ProviderEscrow, terms.escrow_id)
    if known is not None and known.thaw_end:
        return Refusal("escrow_thawing", "the escrow is being taken back; open another")
    if known is not None and any(line.lease_number == terms.lease_number for line in known.lines):
        return Refusal("lease_number", f"lease {terms.lease_number} of this escrow exists already")
    return None


def _check_terms_signature(change: LeaseRequested, lease_id: bytes) -> Refusal | None:
    if not is_signed_by(change.terms.submitter, lease_id, change.signature):  # type: ignore[arg-type]
        return Refusal("terms_signature", "the lease terms are not signed by the submitter they name")
    return None


def _check_opening_time(turn: Turn, change: LeaseRequested) -> Refusal | None:
    """One that the chain will not take any more would hold capacity until we have paid to learn so."""
    if change.opening is None:
        return None
    left_ns = change.opening.deadline * NANOS_PER_SECOND - turn.at_ns
    if left_ns < OPENING_LEAST_NS:
        needed = f"it must be good for {OPENING_LEAST_NS // NANOS_PER_SECOND} s more, as long as blocks may take"
        how_long = f"for {left_ns // NANOS_PER_SECOND} s more" if left_ns > 0 else "no longer"
        return Refusal("opening_expired", f"the chain takes the opening {how_long}: {needed}")
    return None


def _check_opening_signature(turn: Turn, change: LeaseRequested) -> Refusal | None:
    """Before it takes capacity that others have quotes for: the chain would refuse such an opening later."""
    opening, escrow = change.opening, change.escrow
    if opening is None:
        return None
    signer = recover_signer(typed_digest(turn.state.settings.separator, "Opening", opening), change.opening_signature)
    if signer is None or signer not in (escrow.signer, escrow.payer):
        return Refusal("opening_signature", "the opening is not signed by the submitter, nor by the payer")
    return None
