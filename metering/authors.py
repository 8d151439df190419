"""Authors: which provider answers for what a node key signed at a time, exactly as ProviderRegistry.authorOf tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metering.signature import recover_signer
from metering.units import Address, Hash32

MAX_AHEAD_S = 3600
"""What is dated later than this after the chain's time is nobody's word yet (ProviderRegistry.MAX_AHEAD)."""


@dataclass(frozen=True, slots=True)
class BoundKey:
    """A node key's time with the one provider that may ever bind it. until_s: when it was taken away; zero while it serves."""

    provider: Address
    since_s: int = 0
    until_s: int = 0


@dataclass(frozen=True, slots=True)
class Authors:
    """What the registry knows of node keys, at one moment of the chain. thaw_s: the stake's, after which a key that was
    taken away proves nothing any more."""

    keys: Mapping[Address, BoundKey]
    now_s: int
    thaw_s: int

    def find(self, node: Address | None, at_s: int) -> Address | None:
        """The provider that answers for what this key signed then."""
        key = self.keys.get(node) if node is not None else None
        if key is None or at_s < key.since_s or at_s > self.now_s + MAX_AHEAD_S:
            return None
        if key.until_s and (at_s > key.until_s or self.now_s > key.until_s + self.thaw_s):
            return None
        return key.provider

    def find_signer(self, digest: Hash32, signature: bytes, at_s: int) -> Address | None:
        """The provider that answers for this signature."""
        return self.find(recover_signer(digest, signature), at_s)

    def find_owner(self, node: Address) -> Address | None:
        """The only provider that may ever bind this key, whenever that was."""
        key = self.keys.get(node)
        return key.provider if key else None
