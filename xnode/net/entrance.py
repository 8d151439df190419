"""Entrance: which connections that have not proved who they are may stay, and whose handshake is next.

A socket costs its sender nothing, so that no bound may be one that strangers can fill: when there is no room, the one that has
said nothing for the longest gives way, from the place that has the most. Pure: the time comes in.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from dataclasses import dataclass, field


def source_of(host: str) -> str:
    """Who is behind an IP address, as far as one can tell: the address, of IPv6 the network that one host is given."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


@dataclass(slots=True)
class Waiting:
    """Sockets that have said nothing yet, by source, those that wait longest first. at_once_source, at_once_total: how many."""

    at_once_source: int
    at_once_total: int
    _sources: dict[str, OrderedDict[int, None]] = field(default_factory=dict)
    _count: int = 0

    def __len__(self) -> int:
        return self._count

    def enter(self, source: str, ticket: int) -> int | None:
        """Take one in; the ticket of the one that has to leave for it, or None."""
        leaver = None
        if len(self._sources.get(source, ())) >= self.at_once_source:
            leaver = self._drop_oldest(source)
        elif self._count >= self.at_once_total:
            leaver = self._drop_oldest(max(self._sources, key=lambda one: len(self._sources[one])))
        self._sources.setdefault(source, OrderedDict())[ticket] = None
        self._count += 1
        return leaver

    def leave(self, source: str, ticket: int) -> None:
        """It spoke, or it has gone; says nothing of one that had to leave already."""
        tickets = self._sources.get(source)
        if tickets is None or ticket not in tickets:
            return
        del tickets[ticket]
        self._count -= 1
        if not tickets:
            del self._sources[source]

    def _drop_oldest(self, source: str) -> int:
        ticket = next(iter(self._sources[source]))
        self.leave(source, ticket)
        return ticket


@dataclass(slots=True)
class Turns:
    """Whose handshake is next: sources take turns, each with those that came first; places from which we know somebody come
    before all others. most: that may wait; the one that came last, of the source with the most, is turned away."""

    most: int
    _known: dict[str, deque[int]] = field(default_factory=dict)
    _others: dict[str, deque[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, (*self._known.values(), *self._others.values())))

    def add(self, source: str, ticket: int, is_known: bool) -> int | None:
        """Wait; the ticket of the one that is turned away for it (it may be this one), or None."""
        lines = self._known if is_known else self._others
        lines.setdefault(source, deque()).append(ticket)
        if len(self) <= self.most:
            return None
        crowd = self._others or self._known
        longest = max(crowd, key=lambda one: len(crowd[one]))
        turned_away = crowd[longest].pop()
        if not crowd[longest]:
            del crowd[longest]
        return turned_away

    def take(self) -> int | None:
        """The ticket that is next."""
        lines = self._known or self._others
        if not lines:
            return None
        source = next(iter(lines))
        line = lines.pop(source)
        ticket = line.popleft()
        if line:
            lines[source] = line  # behind the other sources
        return ticket


@dataclass(slots=True)
class Pace:
    """So many a second, and so many at once after a quiet time."""

    rate: float
    burst: float
    _level: float | None = None
    _then: float = 0.0

    def take(self, now: float) -> float:
        """Take one; how many seconds to wait before it is due."""
        self._level = self._fill(now) - 1.0
        return max(0.0, -self._level / self.rate)

    def try_take(self, now: float) -> bool:
        """Take one if one is due now."""
        self._level = self._fill(now)
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

    def _fill(self, now: float) -> float:
        level = self.burst if self._level is None else self._level
        then, self._then = self._then, now
        return min(self.burst, level + (now - then) * self.rate)
