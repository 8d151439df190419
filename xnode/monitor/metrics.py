"""Metrics: the node's numbers for Prometheus, read when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from xnode.challenge.demands import NONE_OPEN, RevealState
from xnode.loop import Loop
from xnode.net.edge import Net
from xnode.node.records import ProviderLease, SilenceClaim, SubmitterLease
from xnode.ports.chain import Fuel
from xnode.upkeep.keeper import DiskState


@dataclass(frozen=True, slots=True)
class Measured:
    """What others know. chain_problem: "" when the chain is well; fuel, disk: None before they are known; standing:
    "jail" and "credits", where the chain holds that against the provider."""

    chain_problem: str = ""
    fuel: Fuel | None = None
    disk: DiskState | None = None
    reveals: RevealState = NONE_OPEN
    standing: frozenset[str] = frozenset()


class NodeCollector:
    """Leases by side and status, the journal's pace, gas, and the net's counters."""

    def __init__(self, loop: Loop, net: Net, status: Callable[[], Measured]) -> None:
        self._loop, self._net, self._status = loop, net, status

    def collect(self) -> Iterator[Metric]:
        """One reading."""
        leases = GaugeMetricFamily("xnode_leases", "Leases at hand, by side and status.", labels=("side", "status"))
        counts: Counter[tuple[str, str]] = Counter()
        counts.update(("provider", lease.status) for lease in self._loop.state.all(ProviderLease))
        counts.update(("submitter", lease.status) for lease in self._loop.state.all(SubmitterLease))
        for key, count in counts.items():
            leases.add_metric(key, count)
        yield leases
        silent = sum(one.is_open for one in self._loop.state.all(SilenceClaim))
        claims = "Claims on chain that this provider is silent about a lease, not answered yet."
        yield GaugeMetricFamily("xnode_silences_claimed", claims, value=silent)
        yield CounterMetricFamily("xnode_journal_commits", "Commits of the journal.", value=self._loop.commits)
        yield CounterMetricFamily("xnode_journal_entries", "Changes in the journal.", value=self._loop.entries)
        measured = self._status()
        problem, fuel = measured.chain_problem, measured.fuel
        yield GaugeMetricFamily(
            "xnode_chain_ok", "1 while the chain node answers and its chain goes on.", value=not problem
        )
        if fuel is not None:
            yield GaugeMetricFamily("xnode_gas_wei", "What the node key has for transactions, in wei.", value=fuel.wei)
            affordable = "For about how many transactions that is enough."
            yield GaugeMetricFamily("xnode_gas_transactions", affordable, value=fuel.transactions)
        jail, default = "jail" in measured.standing, "credits" in measured.standing
        yield GaugeMetricFamily("xnode_provider_jailed", "1 from a failed challenge to the next passed.", value=jail)
        yield GaugeMetricFamily("xnode_credits_in_default", "1 while credits sold cannot be served.", value=default)
        yield from _describe_disk(measured.disk)
        yield from describe_reveals(measured.reveals)
        counters = self._net.counters
        for name in counters.__dataclass_fields__:
            value = getattr(counters, name)
            if isinstance(value, int):
                yield GaugeMetricFamily(f"xnode_net_{name}", f"Net edge: {name.replace('_', ' ')}.", value=value)


def _describe_disk(disk: DiskState | None) -> Iterator[Metric]:
    if disk is None:
        return
    yield GaugeMetricFamily("xnode_disk_free_bytes", "Free on the disk of data_dir.", value=disk.reading.free_bytes)
    least = "Below so much free space no new work is taken."
    yield GaugeMetricFamily("xnode_disk_min_free_bytes", least, value=disk.rules.min_free_bytes)
    leases = "Allocated to the disks of leases."
    yield GaugeMetricFamily("xnode_disk_leases_bytes", leases, value=disk.reading.leased_bytes)
    own = GaugeMetricFamily("xnode_disk_own_bytes", "What the node's own files take, by kind.", labels=("kind",))
    for kind, size_bytes in disk.own.items():
        own.add_metric((kind,), size_bytes)
    yield own
    yield CounterMetricFamily("xnode_disk_freed_bytes", "Removed because nobody needs it.", value=disk.freed_bytes)


def describe_reveals(reveals: RevealState) -> Iterator[Metric]:
    """What is asked of this host's recorded answers."""
    asked = "Demands on chain to show leaves of recorded answers, not answered yet."
    yield GaugeMetricFamily("xnode_reveals_open", asked, value=reveals.open)
    until = "When the first of them is due, in the chain's seconds; 0 when none is open."
    yield GaugeMetricFamily("xnode_reveals_until_seconds", until, value=reveals.until_s)
    late = "Those that cannot be met in time as things are."
    yield GaugeMetricFamily("xnode_reveals_late", late, value=reveals.late)


def register_metrics(
    registry: CollectorRegistry, loop: Loop, net: Net, status: Callable[[], Measured] = Measured
) -> None:
    """Let the registry read this node. status: what is not the loop's or the net's to know."""
    registry.register(NodeCollector(loop, net, status))
