"""Metrics: the node's numbers for Prometheus, read when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from xnode.loop import Loop
from xnode.net.edge import Net
from xnode.node.records import ProviderLease, SubmitterLease
from xnode.ports.chain import Fuel

ChainStatus = tuple[str, Fuel | None]


class NodeCollector:
    """Leases by side and status, the journal's pace, gas, and the net's counters."""

    def __init__(self, loop: Loop, net: Net, status: Callable[[], ChainStatus]) -> None:
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
        yield CounterMetricFamily("xnode_journal_commits", "Commits of the journal.", value=self._loop.commits)
        yield CounterMetricFamily("xnode_journal_entries", "Changes in the journal.", value=self._loop.entries)
        problem, fuel = self._status()
        yield GaugeMetricFamily(
            "xnode_chain_ok", "1 while the chain node answers and its chain goes on.", value=not problem
        )
        if fuel is not None:
            yield GaugeMetricFamily("xnode_gas_wei", "What the node key has for transactions, in wei.", value=fuel.wei)
            affordable = "For about how many transactions that is enough."
            yield GaugeMetricFamily("xnode_gas_transactions", affordable, value=fuel.transactions)
        counters = self._net.counters
        for name in counters.__dataclass_fields__:
            value = getattr(counters, name)
            if isinstance(value, int):
                yield GaugeMetricFamily(f"xnode_net_{name}", f"Net edge: {name.replace('_', ' ')}.", value=value)


def register_metrics(
    registry: CollectorRegistry, loop: Loop, net: Net, status: Callable[[], ChainStatus] = lambda: ("", None)
) -> None:
    """Let the registry read this node. status: what is wrong with the chain now, and what the node key can pay for."""
    registry.register(NodeCollector(loop, net, status))
