"""Usage: resource x time since the lease began. Cumulative, so the last one says everything."""

from __future__ import annotations

import msgspec

from metering.resources import Resources
from metering.units import NANOS_PER_SECOND, U64, U128, Nanos

CLOCK_SLACK_NS = 250_000_000
"""How much longer than our own clock says a peer may claim: two readings are never taken at one instant."""

BURST_VCPU_NS = NANOS_PER_SECOND // 5
"""CFS grants quota in periods of 100 ms, so a counter may run ahead of its limit by up to two periods of one vCPU."""


class Counters(msgspec.Struct, frozen=True, array_like=True):
    """What the runtime read for one workload since it was created; every number only grows.

    running_ns: wall time between its start and now (or its end); vcpu_ns: CPU time of all its processes;
    *_bytes: network bytes as seen from the workload.
    """

    running_ns: Nanos
    vcpu_ns: U64
    ingress_bytes: U64 = 0
    egress_bytes: U64 = 0


class Usage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """vcpu_ns and bytes are measured; memory, disk and GPUs are reserved, so they count limit x running time."""

    vcpu_ns: U128
    memory_byte_ns: U128
    disk_byte_ns: U128
    gpu_ns: U128
    ingress_bytes: U128
    egress_bytes: U128


NO_USAGE = Usage(U128(0), U128(0), U128(0), U128(0), U128(0), U128(0))

USAGE_FIELDS = ("vcpu_ns", "memory_byte_ns", "disk_byte_ns", "gpu_ns", "ingress_bytes", "egress_bytes")


def usage_of(counters: Counters, resources: Resources) -> Usage:
    """The usage that the counters of a workload with these limits amount to."""
    running = counters.running_ns
    return Usage(
        vcpu_ns=U128(counters.vcpu_ns),
        memory_byte_ns=U128(resources.memory_bytes * running),
        disk_byte_ns=U128(resources.disk_bytes * running),
        gpu_ns=U128(resources.gpus * running),
        ingress_bytes=U128(counters.ingress_bytes),
        egress_bytes=U128(counters.egress_bytes),
    )


def find_fall(before: Usage, after: Usage) -> str | None:
    """The first field that went down, or None."""
    for name in USAGE_FIELDS:
        if getattr(after, name) < getattr(before, name):
            return name
    return None


def usage_ceiling_of(resources: Resources, elapsed_ns: int, network_bytes: int = 0) -> Usage:
    """The most usage a workload with these limits can reach in `elapsed_ns`, with `network_bytes` each way."""
    running = elapsed_ns + CLOCK_SLACK_NS
    vcpus_up = -(-resources.vcpu_milli // 1000)
    return Usage(
        vcpu_ns=U128(resources.vcpu_milli * running // 1000 + vcpus_up * BURST_VCPU_NS),
        memory_byte_ns=U128(resources.memory_bytes * running),
        disk_byte_ns=U128(resources.disk_bytes * running),
        gpu_ns=U128(resources.gpus * running),
        ingress_bytes=U128(network_bytes),
        egress_bytes=U128(network_bytes),
    )
