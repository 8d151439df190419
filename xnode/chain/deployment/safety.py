"""Safety: which settings of a plan would lose money or trust on its kind of chain, and why."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from xnode.chain.deployment.capture import AIM, Prices, Terms, find_device_fee, more_than_two_thirds, price_attack
from xnode.chain.deployment.chains import CHAINS, DAY_S, DEVNET, OPENING_BLOCKS, OPENING_MOST_S

if TYPE_CHECKING:
    from xnode.chain.deployment.plan import Plan

OUTAGE_S = DAY_S
"""A daemon or its host that is down is back within a day: longer than a person sleeps."""

LEAST_STAKE_THAW_S = 7 * DAY_S
"""A fault must be found, committed to and proved while the stake that pays for it is still there."""

LEAST_PANEL = 5
"""Two of three are bought at the price of two."""

LEAST_LIST = 10
"""A panel of so few is the whole list, and who adds half as many is more than a third of it (docs/economics.md)."""

MOST_VERIFIERS = 512
"""As many as VerifierList has seats: a longer list would be captured more often."""

SYBIL_PERCENT = 33
"""Of a list, in one hand."""

MOST_DEVICES = 1024
"""Of one challenge, whose own fee counts least then."""

SOLD_AT = Fraction(1, 2)
"""What a credit sells for, as a part of its collateral: a network sets its collateral above that."""

OPENX_UNITS = 10**18


class Unsafe(NamedTuple):
    """One setting. reason: follows its name in a sentence."""

    setting: str
    reason: str
    hint: str


def find_unsafe(plan: Plan) -> Iterator[Unsafe]:
    """All that is unsafe in a plan, the most dangerous first; nothing on a devnet."""
    if plan.chain == DEVNET:
        return
    yield from _find_short_waits(plan)
    yield from _find_weak_draws(plan)


def least_escrow_thaw_s(chain: str) -> int:
    """As long as a sequencer can keep a claim out, and a daemon be down before that."""
    return CHAINS[chain].inclusion_s + OUTAGE_S


def _find_short_waits(plan: Plan) -> Iterator[Unsafe]:
    chain, capacity = CHAINS[plan.chain], plan.capacity
    claim_s = least_escrow_thaw_s(plan.chain)
    late = f"a provider that is down for a day{_describe_inclusion(plan.chain)} loses what was vouchered"
    if plan.escrow_min_thaw_s < claim_s:
        yield _make_short("escrow_min_thaw_s", plan.escrow_min_thaw_s, claim_s, late)
    if plan.governance.delay_s < claim_s:
        why = "a fee that is raised also applies to vouchers that were signed before"
        yield _make_short("governance.delay_s", plan.governance.delay_s, claim_s, why)
    if plan.stake_thaw_s < LEAST_STAKE_THAW_S:
        why = "stake is gone before a fault can be found and proved"
        yield _make_short("stake_thaw_s", plan.stake_thaw_s, LEAST_STAKE_THAW_S, why)
    leave_s = capacity.validity_s + plan.stake_thaw_s
    if capacity.leave_delay_s < leave_s:
        why = "a verifier is gone while what it signed is still in force, or can still be proved false"
        yield _make_short("capacity.leave_delay_s", capacity.leave_delay_s, leave_s, why)
    settled_s = plan.confirmations * plan.block_ms // 1000
    if settled_s < chain.settle_s:
        why = f"blocks of {plan.chain} still go back then"
        yield _make_short("confirmation_s", settled_s, chain.settle_s, why)
    most_s = int(OPENING_MOST_S) - OPENING_BLOCKS * plan.block_ms // 1000
    if settled_s > most_s:
        why = "a provider stops a job before its opening counts"
        yield Unsafe("confirmation_s", f"is {settled_s} s, too long: {why}", f"set at most {most_s}")


def _find_weak_draws(plan: Plan) -> Iterator[Unsafe]:
    chain, capacity = CHAINS[plan.chain], plan.capacity
    if chain.draw_delay_s is None:
        yield Unsafe(
            "chain",
            f"is {plan.chain}, where prevrandao is no random number: everyone would know each panel in advance",
            "choose another chain; a source of randomness for this one (IRandomness) is not part of this version",
        )
    elif (delay_s := capacity.draw_delay_blocks * plan.number_ms // 1000) < chain.draw_delay_s:
        why = "who requests a challenge could know or choose its panel"
        yield _make_short("capacity.draw_delay_s", delay_s, chain.draw_delay_s, why)
    for name, least in (("panel_size", LEAST_PANEL), ("min_panel", LEAST_PANEL), ("min_list", LEAST_LIST)):
        if (number := getattr(capacity, name)) < least:
            yield Unsafe(f"capacity.{name}", f"is {number}: so few are cheap to buy", f"set at least {least}")
            return
    yield from _find_cheap_panels(plan)


def _find_cheap_panels(plan: Plan) -> Iterator[Unsafe]:
    """A fee for which panels can be tried until one lies, by who has a third of a list of any length."""
    terms, prices, draws = _make_terms(plan), _find_prices(plan), CHAINS[plan.chain].draws
    if not (terms.window_hours * prices.gpu_hour and more_than_two_thirds(terms.panel) <= terms.quorum <= terms.panel):
        # The contracts refuse it anyway.
        return
    lists = tuple(range(terms.min_list, MOST_VERIFIERS + 1))
    attacks = (price_attack(terms, prices, length, SYBIL_PERCENT, draws, MOST_DEVICES).times for length in lists)
    worst = min((times for times in attacks if times is not None), default=None)
    if worst is None or worst >= AIM:
        return
    needed = find_device_fee(terms, prices, lists, (SYBIL_PERCENT,), draws)
    reason = (
        f"is {float(terms.device_fee):g} OPENX: on {plan.chain} a panel that lies costs {int(worst)} times what its verdict "
        f"sells for, and should cost {AIM}"
    )
    hint = f"set at least {ceil(needed * 10**6) / 10**6:g}, or a higher quorum"
    yield Unsafe("capacity.device_fee", reason, hint)


def _make_terms(plan: Plan) -> Terms:
    capacity = plan.capacity
    return Terms(
        panel=capacity.panel_size,
        quorum=capacity.quorum,
        min_list=capacity.min_list,
        fee=Fraction(capacity.fee, OPENX_UNITS),
        device_fee=Fraction(capacity.device_fee, OPENX_UNITS),
        pledge=int(Fraction(capacity.verifier_stake, OPENX_UNITS)),
        window_hours=plan.credits.window_hours,
        validity_hours=capacity.validity_s // 3600,
        gpu_collateral=Fraction(plan.credits.gpu_collateral, OPENX_UNITS),
    )


def _find_prices(plan: Plan) -> Prices:
    """Of an hour of the heaviest device that a class is for, of either kind: that is what an attack would declare."""
    credits = plan.credits
    by_kind = {"gpu": credits.gpu_collateral, "cpu": credits.cpu_collateral}
    worth = max(Fraction(by_kind[one.kind] * one.weight_milli, 1000 * OPENX_UNITS) for one in plan.classes)
    return Prices(gpu_hour=SOLD_AT * worth, vcpu_hour=SOLD_AT * Fraction(credits.cpu_collateral, OPENX_UNITS))


def _make_short(setting: str, set_s: int, least_s: int, why: str) -> Unsafe:
    return Unsafe(setting, f"is {set_s} s, too short: {why}", f"set at least {least_s}")


def _describe_inclusion(chain: str) -> str:
    hours = CHAINS[chain].inclusion_s // 3600
    return f", or kept out by the sequencer for {hours} hours," if hours else ""
