"""Late start: a promise of availability counts from a moment that the terms name, and a workload that has not started by then can
keep it no more: it is not started, and nothing is charged.

Whose doing the wait was does not matter then: bytes that the submitter sends late, a registry that is slow, a launch on a busy
host. So a provider never signs a receipt that proves a breach by a wait before the launch, and a submitter never pays for one.
"""

from __future__ import annotations

from metering.refusal import Refusal
from metering.sla import Promise, show_percent
from metering.terms import LeaseTerms
from metering.units import NANOS_PER_SECOND
from scheduler.job import Job, input_bytes_of

START_LEAST_NS = 15 * NANOS_PER_SECOND
"""What a provider that promises needs at least from the request to the moment from which its promise counts: it asks the chain,
and launches from an image that it has."""

LAUNCH_NS = 10 * NANOS_PER_SECOND
"""What a submitter gives beyond the time to countersign, for a container to start on a busy host."""

MOVE_BYTES = 4 << 20
"""A second, on the way to the provider and unpacked there: a home's uplink. More time costs a submitter nothing but that the
promise counts later."""

MOST_LEAD_NS = 1_920 * NANOS_PER_SECOND
"""What a provider takes at most to fetch and launch; it gives up then."""

MAX_LATE = 3
"""How often a job may begin anew after a late start, each time with twice the time, before a provider is passed over for it."""

LATE_START = "late_start"
"""The code of a lease that ended unstarted because its promise could not be kept any more."""

SOON_START = "late_start_soon"
"""The code of a request whose promise would count sooner than a workload can run."""

LATE = frozenset({LATE_START, SOON_START})


def start_until_of(terms: LeaseTerms) -> int | None:
    """The last moment at which the workload may start, in nanoseconds UTC: a later start breaks the promise if the workload is
    stopped at once. None when nothing is promised."""
    return terms.open_until_ns if Promise(terms.availability_ppm, terms.refund_ppm).worth_ppm else None


def is_too_late(terms: LeaseTerms, started_at_ns: int) -> bool:
    """True when a workload that starts then cannot keep the promise, however long it runs."""
    until_ns = start_until_of(terms)
    return until_ns is not None and started_at_ns > until_ns


def check_start_time(terms: LeaseTerms, at_ns: int) -> Refusal | None:
    """What is wrong with the moment from which these terms, asked for now, would have our promise count."""
    until_ns = start_until_of(terms)
    if until_ns is None or until_ns - at_ns >= START_LEAST_NS:
        return None
    left_s, least_s = max(0, until_ns - at_ns) / NANOS_PER_SECOND, START_LEAST_NS // NANOS_PER_SECOND
    detail = f"availability would count in {left_s:.1f} s, a start from a warm image is given {least_s} s"
    return Refusal(SOON_START, f"{detail}; hint: sign terms with a later open_until")


def describe_late_start(terms: LeaseTerms) -> str:
    """Why a lease ends unstarted, in one line for both sides."""
    promised = show_percent(terms.availability_ppm)
    return (
        f"not started: by now the promised {promised} cannot be kept; nothing is charged; "
        "hint: a smaller image or fewer inputs arrive sooner, and terms with a later open_until give more time"
    )


def choose_lead_ns(job: Job, promise: Promise, has_image: bool, late: int, least_ns: int) -> int:
    """How long after they are signed terms may be countersigned, from when on their promise counts.

    has_image: the provider has the image already; late: how often a start of this job came too late; least_ns: how long where
    nothing is promised.
    """
    if not promise.worth_ppm:
        return least_ns
    to_fetch = input_bytes_of(job) + (0 if has_image else job.image.size_bytes)
    lead_ns = (least_ns + LAUNCH_NS + to_fetch * NANOS_PER_SECOND // MOVE_BYTES) << min(late, MAX_LATE)
    return min(lead_ns, max(MOST_LEAD_NS, least_ns))
