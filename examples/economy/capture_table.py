"""Capture table: what a captured panel costs and what silence costs honest providers, in markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from examples.economy.capture import LISTS, PERCENTS, SEQUENCER_CENSORS, SEQUENCER_DRIFT, odds_of_lapse
from xnode.chain.deployment.capture import (
    AIM,
    Attack,
    Prices,
    Terms,
    find_device_fee,
    more_than_two_thirds,
    odds_of_capture,
    price_attack,
)
from xnode.chain.deployment.chains import BLOCK_MAKER_DRAWS, LATE_DRAWS

PANELS = (7, 15, 31)
DEVICES = 1024
"""As many as one challenge declares: then the fee of the challenge itself counts least."""

MOST_FEE_PERCENT = 1
"""Of what a vCPU earns while its verdict is good: a fee for a device that an honest provider hardly notices."""


def make_capture_tables(terms: Terms, prices: Prices) -> str:
    """Markdown: the odds and prices under the recommended terms, the choice of the quorum, and what silent verifiers do."""
    parts = [*_make_attacks(terms, prices), "", *_make_makers(terms, prices), "", *_make_choice(terms, prices)]
    return "\n".join([*parts, "", *_make_silence(terms)])


def choose_quorum(terms: Terms, prices: Prices) -> tuple[int, Fraction]:
    """The least quorum, and so the one that waits for fewest verifiers, under which the fee that makes attacks expensive is
    small; and that fee."""
    most = MOST_FEE_PERCENT * terms.validity_hours * prices.vcpu_hour / 100
    for quorum in range(more_than_two_thirds(terms.panel), terms.panel + 1):
        fee = find_device_fee(replace(terms, quorum=quorum), prices, LISTS, PERCENTS, BLOCK_MAKER_DRAWS)
        if fee <= most:
            return quorum, fee
    raise ValueError(f"no quorum of a panel of {terms.panel} is enough")


def _make_attacks(terms: Terms, prices: Prices) -> Iterator[str]:
    yield "### What a captured panel costs"
    yield ""
    yield (
        f"Panel {terms.panel}, quorum {terms.quorum}, {show(terms.device_fee)} OPENX a device and {show(terms.fee)} a "
        f"challenge, {DEVICES:,} GPUs declared that are not there. An hour of a GPU sells for {show(prices.gpu_hour)} OPENX and "
        f"{terms.window_hours} hours may be sold ahead: {show(terms.window_hours * prices.gpu_hour)} OPENX a device, for which "
        f"{show(terms.window_hours * terms.gpu_collateral)} of stake must lie there. The attacker makes a third of all blocks: "
        f"{BLOCK_MAKER_DRAWS} draws for one fee."
    )
    yield ""
    yield (
        "| verifiers | theirs | pledged OPENX | a panel is captured once in "
        "| fees lost for a device | times what it sells for |"
    )
    yield "|---|---|---|---|---|---|"
    for verifiers in LISTS:
        for percent in PERCENTS:
            attack = price_attack(terms, prices, verifiers, percent, BLOCK_MAKER_DRAWS, DEVICES)
            yield (
                f"| {verifiers:,} | {percent} % | {attack.pledged:,} | {_show_odds(attack)} | "
                f"{_show_whole(attack.cost)} | {_show_whole(attack.times)} |"
            )


def _make_makers(terms: Terms, prices: Prices) -> Iterator[str]:
    yield "### Who makes the blocks"
    yield ""
    yield (
        f"The worst case of the table above, {LISTS[-1]:,} verifiers of which {PERCENTS[-1]} % are theirs, "
        "by who the attacker is. One that makes no blocks may still call the draw in each, through a contract that reverts when "
        "it dislikes the panel, until an honest verifier's draw is in:"
    )
    yield ""
    yield "| the attacker | draws for one fee | times what it sells for |"
    yield "|---|---|---|"
    who = (
        ("makes no blocks", LATE_DRAWS),
        ("makes a third of all blocks", BLOCK_MAKER_DRAWS),
        ("is the sequencer of an OP-stack chain, within its drift", SEQUENCER_DRIFT),
        ("is that sequencer and keeps draws out for 12 hours", SEQUENCER_CENSORS),
    )
    for name, chances in who:
        attack = price_attack(terms, prices, LISTS[-1], PERCENTS[-1], chances, DEVICES)
        yield f"| {name} | {chances:,} | {_show_whole(attack.times)} |"


def _make_choice(terms: Terms, prices: Prices) -> Iterator[str]:
    yield "### The choice of panel and quorum"
    yield ""
    yield (
        f"The fee for a device that makes every attack of the first table cost {AIM} times its worth, and how often "
        f"an honest challenge of {LISTS[-1]:,} verifiers lapses when a part of them keeps silent. "
        "Recommended: the least quorum whose fee is at most "
        f"{MOST_FEE_PERCENT} % of the {show(terms.validity_hours * prices.vcpu_hour)} OPENX that a vCPU earns in the "
        f"{terms.validity_hours} hours of a verdict."
    )
    yield ""
    shares = " | ".join(f"lapses with {percent} % silent" for percent in PERCENTS)
    yield f"| panel | quorum | captured with {PERCENTS[-1]} % once in | needed fee a device | {shares} |"
    yield "|---|---|---|---|" + "---|" * len(PERCENTS)
    for panel in PANELS:
        for quorum in range(more_than_two_thirds(panel), min(panel, more_than_two_thirds(panel) + 6) + 1):
            one = replace(terms, panel=panel, quorum=quorum)
            odds = odds_of_capture(one, LISTS[-1], PERCENTS[-1])
            fee = find_device_fee(one, prices, LISTS, PERCENTS, BLOCK_MAKER_DRAWS)
            lapses = " | ".join(_show_percent(odds_of_lapse(one, LISTS[-1], percent)) for percent in PERCENTS)
            mark = "**" if (panel, quorum) == (terms.panel, terms.quorum) else ""
            yield f"| {mark}{panel}{mark} | {mark}{quorum}{mark} | {_show_whole(1 / odds)} | {show(fee)} | {lapses} |"


def _make_silence(terms: Terms) -> Iterator[str]:
    yield "### What silence costs"
    yield ""
    yield "Challenges that an honest provider needs on average until one has a quorum, while a part of the list keeps silent:"
    yield ""
    yield "| verifiers | " + " | ".join(f"{percent} % silent" for percent in PERCENTS) + " |"
    yield "|---|" + "---|" * len(PERCENTS)
    for verifiers in LISTS:
        needed = [_show_tries(odds_of_lapse(terms, verifiers, percent)) for percent in PERCENTS]
        yield f"| {verifiers:,} | " + " | ".join(needed) + " |"


def show(amount: Fraction) -> str:
    """An amount in two digits or more, rounded up."""
    for decimals in range(7):
        scaled = amount * 10**decimals
        if scaled.denominator == 1 or scaled >= 10:
            break
    whole = -(-scaled.numerator // scaled.denominator)
    return f"{whole / 10**decimals:,.{decimals}f}"


def _show_odds(attack: Attack) -> str:
    return "never" if not attack.odds else _show_whole(1 / attack.odds)


def _show_whole(number: Fraction | None) -> str:
    """Rounded down, as every number here that the design wants to be large."""
    if number is None:
        return "cannot be had"
    return f"{int(number):,}" if number < 10**9 else f"10^{len(str(int(number))) - 1}"


def _show_percent(odds: Fraction) -> str:
    percent = float(100 * odds)
    if percent < 0.001:
        return "under 0.001 %" if odds else "never"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def _show_tries(lapse: Fraction) -> str:
    return "never" if lapse == 1 else f"{float(1 / (1 - lapse)):.3g}"
