"""Nodes: the settings of a provider's and a submitter's node, and the change with which each starts."""

from __future__ import annotations

from typing import Any

from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND
from tests.make.values import ASSET, SEPARATOR, address_of, make_offer_body, make_profile, make_tariff
from xnode.config.settings import ProviderConfig, SubmitterConfig
from xnode.node.changes import NodeStarted
from xnode.node.records import ProviderSettings, SubmitterSettings
from xnode.rules import FINAL_VOUCHER_NS, OFFER_TTL_NS, OPENING_TTL_S, QUOTE_WAIT_NS

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


def read_provider_defaults() -> dict[str, Any]:
    """What the product's default settings say of a provider's terms and times."""
    prices, share = {"vcpu_hour": "1", "memory_gib_hour": "1"}, {"vcpus": 1, "memory": "1GiB", "disk": "1GiB"}
    fields = {"owner": "0x" + "ab" * 20, "region": "eu-west", "prices": prices, "share": share}
    config = ProviderConfig.model_validate(fields)
    return {
        "interval_ns": config.interval_ns, "exposure_intervals": config.exposure_intervals,
        "max_duration_ns": config.max_duration_ns, "quote_ttl_ns": config.quote_ttl_ns, "thaw": config.thaw_s,
        "offer_ttl_ns": OFFER_TTL_NS, "final_voucher_ns": FINAL_VOUCHER_NS,
    }  # fmt: skip


def read_submitter_defaults() -> dict[str, Any]:
    """What the product's default settings say of how a submitter buys."""
    config = SubmitterConfig()
    return {
        "quotes": config.quotes, "quote_wait_ns": QUOTE_WAIT_NS, "thaw": config.thaw_s, "opening_ttl_s": OPENING_TTL_S,
        "silence_ns": config.silence_ns, "max_exposure_intervals": config.max_exposure_intervals,
        "max_exposure_ns": config.max_exposure_ns, "max_prepay_ns": config.max_prepay_ns,
    }  # fmt: skip


def make_started(
    number: int = 0, provider: ProviderSettings | None = None, submitter: SubmitterSettings | None = None
) -> NodeStarted:
    """The node of key `number` starts with these settings."""
    return NodeStarted(address_of(number), SEPARATOR, "test", (f"/memory/{number}",), provider, submitter)
