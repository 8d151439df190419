"""Stock: what the chain says at the end of a day, and the promises that must hold in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from examples.economy.market import BACKING_OF, Market
from examples.economy.party import Provider, Role
from metering.units import Address
from xnode.chain.contracts import compute_credit, openx_token, payment_escrow, provider_registry
from xnode.chain.contracts.compute_credit import collateral_of
from xnode.chain.contracts.provider_registry import Role as StakeRole
from xnode.chain.node.json_rpc import Query


class SolvencyBroken(Exception):
    """The chain shows what the contracts promise can never be."""


class Account(msgspec.Struct, frozen=True):
    """One provider, in base units: of tGPU outstanding and limit, of OPENX held and backing."""

    outstanding: int
    limit: int
    held: int
    backing: int

    @property
    def short(self) -> int:
        """What is outstanding above what the capacity in force can serve."""
        return max(0, self.outstanding - self.limit)


class Day(msgspec.Struct, frozen=True):
    """The whole market, in base units. short_collateral: OPENX that would redeem all that is short; short_backing: OPENX
    that lies there for the providers who are short."""

    number: int
    supply: int
    capacity: int
    short: int
    short_collateral: int
    short_backing: int


async def take_stock(market: Market, providers: Sequence[Provider], number: int) -> Day:
    """The day's end. Raises SolvencyBroken when a promise does not hold."""
    accounts = await _read_accounts(market, [provider.address for provider in providers])
    supply = int(await market.chain.rpc.view(market.credit, openx_token.TOTAL_SUPPLY))
    _check_supply(supply, accounts)
    for provider, account in zip(providers, accounts, strict=True):
        _check_collateral(provider, account)
    await _check_registry(market, accounts)
    await _check_escrow(market)
    short = [account for account in accounts if account.short]
    return Day(
        number=number,
        supply=supply,
        capacity=sum(account.limit for account in accounts),
        short=sum(account.short for account in accounts),
        short_collateral=sum(collateral_of(account.short, market.rules.collateral) for account in short),
        short_backing=sum(account.backing for account in short),
    )


async def _read_accounts(market: Market, addresses: Iterable[Address]) -> list[Account]:
    registry = market.manifest.contracts.provider_registry
    queries = []
    for address in addresses:
        queries += [
            Query(market.credit, compute_credit.OUTSTANDING, (address,)),
            Query(market.credit, compute_credit.LIMIT_OF, (address,)),
            Query(registry, provider_registry.HELD_STAKE_OF, (address,)),
            Query(registry, BACKING_OF, (address,)),
        ]
    found = await market.chain.rpc.view_all(queries)
    return [Account(*found[start : start + 4]) for start in range(0, len(found), 4)]


def _check_supply(supply: int, accounts: Sequence[Account]) -> None:
    outstanding = sum(account.outstanding for account in accounts)
    if supply != outstanding:
        raise SolvencyBroken(f"{supply} credits exist, {outstanding} are outstanding")
    verified = sum(account.limit + account.short for account in accounts)
    if supply > verified:
        raise SolvencyBroken(f"{supply} credits exist, {verified} were verified")


def _check_collateral(provider: Provider, account: Account) -> None:
    # Who reports itself takes a tenth out, which is the most that slashing may cost the holders.
    promised = account.held * 9 // 10 if provider.role is Role.BURNS else account.held
    if account.backing < promised:
        raise SolvencyBroken(f"{provider.name} has {account.backing} OPENX behind it, {promised} are promised")
    if provider.allowed:
        raise SolvencyBroken(f"{provider.name} minted above its limit or its collateral")


async def _check_registry(market: Market, accounts: Sequence[Account]) -> None:
    contracts = market.manifest.contracts
    registry = contracts.provider_registry
    asked = [(one, int(StakeRole.VERIFIER)) for one in market.verifiers]
    pledges = await market.chain.rpc.view_each(registry, provider_registry.STAKE_DETAILS_IN, asked)
    lies = await market.chain.rpc.view(contracts.openx_token, openx_token.BALANCE_OF, registry)
    counted = sum(account.backing for account in accounts) + sum(one.staked + one.thawing for one in pledges)
    if lies != counted:
        raise SolvencyBroken(f"{lies} OPENX lie in the registry, {counted} are accounted for")


async def _check_escrow(market: Market) -> None:
    escrow = market.manifest.contracts.payment_escrow
    lies = await market.chain.rpc.view(market.credit, openx_token.BALANCE_OF, escrow)
    owed = await market.chain.rpc.view(escrow, payment_escrow.LIABILITIES, market.credit)
    if lies < owed:
        raise SolvencyBroken(f"{lies} credits lie in the escrow, {owed} are owed")
