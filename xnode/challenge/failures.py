"""Challenge failures: what this host itself knows of why it failed a challenge; the chain says only that it did."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import structlog

from metering.codec import decode, encode
from metering.units import Hash32
from xnode.errors import Retryable
from xnode.logs import log_id_of
from xnode.ports.capacity import Challenge
from xnode.ports.store import Promises

MAX_REASON_CHARS = 500
"""A driver's own words may be long."""

_KIND = "CapacityFailure"

log = structlog.get_logger()


class ChallengeFailure(msgspec.Struct, frozen=True, array_like=True):
    """drawn_at_s: the time of the draw's block."""

    challenge_id: Hash32
    drawn_at_s: int
    reason: str


@dataclass(frozen=True, slots=True)
class FailureKeeper:
    """Keeps the first reason of each challenge in the store."""

    promises: Promises

    async def keep(self, challenge: Challenge, reason: str) -> None:
        """A database that cannot take it leaves it to the log."""
        found = ChallengeFailure(challenge.challenge_id, challenge.drawn_at, reason[:MAX_REASON_CHARS])
        try:
            await self.promises.keep(_KIND, challenge.challenge_id, encode(found))
        except Retryable as error:
            log.warning("the reason is not kept", challenge=log_id_of(challenge.challenge_id), reason=str(error))

    async def find_last(self) -> ChallengeFailure | None:
        """Of the challenge that was drawn last among those that this host could not answer."""
        found = (decode(one, ChallengeFailure) for one in await self.promises.list_values(_KIND))
        return max(found, key=lambda one: one.drawn_at_s, default=None)
