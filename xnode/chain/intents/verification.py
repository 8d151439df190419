"""Verification: having capacity challenged, and being one of those who judge challenges."""

from __future__ import annotations

from collections.abc import Sequence

from metering.units import Amount
from xnode.chain.contracts import capacity_registry, verifier_registry
from xnode.chain.intents.allowance import ensure_allowance
from xnode.chain.intents.session import WalletSession
from xnode.chain.node.history import read_history
from xnode.chain.node.json_rpc import Query
from xnode.chain.reads import ChainReads
from xnode.ports.chain import Sent


async def request_challenge(
    session: WalletSession, intent: str, declared: Sequence[tuple[int, int]], price: Amount
) -> Sent:
    """Asks for a challenge of these devices, as (class id, count), for the registry's price."""
    contracts = session.manifest.contracts
    await ensure_allowance(session, intent, contracts.openx_token, contracts.capacity_registry, price)
    return await session.send(
        f"{intent}/request", contracts.capacity_registry, capacity_registry.make_request(declared)
    )


async def has_room(reads: ChainReads) -> bool:
    """Whether the list takes one more verifier now. A slot that was left is its verifier's until no draw can mean it, and they
    become free in the order in which they were left."""
    rpc, at = reads.rpc, reads.manifest.contracts.verifier_registry
    asked = (
        verifier_registry.SLOT_COUNT,
        verifier_registry.VERIFIER_COUNT,
        verifier_registry.MAX_VERIFIERS,
        verifier_registry.DRAW_BLOCKS,
    )
    slots, enlisted, most, draw_blocks = await rpc.view_all([Query(at, view) for view in asked])
    if slots < most or enlisted >= most:
        return bool(slots < most)
    since = max(reads.manifest.deployed_at_block, await reads.head_number() - draw_blocks)
    left_lately = await read_history(rpc, at, (verifier_registry.VERIFIER_LEFT.topic,), since)
    return bool(slots - enlisted > len(left_lately))


async def enlist(session: WalletSession, intent: str) -> Sent:
    """Makes this provider a verifier."""
    return await session.send(intent, session.manifest.contracts.verifier_registry, verifier_registry.ENLIST.encode())


async def leave_verifiers(session: WalletSession, intent: str) -> Sent:
    """Takes this provider off the list of verifiers."""
    return await session.send(intent, session.manifest.contracts.verifier_registry, verifier_registry.LEAVE.encode())


async def withdraw_verifier_fees(session: WalletSession, intent: str) -> Sent:
    """Pays this provider's fees for verdicts to its payout."""
    data = verifier_registry.WITHDRAW_FEES.encode(session.address)
    return await session.send(intent, session.manifest.contracts.verifier_registry, data)
