"""Provider record: what the contracts know of a provider: its stake and what locks it, its credits, and its history."""

from __future__ import annotations

import msgspec

from metering.units import Address, Amount
from xnode.chain.contracts import breach_prover, compute_credit, payment_escrow, provider_registry
from xnode.chain.contracts.provider_registry import Announced, Role, StakeDetails
from xnode.chain.deployment.manifest import Asset, Manifest
from xnode.chain.node.history import read_history
from xnode.chain.node.json_rpc import JsonRpc, Query
from xnode.text.amount import OPENX


class Compartment(msgspec.Struct, frozen=True):
    """OPENX staked for one role, what of it must stay, and what of it is owed for broken promises; base units."""

    details: StakeDetails
    held: Amount
    announced: Announced

    @property
    def can_leave(self) -> Amount:
        """What startUnstakeFrom takes now."""
        return Amount(max(0, self.details.staked - self.held))

    @property
    def can_withdraw(self) -> Amount:
        """What withdrawStakeFrom pays at most once the thaw is over."""
        return Amount(self.details.thawing - self.announced.amount)


class Stake(msgspec.Struct, frozen=True):
    """A provider's OPENX: own answers for what it sells and for its credits, pledge for its verdicts.

    gpu_hold and cpu_hold: the parts of own that credits hold; thaw_s: how long it takes to leave.
    """

    own: Compartment
    pledge: Compartment
    gpu_hold: Amount
    cpu_hold: Amount
    thaw_s: int

    def compartment(self, role: Role) -> Compartment:
        """The one for that role."""
        return self.pledge if role is Role.VERIFIER else self.own


class Credit(msgspec.Struct, frozen=True):
    """One kind of credit of one provider, in base units.

    outstanding: minted and not yet used, below zero when it served more than it minted; limit: what its verified capacity
    allows; mintable: what it could mint now; held: OPENX base units of stake that what is outstanding needs;
    collateral_ratio: OPENX base units of stake for one whole credit that is minted now; shortfall: what is outstanding above what
    its capacity can serve; redeemable: what of that has been so for longer than the grace.
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
    redeemable: int = 0

    def served_by(self, milli: int) -> int:
        """What so many thousandths of reference units can have outstanding in the window, in base units; a window that was
        lowered since the provider's last mint is not counted."""
        return milli * self.window_hours * OPENX // 1000


class AssetRecord(msgspec.Struct, frozen=True):
    """One asset of a provider's record: what claims were settled for it, what breaches refunded out of its escrows, what is
    still owed to it, and what breaches took out of its stake, which is OPENX whatever the leases were paid in."""

    asset: Asset
    settled: Amount
    refunded: Amount
    owed: Amount
    compensated: Amount = Amount(0)


class Record(msgspec.Struct, frozen=True):
    """What a provider did, by the contracts. faults: proven; slashed: OPENX base units lost by them; key_since_s: when its node
    key was bound, in seconds UTC, 0 without one."""

    provider: Address
    node_key: Address
    stake: Amount
    faults: int
    slashed: Amount
    assets: tuple[AssetRecord, ...]
    key_since_s: int = 0


async def read_stake(rpc: JsonRpc, manifest: Manifest, provider: Address) -> Stake:
    """The provider's stake, and what holds it."""
    c = manifest.contracts
    queries = [
        Query(c.provider_registry, view, (provider, int(role)))
        for role in Role
        for view in (provider_registry.STAKE_DETAILS_IN, provider_registry.HELD_IN, provider_registry.ANNOUNCED_IN)
    ]
    queries += [Query(credit, compute_credit.HELD_STAKE_OF, (provider,)) for credit in (c.gpu_credit, c.cpu_credit)]
    queries.append(Query(c.provider_registry, provider_registry.STAKE_THAW))
    answers = await rpc.view_all(queries)
    return Stake(Compartment(*answers[:3]), Compartment(*answers[3:6]), *answers[6:])


async def read_credit(rpc: JsonRpc, asset: Asset, provider: Address) -> Credit:
    """The provider's side of a credit."""
    asked = (
        compute_credit.OUTSTANDING,
        compute_credit.LIMIT_OF,
        compute_credit.MINTABLE_OF,
        compute_credit.HELD_STAKE_OF,
        compute_credit.IS_DEFAULTED,
        compute_credit.SHORTFALL_OF,
        compute_credit.REDEEMABLE_OF,
    )
    queries = [Query(asset.address, view, (provider,)) for view in asked]
    queries += [Query(asset.address, view) for view in (compute_credit.COLLATERAL_RATIO, compute_credit.WINDOW_HOURS)]
    outstanding, limit, mintable, held, defaulted, shortfall, redeemable, ratio, window = await rpc.view_all(queries)
    return Credit(asset, outstanding, limit, mintable, held, ratio, window, defaulted, shortfall, redeemable)


async def read_record(rpc: JsonRpc, manifest: Manifest, provider: Address) -> Record:
    """What the contracts say of the provider's work; nothing in it can be written by opinion."""
    registry, escrow = manifest.contracts.provider_registry, manifest.contracts.payment_escrow
    queries = [
        Query(registry, provider_registry.NODE_KEY_OF, (provider,)),
        Query(registry, provider_registry.STAKE_OF, (provider,)),
        Query(registry, provider_registry.FAULTS_OF, (provider,)),
    ]
    queries += [Query(escrow, payment_escrow.ACCOUNT_OF, (provider, asset.address)) for asset in manifest.assets]
    node_key, stake, faults, *accounts = await rpc.view_all(queries)
    compensated = await _sum_compensations(rpc, manifest, provider)
    openx = manifest.contracts.openx_token
    assets = tuple(
        AssetRecord(
            asset,
            account.settled,
            account.refunded,
            account.owed,
            compensated if asset.address == openx else Amount(0),
        )
        for asset, account in zip(manifest.assets, accounts, strict=True)
    )
    key = await rpc.view(registry, provider_registry.KEY_TIME_OF, node_key)
    return Record(provider, node_key, stake, faults.count, faults.slashed, assets, key.since)


async def _sum_compensations(rpc: JsonRpc, manifest: Manifest, provider: Address) -> Amount:
    """What broken promises took out of the provider's stake, by the events of the contract that judges them."""
    event, judge = breach_prover.BREACH_COMPENSATED, manifest.contracts.breach_prover
    topics = (event.topic, None, provider.rjust(32, b"\0"))
    logs = await read_history(rpc, judge, topics, manifest.deployed_at_block)
    return Amount(sum(event.decode(one).paid for one in logs))
