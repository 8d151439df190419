"""Opening: until when one that was signed may still reach the chain."""

from __future__ import annotations

from metering.terms import Opening
from metering.units import NANOS_PER_SECOND

OPENING_SLACK_NS = 120 * NANOS_PER_SECOND
"""How far the chain's clock and its blocks may be behind ours."""


OPENING_LEAST_NS = 30 * NANOS_PER_SECOND
"""How long an opening must still be good for when it is countersigned: two blocks of a slow chain, and what it takes to send."""


def opening_until_of(opening: Opening) -> int:
    """The moment, in nanoseconds UTC, from which the opening has either confirmed or never will."""
    return opening.deadline * NANOS_PER_SECOND + OPENING_SLACK_NS
