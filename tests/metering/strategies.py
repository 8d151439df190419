"""Strategies: random but valid metering values."""

from __future__ import annotations

from hypothesis import strategies as st

from metering.capacity import CapacityAnswer, Verdict
from metering.resources import Resources
from metering.tariff import Tariff
from metering.terms import Escrow, LeaseTerms, Opening, Release
from metering.units import (
    LAST_NS,
    NANOS_PER_HOUR,
    NANOS_PER_SECOND,
    PPM,
    U64_MAX,
    U128,
    U128_MAX,
    Address,
    Amount,
    Hash32,
)  # fmt: skip
from metering.usage import Counters, Usage
from metering.voucher import Voucher

u64 = st.integers(0, U64_MAX)
nanos = st.integers(0, LAST_NS)
seconds = st.integers(0, LAST_NS // NANOS_PER_SECOND)
u32 = st.integers(0, 2**32 - 1)
u128 = st.integers(0, U128_MAX).map(U128)
amounts = st.integers(0, U128_MAX).map(Amount)
addresses = st.binary(min_size=20, max_size=20).map(Address)
hashes = st.binary(min_size=32, max_size=32).map(Hash32)
words = st.text(max_size=16)

# What markets deal in: prices up to 10^24 base units, hosts up to 4 PiB, months. Costs stay far below 2^128.
prices = st.one_of(st.integers(0, 50), st.integers(0, 10**24)).map(Amount)
tariffs = st.builds(Tariff, *([prices] * 6))
resources = st.builds(
    Resources,
    st.integers(0, 1_024_000),
    st.integers(0, 1 << 52),
    st.integers(0, 1 << 52),
    st.integers(0, 64),
    st.just(""),
)
durations_ns = st.one_of(st.integers(0, NANOS_PER_SECOND), st.integers(0, 2_000 * NANOS_PER_HOUR))
network_bytes = st.integers(0, 1 << 50)
small_usages = st.builds(Usage, *([st.integers(0, 1 << 90).map(U128)] * 6))

usages = st.builds(Usage, *([u128] * 6))
escrows = st.builds(Escrow, addresses, addresses, addresses, addresses, hashes, st.integers(0, 2**32 - 1), u64)
openings = st.builds(Opening, hashes, amounts, st.binary(min_size=32, max_size=32), seconds)
releases = st.builds(Release, hashes, amounts, st.binary(min_size=32, max_size=32), seconds)
vouchers = st.builds(Voucher, hashes, amounts, hashes)
answers = st.builds(CapacityAnswer, hashes, u32, u32, hashes, hashes)
verdicts = st.builds(Verdict, hashes, hashes, st.booleans(), hashes)
any_resources = st.builds(Resources, u64, u64, u64, u64, words)
any_tariffs = st.builds(Tariff, *([amounts] * 6))
terms = st.builds(
    LeaseTerms,
    job_hash=hashes,
    quote_hash=hashes,
    submitter=addresses,
    provider=addresses,
    node=addresses,
    escrow_id=hashes,
    lease_number=u64,
    asset=addresses,
    resources=any_resources,
    tariff=any_tariffs,
    cost_limit=amounts,
    exposure_limit=amounts,
    interval_ns=nanos,
    duration_limit_ns=nanos,
    open_until_ns=nanos,
    availability_ppm=st.integers(0, PPM),
    refund_ppm=st.integers(0, PPM),
    exposure_intervals=u32,
)


@st.composite
def readings(draw: st.DrawFn, vcpu_milli: int) -> list[Counters]:
    """What a runtime reads over a workload's life: every number grows, CPU time never faster than its limit."""
    running_ns = vcpu_ns = moved = 0
    found = []
    for step_ns in draw(st.lists(st.integers(0, 20 * NANOS_PER_SECOND), min_size=1, max_size=8)):
        running_ns += step_ns
        vcpu_ns += step_ns * vcpu_milli * draw(st.integers(0, 1_000)) // 1_000_000
        moved += draw(st.integers(0, 10**9))
        found.append(Counters(running_ns, vcpu_ns, moved, moved // 2))
    return found
