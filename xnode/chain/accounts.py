"""LeaseReport: what the contracts know of a provider: its stake and what holds it, its credits, and its record."""

from __future__ import annotations

import msgspec

from metering.units import U128_MAX, Address, Amount
from xnode.chain.contracts import compute_credit, payment_escrow, provider_registry
from xnode.chain.contracts.provider_registry import StakeDetails
from xnode.chain.deployment.manifest import Asset, Manifest
from xnode.chain.node.json_rpc import JsonRpc, View


class Stake(msgspec.Struct, frozen=True):
    """A provider's OPENX, and what of it must stay. verifier_hold: held by CapacityRegistry; base units; thaw_s: how long
    it takes to leave."""

    details: StakeDetails
    gpu_hold: Amount
    cpu_hold: Amount
    verifier_hold: Amount
    thaw_s: int

    @property
    def held(self) -> Amount:
        """What must stay."""
        return Amount(self.gpu_hold + self.cpu_hold + self.verifier_hold)

    @property
    def can_leave(self) -> Amount:
        """What startUnstake takes now."""
        return Amount(max(0, self.details.staked - self.held))


class Credit(msgspec.Struct, frozen=True):
    """One kind of credit of one provider, in base units.

    outstanding: minted and not yet used, below zero when it served more than it minted; limit: what its verified capacity
    allows; mintable: what it could mint now; collateral_ratio: OPENX base units of stake for one whole credit; shortfall: what
    is outstanding above what its capacity can serve.
    """

    asset: Asset
    outstanding: int
    limit: int
    mintable: int
    held: int
    collateral_ratio: int
    window_hours: int
    is_defaulted: bool
    shortfall: int


class Account(msgspec.Struct, frozen=True):
    """One asset of a provider's record: what claims were settled for it, what breaches refunded, what is still owed."""

    asset: Asset
    settled: Amount
    refunded: Amount
    owed: Amount


class Record(msgspec.Struct, frozen=True):
    """What a provider did, by the contracts. faults: proven; slashed: OPENX base units lost by them."""

    provider: Address
    node_key: Address
    stake: Amount
    faults: int
    slashed: Amount
    accounts: tuple[Account, ...]


async def read_stake(rpc: JsonRpc, manifest: Manifest, provider: Address) -> Stake:
    """The provider's stake, and what holds it."""
    c = manifest.contracts
    details, gpu, cpu, verifier, thaw_s = await rpc.view_all(
        [
            View(c.provider_registry, provider_registry.STAKE_DETAILS, (provider,)),
            View(c.gpu_credit, compute_credit.HELD_STAKE_OF, (provider,)),
            View(c.cpu_credit, compute_credit.HELD_STAKE_OF, (provider,)),
            View(c.capacity_registry, compute_credit.HELD_STAKE_OF, (provider,)),
            View(c.provider_registry, provider_registry.STAKE_THAW),
        ]
    )
    staked = StakeDetails(Amount(details[0]), Amount(details[1]), details[2])
    return Stake(staked, _cap(gpu), _cap(cpu), _cap(verifier), thaw_s)


async def read_credit(rpc: JsonRpc, asset: Asset, provider: Address) -> Credit:
    """The provider's side of a credit."""
    asked = (
        compute_credit.OUTSTANDING,
        compute_credit.LIMIT_OF,
        compute_credit.MINTABLE_OF,
        compute_credit.HELD_STAKE_OF,
        compute_credit.IS_DEFAULTED,
        compute_credit.SHORTFALL_OF,
    )
    views = [View(asset.address, function, (provider,)) for function in asked]
    views += [View(asset.address, compute_credit.COLLATERAL_RATIO), View(asset.address, compute_credit.WINDOW_HOURS)]
    outstanding, limit, mintable, held, defaulted, shortfall, rate, window = await rpc.view_all(views)
    return Credit(asset, outstanding, limit, mintable, held, rate, window, defaulted, shortfall)


async def read_record(rpc: JsonRpc, manifest: Manifest, provider: Address) -> Record:
    """What the contracts say of the provider's work; nothing in it can be written by opinion."""
    registry, escrow = manifest.contracts.provider_registry, manifest.contracts.payment_escrow
    views = [
        View(registry, provider_registry.NODE_KEY_OF, (provider,)),
        View(registry, provider_registry.STAKE_OF, (provider,)),
        View(registry, provider_registry.FAULTS_OF, (provider,)),
    ]
    views += [View(escrow, payment_escrow.ACCOUNT_OF, (provider, asset.address)) for asset in manifest.assets]
    node_key, stake, (faults, slashed), *accounts = await rpc.view_all(views)
    return Record(
        provider,
        node_key,
        _cap(stake),
        faults,
        _cap(slashed),
        tuple(
            Account(asset, _cap(settled), _cap(refunded), _cap(owed))
            for asset, (settled, refunded, owed) in zip(manifest.assets, accounts, strict=True)
        ),
    )


def _cap(value: int) -> Amount:
    return Amount(min(value, U128_MAX))
