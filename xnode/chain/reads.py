"""Reads: what the contracts of one manifest say, to nodes and wallets alike."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from metering.units import ZERO_ADDRESS, Address, Amount, Hash32
from xnode.chain.abi.codec import amount_of
from xnode.chain.contracts import breach_prover, compute_credit, openx_token, payment_escrow, provider_registry
from xnode.chain.contracts.provider_registry import Role, StakeDetails
from xnode.chain.deployment.manifest import Asset, Manifest
from xnode.chain.node.json_rpc import JsonRpc, Query, read_native_balance
from xnode.chain.node.questions import ask_block, ask_head, ask_latest
from xnode.errors import Retryable
from xnode.ports.chain import EscrowState, Shortfall, Silence, Spender, Staked

PACE_BLOCKS = 16
"""Blocks by which the chain's pace is measured."""


class Balance(msgspec.Struct, frozen=True):
    """One asset of one address: in its wallet, deposited and free, and owed to it as a provider. Base units."""

    asset: Asset
    wallet: Amount
    free: Amount
    owed: Amount


class Balances(msgspec.Struct, frozen=True):
    """wei: what pays for transactions."""

    wei: int
    assets: tuple[Balance, ...]


class Registration(msgspec.Struct, frozen=True):
    """A provider as the registry knows it. node_key: None when not registered; nonce: of its next node key proof."""

    provider: Address
    node_key: Address | None
    payout: Address
    stake: StakeDetails
    nonce: int


