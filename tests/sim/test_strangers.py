"""Strangers: whatever well-formed messages they send, step never raises, and no lease or money of others is touched."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.codec import encode
from metering.eip712 import typed_digest
from metering.receipt import Receipt, SignedReceipt
from metering.resources import Resources
from metering.signature import sign_digest
from metering.tariff import Tariff
from metering.terms import Escrow, LeaseTerms, Opening, escrow_id_of, lease_id_of
from metering.units import NANOS_PER_SECOND, PPM, U64_MAX, U128, U128_MAX, Amount
from metering.usage import Usage
from metering.voucher import Coverage, SignedVoucher, Voucher
from scheduler.job import Blob, Image, InputFile, Job, OutputFile
from scheduler.outputs import LeftOut, OutputSummary
from tests.make.values import ASSET, ENTROPY, SEPARATOR, address_of, make_job, make_key
from tests.sim.containers import Behaviour
from tests.sim.world import World
from xnode.node import changes
from xnode.node.lease import EndReason, LeaseStatus
from xnode.node.records import HeldQuote, ProviderEscrow, ProviderLease, SubmitterEscrow, SubmitterLease
from xnode.node.state import State
from xnode.node.step import step

STRANGER = 77


def make_busy_states() -> tuple[tuple[State, State, int], ...]:
    """(provider's state, submitter's state, time) of one market at several moments of a lease's life."""
    found = []
    world = World()
    world.add_provider()
    world.add_submitter()
    world.run_for(1)
    world.submit(behaviour=Behaviour(run_ns=20 * NANOS_PER_SECOND))
    for pause_s in (0.1, 0.06, 0.02, 0.6, 5, 6, 14, 30):
        world.run_for(pause_s)
        loops = (world.machines[1].loop, world.machines[0].loop)
        assert loops[0] is not None and loops[1] is not None
        found.append((loops[0].state, loops[1].state, world.clockwork.now_ns))
    return tuple(found)


MOMENTS = make_busy_states()
KNOWN_HASHES = sorted(
    {
        record.key
        for provider, submitter, _ in MOMENTS
        for state in (provider, submitter)
        for kind in (HeldQuote, ProviderLease, ProviderEscrow, SubmitterLease, SubmitterEscrow)
        for record in state.all(kind)
    }
)
KNOWN_TERMS = [lease.terms for _, state, _ in MOMENTS for lease in state.all(SubmitterLease)]
KNOWN_RECEIPTS = [lease.last for state, _, _ in MOMENTS for lease in state.all(ProviderLease)]

