"""Registered: what only a provider on chain may do, checked before a command pays for its first transaction."""

from __future__ import annotations

from metering.units import Address
from xnode.chain.reads import ChainReads
from xnode.errors import ExitCode, UserError
from xnode.text.hex import to_hex


async def require_registered(reads: ChainReads, owner: Address) -> None:
    """Raise UserError where the wallet owns no provider's registration."""
    if (await reads.registration(owner)).node_key is None:
        raise UserError(
            "is not a registered provider",
            where=to_hex(owner),
            hint="run `xnode provider init`, or name the provider's wallet with --from",
            code=ExitCode.NOT_FOUND,
        )