class ChainReads:
    """The contracts of one manifest through one chain node; needs no key. Raises Retryable while the node is away."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest) -> None:
        self.rpc, self.manifest = rpc, manifest
        self._escrow = manifest.contracts.payment_escrow
        self._registry = manifest.contracts.provider_registry

    # ---- Money

    async def token_balance(self, asset: Address, owner: Address) -> int:
        """What an address holds of an asset."""
        return await self.rpc.view(asset, openx_token.BALANCE_OF, owner)

    async def openx_balance(self, owner: Address) -> int:
        """What an address holds of OPENX."""
        return await self.token_balance(self.manifest.contracts.openx_token, owner)

    async def native_balance(self, address: Address) -> int:
        """Wei: what pays for transactions."""
        return await read_native_balance(self.rpc, address)

    async def balances(self, address: Address) -> Balances:
        """What any address holds, in the manifest's assets."""
        queries = []
        for asset in self.manifest.assets:
            queries += [
                Query(asset.address, openx_token.BALANCE_OF, (address,)),
                Query(self._escrow, payment_escrow.FREE, (address, asset.address)),
                Query(self._escrow, payment_escrow.OWED, (address, asset.address)),
            ]
        found = await self.rpc.view_all(queries)
        rows = zip(self.manifest.assets, found[0::3], found[1::3], found[2::3], strict=True)
        assets = tuple(Balance(asset, amount_of(wallet), free, owed) for asset, wallet, free, owed in rows)
        return Balances(await self.native_balance(address), assets)

    async def free_balance(self, payer: Address, asset: Address) -> Amount:
        """What the payer can still reserve or withdraw."""
        return await self.rpc.view(self._escrow, payment_escrow.FREE, payer, asset)

    async def opener_cap(self, payer: Address, opener: Address, asset: Address) -> Amount:
        """What the opener may still reserve of the payer's free balance."""
        return await self.rpc.view(self._escrow, payment_escrow.OPENER_CAP, payer, opener, asset)

    async def spendables_of(self, spenders: Sequence[Spender]) -> tuple[Amount, ...]:
        """What each opener may reserve of its payer's free balance, in order."""
        queries = []
        for payer, opener, asset in spenders:
            queries += [
                Query(self._escrow, payment_escrow.FREE, (payer, asset)),
                Query(self._escrow, payment_escrow.OPENER_CAP, (payer, opener, asset)),
            ]
        found = await self.rpc.view_all(queries)
        rows = zip(spenders, found[0::2], found[1::2], strict=True)
        return tuple(free if one.payer == one.opener else min(free, cap) for one, free, cap in rows)

    async def escrow_state(self, escrow_id: Hash32) -> EscrowState:
        """The escrow now; all zero when it was never opened."""
        return (await self.escrow_states((escrow_id,)))[0]

    async def escrow_states(self, escrow_ids: Sequence[Hash32]) -> tuple[EscrowState, ...]:
        """The escrows now, in order; at most MAX_ROWS."""
        assert len(escrow_ids) <= payment_escrow.MAX_ROWS, "too many escrows at once"
        return await self.rpc.view(self._escrow, payment_escrow.ESCROW_STATES, tuple(escrow_ids))

    # ---- Promises

    async def silences_of(self, lease_ids: Sequence[Hash32]) -> tuple[Silence | None, ...]:
        """The claim of silence that stands about each lease, in order."""
        judge = self.manifest.contracts.breach_prover
        rows = await self.rpc.view_each(judge, breach_prover.SILENCE_OF, ((one,) for one in lease_ids))
        return tuple(
            Silence(row.provider, row.number, row.late_ns, row.answer_until) if row.answer_until else None
            for row in rows
        )

    async def shortfalls_of(self, lease_ids: Sequence[Hash32]) -> tuple[Shortfall | None, ...]:
        """What stake is still to make up for of each lease, in order."""
        judge = self.manifest.contracts.breach_prover
        rows = await self.rpc.view_each(judge, breach_prover.SHORTFALL_OF, ((one,) for one in lease_ids))
        return tuple(Shortfall(row.amount, row.payable_at, row.payable_until) if row.amount else None for row in rows)

    # ---- Providers

    async def provider_of(self, node: Address) -> Address | None:
        """The provider whose node key this is now."""
        owner = await self.rpc.view(self._registry, provider_registry.PROVIDER_OF, node)
        return None if owner == ZERO_ADDRESS else owner

    async def providers_of(self, nodes: Sequence[Address]) -> tuple[Address | None, ...]:
        """The provider whose node key each of these is now, in order."""
        found = await self.rpc.view_each(self._registry, provider_registry.PROVIDER_OF, ((node,) for node in nodes))
        return tuple(None if owner == ZERO_ADDRESS else owner for owner in found)

    async def stakes_of(self, providers: Sequence[Address]) -> tuple[Staked, ...]:
        """The OPENX of each provider that counts as stake, and whether it is in default of either credit, in order."""
        views = (provider_registry.STAKE_OF, provider_registry.HELD_STAKE_OF)
        queries = [Query(self._registry, view, (provider,)) for provider in providers for view in views]
        found = await self.rpc.view_all(queries)
        staked, held = found[0::2], found[1::2]
        # Who sold no credits can be in default of none.
        holding = [provider for provider, amount in zip(providers, held, strict=True) if amount]
        defaulted = await self._defaulted_of(holding)
        return tuple(Staked(own, one in defaulted) for one, own in zip(providers, staked, strict=True))

    async def _defaulted_of(self, providers: Sequence[Address]) -> frozenset[Address]:
        """Those that cannot serve a credit they sold, and whose grace is over."""
        credits = [asset.address for asset in self.manifest.credits]
        asked = [(provider, credit) for provider in providers for credit in credits]
        found = await self.rpc.view_all([Query(at, compute_credit.IS_DEFAULTED, (who,)) for who, at in asked])
        return frozenset(who for (who, _), is_defaulted in zip(asked, found, strict=True) if is_defaulted)

    async def registration(self, provider: Address) -> Registration:
        """What the registry says of a provider."""
        asked = (
            provider_registry.NODE_KEY_OF,
            provider_registry.PAYOUT_OF,
            provider_registry.NONCES,
        )
        queries = [Query(self._registry, view, (provider,)) for view in asked]
        queries.append(Query(self._registry, provider_registry.STAKE_DETAILS_IN, (provider, int(Role.PROVIDER))))
        node_key, payout, nonce, stake = await self.rpc.view_all(queries)
        return Registration(provider, None if node_key == ZERO_ADDRESS else node_key, payout, stake, nonce)

    # ---- Time

    async def head_number(self) -> int:
        """The newest block's number."""
        number = await self.rpc.ask(ask_head())
        self.rpc.pulse.saw_head(number)
        return number

    async def block_times(self) -> list[int]:
        """When the newest blocks were made, oldest first, in seconds UTC: how fast they come."""
        return await read_block_times(self.rpc)

    async def chain_time_s(self) -> int:
        """The latest block's time in seconds UTC, from which deadlines of signatures count."""
        return (await self.rpc.ask(ask_latest())).timestamp


async def read_block_times(rpc: JsonRpc) -> list[int]:
    """When the newest blocks of a chain were made, oldest first, in seconds UTC."""
    head = await rpc.ask(ask_head())
    rpc.pulse.saw_head(head)
    numbers = range(max(0, head - PACE_BLOCKS), head + 1)
    found = [block.timestamp for block in await rpc.ask_all([ask_block(one) for one in numbers]) if block]
    if not found:
        raise Retryable(f"chain node {rpc.where} does not show its newest blocks")
    return found