u64 = st.one_of(st.integers(0, 20), st.integers(0, U64_MAX))
u32 = st.integers(0, 2**32 - 1)
amounts = st.one_of(st.integers(0, 1000), st.integers(0, U128_MAX)).map(Amount)
u128 = st.one_of(st.integers(0, 1000), st.integers(0, U128_MAX)).map(U128)
hashes = st.one_of(st.sampled_from(KNOWN_HASHES), st.binary(min_size=32, max_size=32))
addresses = st.one_of(
    st.sampled_from([address_of(n) for n in (0, 1, 500, 1001, STRANGER)]), st.binary(min_size=20, max_size=20)
)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
signatures = st.one_of(st.binary(max_size=70), st.binary(min_size=65, max_size=65))
blobs = st.builds(Blob, st.binary(min_size=32, max_size=32), u64)
resources = st.builds(Resources, u64, u64, u64, u64, texts)
tariffs = st.builds(Tariff, *[amounts] * 6)
escrows = st.builds(Escrow, addresses, addresses, addresses, st.just(ASSET), st.just(bytes(32)), u32, u64)
openings = st.builds(Opening, hashes, amounts, st.binary(min_size=32, max_size=32), u64)
usages = st.builds(Usage, *[u128] * 6)
receipts = st.one_of(
    st.builds(Receipt, hashes, u64, u64, u64, usages, amounts, st.booleans()),
    st.builds(
        lambda last, changes: msgspec.structs.replace(last, **changes),
        st.sampled_from(KNOWN_RECEIPTS),
        st.fixed_dictionaries(
            {"number": st.integers(0, 9)}, optional={"cost": amounts, "usage": usages, "final": st.booleans()}
        ),
    ),
)
signed_receipts = st.builds(SignedReceipt, receipts, signatures)
jobs = st.one_of(
    st.builds(
        Job, texts, addresses, st.binary(min_size=16, max_size=16),
        st.builds(Image, texts, u64, texts, st.lists(blobs, max_size=2).map(tuple)),
        st.lists(texts, max_size=3).map(tuple), st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
        st.lists(st.builds(InputFile, texts, blobs), max_size=2).map(tuple), resources, u64, addresses, amounts,
        st.none() | tariffs, st.booleans(), u64, st.lists(texts, max_size=2).map(tuple), amounts,
    ),
    st.builds(lambda nonce: make_job(nonce=nonce, submitter=address_of(STRANGER)), st.binary(min_size=16, max_size=16)),
)  # fmt: skip
terms = st.one_of(
    st.builds(
        LeaseTerms, hashes, hashes, addresses, addresses, addresses, hashes, u64, addresses, resources, tariffs, amounts,
        amounts, u64, u64, u64,
    ),
    st.builds(
        lambda known, changes: msgspec.structs.replace(known, **changes),
        st.sampled_from(KNOWN_TERMS),
        st.fixed_dictionaries({}, optional={"cost_limit": amounts, "lease_number": u64, "open_until_ns": u64, "tariff": tariffs}),
    ),
)  # fmt: skip
outputs = st.lists(st.builds(OutputFile, texts, blobs), max_size=3).map(tuple)
left_out = st.lists(st.builds(LeftOut, st.binary(max_size=20), texts), max_size=3).map(tuple)
summaries = st.builds(OutputSummary, st.none() | blobs, u64, u64, u64, left_out)
callers = st.just(address_of(STRANGER))
addrs = st.lists(texts, max_size=2).map(tuple)

FROM_STRANGERS = st.one_of(
    st.builds(changes.QuoteRequested, st.just("x"), callers, jobs),
    st.builds(
        changes.LeaseRequested, st.just("x"), callers, addrs, terms, signatures, escrows, st.none() | openings, signatures
    ),
    st.builds(changes.QuoteDropped, st.just("x"), callers, hashes),
    st.builds(changes.LeaseStopRequested, st.just("x"), callers, hashes),
    st.builds(changes.LeaseAsked, st.just("x"), callers, hashes),
    st.builds(changes.ReceiptsReceived, st.just("x"), callers, st.lists(signed_receipts, max_size=3).map(tuple)),
    st.builds(
        changes.LeaseNews, st.just("x"), callers, hashes, st.sampled_from(LeaseStatus.__args__),  # type: ignore[attr-defined]
        st.none() | st.sampled_from(EndReason.__args__), texts, st.none() | st.integers(-(2**63), 2**63 - 1),  # type: ignore[attr-defined]
        st.none() | outputs, texts, st.none() | summaries,
    ),
)  # fmt: skip

FROM_PARTNERS = st.one_of(
    st.builds(
        changes.VoucherReceived, hashes,
        st.builds(SignedVoucher, st.builds(Voucher, hashes, amounts, hashes), signatures),
        st.builds(Coverage, u64, hashes, st.lists(hashes, max_size=3).map(tuple)),
    ),
    st.builds(changes.LeaseAccepted, hashes, signatures),
    st.builds(changes.ReceiptsReceived, st.just("x"), st.just(address_of(1)), st.lists(signed_receipts, max_size=3).map(tuple)),
    st.builds(
        changes.LeaseNews, st.just("x"), st.just(address_of(1)), hashes, st.sampled_from(LeaseStatus.__args__),  # type: ignore[attr-defined]
        st.none() | st.sampled_from(EndReason.__args__), texts, st.none() | st.integers(-(2**63), 2**63 - 1),  # type: ignore[attr-defined]
        st.none() | outputs, texts, st.none() | summaries,
    ),
    st.builds(changes.LeaseStopRequested, st.just("x"), st.just(address_of(0)), hashes),
)  # fmt: skip

RELAXED = settings(
    max_examples=300, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.large_base_example],
)  # fmt: skip


