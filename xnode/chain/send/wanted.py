"""Wanted: whether a transaction that may lose its sense on its way still does what it was asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from xnode.errors import Permanent, Retryable

UNASKED_S = 600.0
"""How long an optional call waits, after a restart, for who asked for it; then it is not wanted."""

IsWanted = Callable[[], Awaitable[bool]]
"""Raises Retryable where it cannot be known now."""

log = structlog.get_logger(__name__)


async def ask_wanted(is_wanted: IsWanted | None, since_s: float, intent: str) -> bool | None:
    """None where it is not known: then it is not sent again now. since_s: for how long it is watched in this life."""
    if is_wanted is None:
        return False if since_s >= UNASKED_S else None
    try:
        return await is_wanted()
    except (Retryable, Permanent) as error:
        log.info("not known whether a transaction is still wanted", intent=intent, reason=str(error))
        return None
