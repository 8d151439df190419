"""Tariff: unit prices, and the one pricing function that quote and bill both use."""

from __future__ import annotations

import msgspec

from metering.resources import Resources
from metering.units import BYTES_PER_GB, BYTES_PER_GIB, NANOS_PER_HOUR, U128_MAX, Amount, mul_div_down
from metering.usage import Counters, Usage, usage_ceiling_of, usage_of


class Tariff(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base units of the lease's asset per vCPU-hour, GiB-hour, GPU-hour and per GB (10**9 bytes) of network."""

    vcpu_hour: Amount
    memory_gib_hour: Amount
    disk_gib_hour: Amount
    gpu_hour: Amount
    ingress_gb: Amount
    egress_gb: Amount


# Everything is brought to one denominator, an hour of nanoseconds times a GiB of bytes, so that cost is rounded once.
COST_DIVISOR = NANOS_PER_HOUR * BYTES_PER_GIB
_PER_BYTE = COST_DIVISOR // BYTES_PER_GB


def cost_of(usage: Usage, tariff: Tariff) -> Amount:
    """What the usage comes to under the tariff, rounded down once; the largest Amount when it is more than that.

    A stranger's prices and counts may multiply to anything: no cost limit or budget reaches the largest Amount.
    """
    parts = (
        (usage.vcpu_ns * tariff.vcpu_hour + usage.gpu_ns * tariff.gpu_hour) * BYTES_PER_GIB
        + usage.memory_byte_ns * tariff.memory_gib_hour
        + usage.disk_byte_ns * tariff.disk_gib_hour
        + (usage.ingress_bytes * tariff.ingress_gb + usage.egress_bytes * tariff.egress_gb) * _PER_BYTE
    )
    return Amount(min(mul_div_down(parts, 1, COST_DIVISOR), U128_MAX))


def weights_of(usage: Usage) -> tuple[int, ...]:
    """What one base unit of each of the tariff's prices, in their order, adds to the cost, times COST_DIVISOR: the cost
    is the sum of weight x price, divided by COST_DIVISOR once and rounded down, as cost_of does."""
    return (
        usage.vcpu_ns * BYTES_PER_GIB,
        int(usage.memory_byte_ns),
        int(usage.disk_byte_ns),
        usage.gpu_ns * BYTES_PER_GIB,
        usage.ingress_bytes * _PER_BYTE,
        usage.egress_bytes * _PER_BYTE,
    )


def cost_ceiling_of(resources: Resources, tariff: Tariff, duration_ns: int, network_bytes: int = 0) -> Amount:
    """The most a workload with these limits can cost in `duration_ns`, with `network_bytes` each way."""
    usage = usage_ceiling_of(resources, duration_ns, network_bytes)
    return Amount(min(cost_of(usage, tariff) + 1, U128_MAX))


def hourly_price_of(resources: Resources, tariff: Tariff) -> Amount:
    """The price of one fully used hour of these resources, without network: what a person compares."""
    counters = Counters(running_ns=NANOS_PER_HOUR, vcpu_ns=resources.vcpu_milli * NANOS_PER_HOUR // 1000)
    return cost_of(usage_of(counters, resources), tariff)


def find_higher_price(tariff: Tariff, bid: Tariff) -> str | None:
    """The first price of the tariff that is above the bid's, or None."""
    for name in Tariff.__struct_fields__:
        if getattr(tariff, name) > getattr(bid, name):
            return name
    return None