def money_and_leases(state: State) -> set[Any]:
    kinds = (HeldQuote, ProviderLease, ProviderEscrow, SubmitterLease, SubmitterEscrow)
    return {encode(record) for kind in kinds for record in state.all(kind)}


@RELAXED
@given(change=FROM_STRANGERS, moment=st.sampled_from(MOMENTS))
def test_a_stranger_never_makes_step_raise_nor_touches_a_lease(
    change: changes.Change, moment: tuple[State, State, int]
) -> None:
    provider, submitter, at_ns = moment
    for state in (provider, submitter, State()):
        turn = step(state, changes.Entry(at_ns, ENTROPY, change))
        encode(changes.Entry(at_ns, ENTROPY, change))
        assert money_and_leases(state) <= money_and_leases(turn.state)


@RELAXED
@given(change=FROM_PARTNERS, moment=st.sampled_from(MOMENTS))
def test_a_partner_never_makes_step_raise(change: changes.Change, moment: tuple[State, State, int]) -> None:
    provider, submitter, at_ns = moment
    for state in (provider, submitter, State()):
        turn = step(state, changes.Entry(at_ns, ENTROPY, change))
        for record in turn.touched.values():
            encode(record)


@RELAXED
@given(altered=st.fixed_dictionaries({}, optional={
    "cost_limit": amounts, "lease_number": u64, "tariff": tariffs, "resources": resources, "escrow_id": hashes,
    "interval_ns": u64, "exposure_limit": amounts, "open_until_ns": u64, "duration_limit_ns": u64,
    "availability_ppm": st.integers(0, PPM), "refund_ppm": st.integers(0, PPM), "exposure_intervals": st.integers(0, 2**32 - 1),
}), escrow=st.none() | escrows, opening=st.none() | openings)  # fmt: skip
def test_terms_that_differ_in_anything_from_the_quote_are_refused(
    altered: dict[str, Any], escrow: Escrow | None, opening: Opening | None
) -> None:
    provider, held = QUOTED
    body = held.quote.body
    honest = Escrow(address_of(500), address_of(0), address_of(1001), ASSET, bytes(32), 60, 1)  # type: ignore[arg-type]
    used = escrow or honest
    due = LeaseTerms(
        body.job_hash, held.digest, body.submitter, held.quote.provider, held.quote.node, escrow_id_of(SEPARATOR, used),
        0, body.asset, body.resources, body.tariff, body.cost_limit, body.exposure_limit, body.interval_ns,
        body.duration_limit_ns, QUOTED_AT_NS + NANOS_PER_SECOND, body.promise.availability_ppm,
        body.promise.refund_ppm, body.exposure_intervals,
    )  # fmt: skip
    asked = msgspec.structs.replace(due, **altered)
    signature = sign_digest(make_key(0), lease_id_of(SEPARATOR, asked))
    opened = sign_digest(make_key(0), typed_digest(SEPARATOR, "Opening", opening)) if opening is not None else b""
    change = changes.LeaseRequested("x", address_of(0), (), asked, signature, used, opening, opened)
    turn = step(provider, changes.Entry(QUOTED_AT_NS, ENTROPY, change))
    free = {"lease_number", "open_until_ns"}
    # Another payer's escrow under another number is as good, if all that the quote says of it is the same.
    like = msgspec.structs.replace(honest, payer=used.payer, nonce=used.nonce, thaw=max(honest.thaw, used.thaw))
    if any(altered[name] != getattr(due, name) for name in set(altered) - free) or used != like:
        assert not list(turn.state.all(ProviderLease))


def make_quoted() -> tuple[State, HeldQuote, int]:
    """A provider that has just given a quote to key 0."""
    world = World()
    world.add_provider()
    world.run_for(1)
    loop = world.machines[1].loop
    assert loop is not None
    at_ns = world.clockwork.now_ns
    turn = step(loop.state, changes.Entry(at_ns, ENTROPY, changes.QuoteRequested("x", address_of(0), make_job())))
    return turn.state, next(turn.state.all(HeldQuote)), at_ns


_STATE, _HELD, QUOTED_AT_NS = make_quoted()
QUOTED = (_STATE, _HELD)
