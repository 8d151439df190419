"""Capture: the lists, shares and attackers that the tables are about, and how often silence makes a challenge lapse."""

from __future__ import annotations

from fractions import Fraction

from xnode.chain.deployment.capture import Terms, count_sybils, odds_of_at_least
from xnode.chain.deployment.safety import MOST_VERIFIERS

LISTS = (10, 30, 100, 300, MOST_VERIFIERS)
PERCENTS = (5, 10, 20, 33)

SEQUENCER_DRIFT = 150
"""Of an OP-stack sequencer that picks any Ethereum block within half an hour for its own."""

SEQUENCER_CENSORS = 3_600
"""Of one that also keeps draws out until a transaction forced from Ethereum must be taken: 12 hours."""


def odds_of_lapse(terms: Terms, verifiers: int, percent: int) -> Fraction:
    """That an honest challenge has no quorum, because that share of the list keeps silent."""
    seats = terms.seats_in(verifiers)
    honest = verifiers - count_sybils(verifiers, percent)
    return 1 - odds_of_at_least(verifiers, honest, seats, terms.quorum_of(seats))
