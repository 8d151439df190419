"""Capture terms: the recommended settings, as the example of a deployment plan has them, and the prices they are weighed by."""

from __future__ import annotations

import tomllib
from fractions import Fraction
from pathlib import Path

from xnode.chain.deployment.capture import Prices, Terms

PLAN = Path(__file__).parents[2] / "contracts" / "plan.example.toml"

HOUR_S = 3_600

PRICES = Prices(gpu_hour=Fraction(1), vcpu_hour=Fraction(1, 40))
"""Half of the collateral that the example plan asks for each: a network sets its collateral above what its credits sell for."""


def read_terms(plan: Path = PLAN) -> Terms:
    """The settings of a plan that decide what an attack costs."""
    raw = tomllib.loads(plan.read_text())
    capacity, credits = raw["capacity"], raw["credits"]
    return Terms(
        panel=capacity["panel_size"],
        quorum=capacity["quorum"],
        min_list=capacity["min_list"],
        fee=_read_amount(capacity["fee"]),
        device_fee=_read_amount(capacity["device_fee"]),
        pledge=int(_read_amount(capacity["verifier_stake"])),
        window_hours=credits["window_hours"],
        validity_hours=capacity["validity_s"] // HOUR_S,
        gpu_collateral=_read_amount(credits["gpu_collateral"]),
    )


def _read_amount(text: str) -> Fraction:
    return Fraction(text.replace("_", ""))
