"""Node view: how a node's status looks on a terminal."""

from __future__ import annotations

from typing import Any

import msgspec

from xnode.cli.terminal.brief import brief_age
from xnode.cli.terminal.screen import Screen
from xnode.control.views import NodeStatus


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
            ("home", node.home),
            ("pid", f"{node.pid}, started {brief_age(node.started_at_ns)}"),
            ("version", node.version),
        )
    )
