"""Bounds: what the contracts take of each number in a plan, so that one that does not fit is named by its key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from xnode.chain.deployment.misfit import Place
from xnode.text.amount import OPENX_DECIMALS, format_amount

if TYPE_CHECKING:
    from xnode.chain.deployment.plan import Plan

DAY_S = 86_400

MOST_DELAY_S = 365 * DAY_S
"""The timelock's own type has no end; after a year nobody waits for anything."""

U8, U16, U32, U96 = ((1 << bits) - 1 for bits in (8, 16, 32, 96))

NUMBERS = {
    "stake_thaw_s": (1, 90 * DAY_S),
    "escrow_min_thaw_s": (1, 30 * DAY_S),
    "confirmations": (1, 10_000),
    "governance.delay_s": (0, MOST_DELAY_S),
    "credits.window_hours": (1, 8_760),
    "capacity.draw_delay_blocks": (1, U16),
    "capacity.panel_size": (1, U8),
    "capacity.quorum": (1, U8),
    "capacity.min_panel": (1, U8),
    "capacity.min_list": (1, U16),
    "capacity.answer_time_s": (1, U32),
    "capacity.validity_s": (1, U32),
    "capacity.spot_check_pause_s": (0, U32),
    "capacity.recheck_time_s": (1, U32),
    "capacity.leave_delay_s": (1, U32),
}
"""The constants of ProviderRegistry, PaymentEscrow and ComputeCredit, the manifest's own, and for the rest what the contracts'
types hold: ChallengeRules and VerifierRegistry then say more narrowly what they take."""

AMOUNTS = {
    "credits.gpu_collateral": (10**12, 10**24),
    "credits.cpu_collateral": (10**12, 10**24),
    "capacity.fee": (0, U96),
    "capacity.device_fee": (0, U96),
    "capacity.verifier_stake": (0, U96),
}
"""In OPENX base units."""

CLASS_NUMBERS = {"weight_milli": (1, 1_000_000), "n": (1, 131_072), "time_limit_ms": (1, 600_000)}
"""Of each device class: ChallengeRules' constants."""

IN_SECONDS = {"confirmations": "confirmation_s", "capacity.draw_delay_blocks": "capacity.draw_delay_s"}
"""What contracts and nodes count in blocks, and what the file has for it."""


class Outside(NamedTuple):
    """A number that no contract takes. what: follows its key."""

    place: Place
    what: str


def find_outside(plan: Plan) -> Iterator[Outside]:
    """All numbers of a plan that are out of bounds."""
    for key, (least, most) in NUMBERS.items():
        value = _read(plan, key)
        if not least <= value <= most:
            blocks = " blocks" if key in IN_SECONDS else ""
            what = f"must be between {least} and {most}{blocks}, not {value}"
            yield Outside(tuple(IN_SECONDS.get(key, key).split(".")), what)
    for key, (least, most) in AMOUNTS.items():
        value = _read(plan, key)
        if not least <= value <= most:
            low, high, given = (format_amount(one, OPENX_DECIMALS) for one in (least, most, value))
            yield Outside(tuple(key.split(".")), f"must be between {low} and {high} OPENX, not {given}")
    for number, one in enumerate(plan.classes):
        for name, (least, most) in CLASS_NUMBERS.items():
            if not least <= (value := getattr(one, name)) <= most:
                yield Outside(("classes", number, name), f"must be between {least} and {most}, not {value}")


def _read(plan: Plan, key: str) -> int:
    found: object = plan
    for name in key.split("."):
        found = getattr(found, name)
    assert isinstance(found, int)
    return found
