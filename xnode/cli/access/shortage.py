"""Shortage: where a wallet gets more of an asset of which it has too little."""

from __future__ import annotations

from metering.units import Address
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.reads import ChainReads
from xnode.text.hex import to_hex


def more_hint(manifest: Manifest, asset: Address, wallet: Address) -> str:
    """What to do, to stand behind "or" in a hint. A devnet gives OPENX away; credits exist only when a provider mints them."""
    if manifest.is_credit(asset):
        symbol = manifest.find_asset(to_hex(asset)).symbol
        return f"have a provider mint more: xnode provider mint AMOUNT --asset {symbol} --to {to_hex(wallet)}"
    is_given = asset == manifest.contracts.openx_token
    return "send it more (on a devnet: xnode devnet fund)" if is_given else "send it more"


async def find_more(reads: ChainReads, asset: Address, wallet: Address) -> str:
    """The same, for who may have some in the deposit for jobs."""
    free = await reads.free_balance(wallet, asset)
    if not free:
        return more_hint(reads.manifest, asset, wallet)
    found = reads.manifest.find_asset(to_hex(asset))
    return f"take back of the {found.show(free)} deposited: xnode pay withdraw AMOUNT --asset {found.symbol}"
