"""Nodes: the settings of a provider's and a submitter's node, and the change with which each starts."""

from __future__ import annotations

from typing import Any

from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND
from tests.make.values import ASSET, SEPARATOR, address_of, make_offer_body, make_profile, make_tariff
from xnode.node.changes import NodeStarted
from xnode.node.records import ProviderSettings, SubmitterSettings

PAYER = 500
"""Number of the payer's key; the submitter's node has a hot key of its own."""

OWNER = 1000
"""A provider's owner has the number of its node's key and this."""


def make_provider_settings(number: int, **changes: Any) -> ProviderSettings:
    """A provider with room for many jobs."""
    values: dict[str, Any] = {
        "owner": address_of(OWNER + number), "profile": make_profile(), "capacity": make_offer_body().capacity,
        "tariff": make_tariff(), "asset": ASSET, "region": "eu-west", "interval_ns": 5 * NANOS_PER_SECOND,
        "exposure_intervals": 2, "min_duration_ns": NANOS_PER_SECOND, "max_duration_ns": 24 * NANOS_PER_HOUR,
        "thaw": 60, "allows_network": False, "runtime": "crun", "quote_ttl_ns": 30 * NANOS_PER_SECOND,
        "offer_ttl_ns": NANOS_PER_HOUR, "final_voucher_ns": 60 * NANOS_PER_SECOND,
    }  # fmt: skip
    return ProviderSettings(**(values | changes))


def make_submitter_settings(**changes: Any) -> SubmitterSettings:
    """A submitter that asks three and waits for a minute."""
    values: dict[str, Any] = {
        "payer": address_of(PAYER), "quotes": 3, "quote_wait_ns": 3 * NANOS_PER_SECOND, "thaw": 60,
        "opening_ttl_s": 120, "silence_ns": 40 * NANOS_PER_SECOND,
    }  # fmt: skip
    return SubmitterSettings(**(values | changes))


def make_started(
    number: int = 0, provider: ProviderSettings | None = None, submitter: SubmitterSettings | None = None
) -> NodeStarted:
    """The node of key `number` starts with these settings."""
    return NodeStarted(address_of(number), SEPARATOR, "test", (f"/memory/{number}",), provider, submitter)
