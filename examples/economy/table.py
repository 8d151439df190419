"""Table: how a scenario ended, in markdown."""

from __future__ import annotations

from collections.abc import Iterable

from examples.economy.market import UNIT
from examples.economy.party import Provider, Role
from examples.economy.scenario import Outcome

_HEAD = (
    "| providers that | how many | minted | sold for OPENX | served | redeemed | paid from stake | gained OPENX | still held |",
    "|---|---|---|---|---|---|---|---|---|",
)


def make_table(outcome: Outcome) -> str:
    """Markdown: what each role did and what it got; amounts in whole tGPU and OPENX, rounded down."""
    lines = [f"### {outcome.scenario.name}", "", *_HEAD]
    for role in Role:
        parties = [one for one in outcome.providers if one.role is role]
        if parties:
            lines.append(_make_row(role, parties, outcome))
    lines += ["", *_make_notes(outcome)]
    return "\n".join(lines)


def show(amount: int) -> str:
    """Base units as a number with one decimal, rounded toward zero."""
    tenths = abs(amount) * 10 // UNIT
    sign = "-" if amount < 0 and tenths else ""
    return f"{sign}{tenths // 10:,}.{tenths % 10}"


def _make_row(role: Role, parties: Iterable[Provider], outcome: Outcome) -> str:
    ours = list(parties)
    sums = (
        sum(one.minted for one in ours),
        sum(one.revenue for one in ours),
        sum(one.served for one in ours),
        sum(one.redeemed for one in ours),
        sum(one.paid_out for one in ours),
        sum(outcome.gains[one.name] for one in ours),
        sum(outcome.left_held[one.name] for one in ours),
    )
    return f"| {role.value} | {len(ours)} | " + " | ".join(show(one) for one in sums) + " |"


def _make_notes(outcome: Outcome) -> list[str]:
    days, scenario = outcome.days, outcome.scenario
    refused: dict[str, int] = {}
    for provider in outcome.providers:
        for name, count in provider.refused.items():
            refused[name] = refused.get(name, 0) + count
    most_short = max(days, key=lambda day: day.short)
    notes = [
        f"- {len(days)} days, {outcome.acts} transactions, {len(outcome.submitters)} submitters who used "
        f"{show(sum(one.spent for one in outcome.submitters))} tGPU; a tGPU sold for {show(scenario.price)} OPENX.",
        f"- Most that was outstanding above capacity: {show(most_short.short)} tGPU on day {most_short.number}; it needed "
        f"{show(most_short.short_collateral)} OPENX of collateral, and {show(most_short.short_backing)} lay there.",
    ]
    washers = [one for one in outcome.providers if one.role is Role.WASHES]
    if washers:
        gained = sum(outcome.gains[one.name] for one in washers)
        position = sum(outcome.positions[one.name] for one in washers)
        notes.append(
            f"- Wash-traders paid themselves {show(sum(one.served for one in washers))} tGPU and gained {show(gained)} OPENX "
            f"(challenge fees) and {show(position)} tGPU (the escrow's fee)."
        )
    if refused:
        causes = ", ".join(f"{count} x {name}" for name, count in sorted(refused.items()))
        notes.append(
            f"- Attempts to over-mint, or to take away stake that is collateral: {sum(refused.values())}, all refused ({causes})."
        )
    return notes
