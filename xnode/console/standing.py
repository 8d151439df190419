"""Standing: what the chain holds against a provider, jail and default of its credits, in words and with what ends it."""

from __future__ import annotations

from xnode.ports.capacity import Verified

JAILED = (
    "jailed because a challenge was failed: nothing is verified, and no credits can be minted, until the next one is passed:"
    " run `xnode provider capacity request`"
)

IN_DEFAULT = (
    "credits that were sold cannot be served, so anyone who holds some may take stake for them: have capacity"
    " verified that serves them (`xnode provider capacity`), or buy them back and run `xnode provider burn`"
)


def find_standing(verified: Verified | None) -> dict[str, str]:
    """By dependency; none while all is well, or before the chain has told."""
    if verified is None:
        return {}
    return {
        **({"jail": JAILED} if verified.is_jailed else {}),
        **({"credits": IN_DEFAULT} if verified.in_default else {}),
    }
