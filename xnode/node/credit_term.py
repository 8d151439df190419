"""Credit term: until when leases may run while a provider has credits outstanding, so that none of them makes it default."""

from __future__ import annotations

import msgspec

from metering.refusal import Refusal
from metering.resources import Resources
from metering.time_words import say_duration
from metering.units import NANOS_PER_SECOND


class CreditTerm(msgspec.Struct, frozen=True):
    """cpu_end_by_s, gpu_end_by_s: when leases of that kind have ended at the latest, in seconds UTC; 0: whenever they like,
    because nothing is outstanding, or the default is there already. longest_s: the most that they may run from now on, because
    a spot check that they make it fail now would end the capacity early; 0: no such limit."""

    cpu_end_by_s: int = 0
    gpu_end_by_s: int = 0
    longest_s: int = 0


NO_TERM = CreditTerm()


def check_credit_term(term: CreditTerm, resources: Resources, duration_ns: int, now_ns: int) -> Refusal | None:
    """A device that is leased cannot answer a challenge: a lease must leave time for one before credits go into default."""
    by_kind = ((term.cpu_end_by_s, resources.vcpu_milli), (term.gpu_end_by_s, resources.gpus))
    ends_s = [end_by_s for end_by_s, used in by_kind if end_by_s and used]
    if not ends_s:
        return None
    room_ns = _find_room_ns(term, min(ends_s), now_ns)
    if duration_ns <= room_ns:
        return None
    left = say_duration(max(0, room_ns) // NANOS_PER_SECOND * NANOS_PER_SECOND)
    detail = f"this provider has sold credits, and its hardware is to be verified again in {left}"
    return Refusal("needs_check", f"{detail}; the job may take {say_duration(duration_ns)}")


def find_most_duration_ns(term: CreditTerm, most_ns: int, now_ns: int) -> int:
    """The longest lease to offer, of most_ns at most: what the term of vCPUs leaves, because every lease has some."""
    if not term.cpu_end_by_s:
        return most_ns
    return max(0, min(most_ns, _find_room_ns(term, term.cpu_end_by_s, now_ns)))


def _find_room_ns(term: CreditTerm, end_by_s: int, now_ns: int) -> int:
    room_ns = end_by_s * NANOS_PER_SECOND - now_ns
    return min(room_ns, term.longest_s * NANOS_PER_SECOND) if term.longest_s else room_ns
