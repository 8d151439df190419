"""SingleFlight: one door per key: what many ask for at once is done by one of them, and the others take its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from xnode.errors import Permanent

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Flight(Generic[V]):
    """One try. failure: what it would be for everybody who asks the same source."""

    source: Hashable
    landed: trio.Event = field(default_factory=trio.Event)
    results: list[V] = field(default_factory=list)
    failure: Permanent | None = None


class SingleFlight(Generic[K, V]):
    """Who comes first does the work; those who come meanwhile wait for it. Nothing is remembered afterwards."""

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[V]] = {}

    async def run(self, key: K, work: Callable[[], Awaitable[V]], source: Hashable = None) -> V:
        """What `work` gives, done once for all who ask for this key at one time.

        When the one who works is cancelled, or fails in a way that may pass, the next one in line works: its own `work`,
        because the fault may have been the first one's peer or deadline. A Permanent fault is shared with those only who
        named the same `source`: another peer may well have what the first one's refused.
        """
        while (flight := self._flights.get(key)) is not None:
            await flight.landed.wait()
            if flight.results:
                return flight.results[0]
            if flight.failure is not None and flight.source == source:
                raise flight.failure.again() from flight.failure
        return await self._lead(key, _Flight(source), work)

    async def _lead(self, key: K, flight: _Flight[V], work: Callable[[], Awaitable[V]]) -> V:
        self._flights[key] = flight
        try:
            result = await work()
            flight.results.append(result)
            return result
        except Permanent as error:
            flight.failure = error
            raise
        finally:
            # Before the others wake: the first of them that runs finds the door free.
            del self._flights[key]
            flight.landed.set()
