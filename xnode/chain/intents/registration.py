"""Registration: the wallet as a provider: its node key, its payout, and the hardware it advertises."""

from __future__ import annotations

from metering.units import ZERO_ADDRESS, Address, Hash32
from xnode.chain.contracts import provider_registry
from xnode.chain.intents.session import WalletSession
from xnode.ports.chain import Sent


async def register_provider(
    session: WalletSession,
    intent: str,
    node_key: Address,
    deadline: int,
    node_signature: bytes,
    payout: Address = ZERO_ADDRESS,
) -> Sent | None:
    """Makes the wallet a provider with that node key, or gives it that node key in place of another.

    node_signature: NodeSigner.sign_node_key with its registration's nonce. payout: zero means the wallet itself.
    None when it is so already and nothing had to be sent.
    """
    known = await session.registration(session.address)
    if known.node_key == node_key:
        return None
    if known.node_key is None:
        data = provider_registry.REGISTER.encode(node_key, payout, deadline, node_signature)
    else:
        data = provider_registry.ROTATE_NODE_KEY.encode(node_key, deadline, node_signature)
    return await session.send(intent, session.manifest.contracts.provider_registry, data)


async def set_payout(session: WalletSession, intent: str, payout: Address) -> Sent:
    """Where claims pay this provider from now on."""
    data = provider_registry.SET_PAYOUT.encode(payout)
    return await session.send(intent, session.manifest.contracts.provider_registry, data)


async def set_profile(session: WalletSession, intent: str, profile_hash: Hash32) -> Sent:
    """The hash of the hardware profile that this provider advertises."""
    data = provider_registry.SET_PROFILE.encode(profile_hash)
    return await session.send(intent, session.manifest.contracts.provider_registry, data)
