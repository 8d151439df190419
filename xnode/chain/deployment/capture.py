"""Capture: with which odds one party's verifiers are a quorum of a panel, and what trying for it costs. Exact fractions.

Panels are drawn without putting back, so the odds are hypergeometric; tests/economy/test_capture.py and forge hold them to
the contract's own draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import comb

AIM = 100
"""How many times its worth an attack is to cost."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is governed. Amounts in whole OPENX; quorum: of a panel whose seats are all taken; window_hours, gpu_collateral: of a
    tGPU; pledge: of one verifier."""

    panel: int
    quorum: int
    min_list: int
    fee: Fraction
    device_fee: Fraction
    pledge: int
    window_hours: int
    validity_hours: int
    gpu_collateral: Fraction

    def seats_in(self, verifiers: int) -> int:
        """Seats of a panel drawn from so many."""
        return min(self.panel, verifiers)

    def quorum_of(self, seats: int) -> int:
        """As CapacityRegistry has it: more than two thirds of those that sit, where some seats are empty."""
        return self.quorum if seats == self.panel else more_than_two_thirds(seats)


@dataclass(frozen=True, slots=True)
class Prices:
    """What the market pays, in OPENX: for the hour of a reference GPU and of a reference vCPU."""

    gpu_hour: Fraction
    vcpu_hour: Fraction


@dataclass(frozen=True, slots=True)
class Attack:
    """A provider without hardware that owns some of the list, per device that it declares. chances: draws that it may
    choose from for one fee; tries: fees that a captured panel costs on average, None when none is ever captured; cost: what of
    those fees does not come back to its own verifiers; worth: what the credits made on one device sell for; stake: what has to
    lie behind these; pledged: by its verifiers, all together."""

    odds: Fraction
    chances: int
    tries: Fraction | None
    cost: Fraction | None
    worth: Fraction
    stake: Fraction
    pledged: int

    @property
    def times(self) -> Fraction | None:
        """How many times its worth a captured panel costs; None: it cannot be had."""
        return None if self.cost is None else self.cost / self.worth


def more_than_two_thirds(seats: int) -> int:
    """The least quorum that the contract allows."""
    return seats * 2 // 3 + 1


def count_sybils(verifiers: int, percent: int) -> int:
    """The verifiers of one party that has a share of a list, rounded to the next whole one, and never none."""
    return max(1, (2 * verifiers * percent + 100) // 200)


def odds_of_at_least(verifiers: int, theirs: int, seats: int, needed: int) -> Fraction:
    """That at least `needed` of the seats go to `theirs`, a part of all verifiers."""
    ways = sum(comb(theirs, k) * comb(verifiers - theirs, seats - k) for k in range(needed, min(seats, theirs) + 1))
    return Fraction(ways, comb(verifiers, seats))


def odds_of_capture(terms: Terms, verifiers: int, percent: int) -> Fraction:
    """That one drawn panel does what the owner of that share of the list says."""
    seats = terms.seats_in(verifiers)
    return odds_of_at_least(verifiers, count_sybils(verifiers, percent), seats, terms.quorum_of(seats))


def price_attack(terms: Terms, prices: Prices, verifiers: int, percent: int, chances: int, devices: int) -> Attack:
    """What it takes to have so many GPUs verified that are not there.

    A try that fails is judged by the attacker's own verifiers too, and they share its fee: that part is not lost. chances x
    odds is more than the odds of one in so many draws, to the attacker's advantage.
    """
    seats = terms.seats_in(verifiers)
    odds = odds_of_capture(terms, verifiers, percent)
    own = count_sybils(verifiers, percent)
    lost = 1 - min(Fraction(1), Fraction(own * seats, verifiers * terms.quorum_of(seats)))
    fee = terms.fee / devices + terms.device_fee
    tries = 1 / min(Fraction(1), chances * odds) if odds else None
    return Attack(
        odds=odds,
        chances=chances,
        tries=tries,
        cost=tries * fee * lost if tries is not None else None,
        worth=terms.window_hours * prices.gpu_hour,
        stake=terms.window_hours * terms.gpu_collateral,
        pledged=own * terms.pledge,
    )


def find_device_fee(
    terms: Terms, prices: Prices, lists: tuple[int, ...], percents: tuple[int, ...], chances: int
) -> Fraction:
    """The least fee for a device with which no attack on these lists costs less than AIM times what it gains, the fee of the
    whole challenge left out."""
    most, one = Fraction(0), replace(terms, fee=Fraction(0), device_fee=Fraction(1))
    for verifiers in lists:
        for percent in percents:
            times = price_attack(one, prices, verifiers, percent, chances, 1).times
            if times is not None:
                most = max(most, AIM / times)
    return most
