"""Service: what the service manager is told of this node: that it is ready, what it does now, that its event loop turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from xnode.node.lease import OPEN
from xnode.node.records import WAITING, ProviderLease, SubmitterJob, SubmitterLease
from xnode.node.state import State
from xnode.notify import Notifier

LOOK_EVERY_S = 5.0
"""Between two looks at what the node does; the manager is told only what has changed."""

BEATS = 4
"""Signs of life within the time of the watchdog: one or two that come late on a busy host are no reason to end a node."""

STARTING = "starting"
STOPPING = "stopping; workloads go on"


@dataclass(frozen=True, slots=True)
class Doing:
    """What a node does now. serving: leases of others that are open here; buying: jobs of ours that are not over; problems: what
    new leases wait for, by dependency."""

    serving: int = 0
    buying: int = 0
    is_drained: bool = False
    problems: Mapping[str, str] = field(default_factory=dict)


def describe(doing: Doing) -> str:
    """One line: "serving 2 leases; drained; not well: chain: ..."."""
    parts = [
        *([f"serving {_count(doing.serving, 'lease')}"] if doing.serving else []),
        *([f"buying {_count(doing.buying, 'job')}"] if doing.buying else []),
    ]
    return "; ".join(
        [
            *(parts or ["idle"]),
            *(["drained, until `xnode provider resume`"] if doing.is_drained else []),
            *(f"not well: {name}: {reason}" for name, reason in doing.problems.items()),
        ]
    )


def find_doing(state: State, problems: Mapping[str, str]) -> Doing:
    """Of the records at hand."""
    leases = sum(lease.status in OPEN for lease in state.all(SubmitterLease))
    waiting = sum(job.status in (*WAITING, "leasing") for job in state.all(SubmitterJob))
    serving = sum(lease.status in OPEN for lease in state.all(ProviderLease))
    return Doing(serving, leases + waiting, bool(state.settings.drained_at_ns), problems)


class Service:
    """Speaks for the whole daemon; without a manager it does nothing. look: what the node does now."""

    def __init__(self, notifier: Notifier, look: Callable[[], Doing]) -> None:
        self._notifier, self._look = notifier, look
        self._shown = ""

    def start(self) -> None:
        """The process has begun."""
        self._notifier.show(STARTING)

    def ready(self) -> None:
        """Leases are taken up again and commands answered. What only new leases wait for (the chain, the engine) is in the
        status: a manager that waited for it would end a node that serves."""
        self._shown = describe(self._look())
        self._notifier.ready(self._shown)

    def stop(self) -> None:
        """The order to stop has come."""
        self._notifier.stopping(STOPPING)

    async def run(self) -> None:
        """Until cancelled, from ready() on."""
        if not self._notifier.is_heard:
            return
        every_s = min(LOOK_EVERY_S, self._notifier.watchdog_s / BEATS or LOOK_EVERY_S)
        while True:
            # First the sign of life: what follows may fail, and is started again by the supervisor.
            self._notifier.alive()
            now = describe(self._look())
            if now != self._shown:
                self._shown = now
                self._notifier.show(now)
            await trio.sleep(every_s)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
