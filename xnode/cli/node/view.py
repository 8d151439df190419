"""Node view: how a node's status looks on a terminal."""

from __future__ import annotations

from typing import Any

import msgspec

from xnode.cli.terminal.brief import (
    brief_age,
    brief_count,
    brief_date,
    brief_disk,
    brief_duration,
    brief_gas,
    brief_settings,
)
from xnode.cli.terminal.screen import Screen
from xnode.control.views import NodeStatus, StopNotice


def draw_node(screen: Screen, answer: Any) -> None:
    """Print a node.status answer."""
    node = msgspec.convert(answer, NodeStatus)
    troubles = [f"{name}: {reason}" for name, reason in node.ready.items() if reason]
    screen.record(
        (
            ("state", "ready" if not troubles else "not ready"),
            *(("", trouble) for trouble in troubles),
            ("roles", ", ".join(node.roles)),
            ("node", node.node),
            ("chain", str(node.chain_id or "")),
            ("peers", str(node.peers)),
            ("offers known", str(node.offers)),
            ("leases", str(node.leases)),
            *(("" if place else "listening", address) for place, address in enumerate(node.multiaddrs)),
            ("http", node.http),
            *(() if node.gas is None else (("gas", brief_gas(node.gas)),)),
            *(() if node.disk is None else (("disk", brief_disk(node.disk)),)),
            ("home", node.home),
            ("pid", f"{node.pid}, started {brief_age(node.started_at_ns)}"),
            ("version", node.version),
            ("settings", brief_settings(node.settings)),
            *(("hint", hint) for hint in node.hints),
        )
    )


def describe_stop(answer: Any, now_ns: int) -> list[str]:
    """What happens to work under way once the node is stopped, and when; nothing to say gives no line."""
    notice = msgspec.convert(answer, StopNotice)
    lines = []
    for job in notice.jobs:
        left_ns = max(0, job.until_ns - now_ns)
        paid = "is prepaid" if job.is_prepaid else "goes on"
        lines.append(
            f"{job.name} ({job.job_id[:8]}) {paid} until {brief_date(job.until_ns)}, for {brief_duration(left_ns)}"
        )
    if notice.jobs:
        lines.append("a job is stopped as unpaid then, unless this node runs again (xnode daemon start)")
        lines.append("hint: `prepay: 8h` in a job's file lets this node be away for longer")
    if notice.waiting:
        lines.append(
            f"{brief_count(notice.waiting, 'job')} without a lease: no provider is asked until this node runs again"
        )
    if notice.serving:
        lines.append(
            f"{brief_count(notice.serving, 'workload')} of others: they go on, and are billed when this node runs again"
        )
    return lines
