"""Scenario: who takes part, and what each party decides to do each day."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from examples.economy.clockwork import Act
from examples.economy.market import DAY_S, UNIT, Market
from examples.economy.party import Provider, Role, Submitter
from examples.economy.stock import Day, SolvencyBroken, take_stock
from xnode.chain.contracts import compute_credit, provider_registry
from xnode.chain.contracts.compute_credit import collateral_of

LEAVING = frozenset({Role.VANISHES, Role.BURNS, Role.SHRINKS})
CASH = 200 * UNIT
"""Of every provider beside its stake: for challenges."""

SELF_REPORTS = 1
"""A fifth of the stake: whatever else is proved of that day belongs to the same episode, and takes nothing more."""


@dataclass(frozen=True)
class Scenario:
    """cast: how many providers of each role; price: OPENX base units that a tGPU sells for; leave_day: when those who mean to
    leave sell all they have and go; spent: tGPU base units that a submitter uses in a day; kept: those it likes to have."""

    name: str
    days: int
    cast: Mapping[Role, int]
    submitters: int
    price: int
    leave_day: int
    spent: int
    kept: int
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """How a scenario ended, by provider. gains: OPENX it has more (or less) than it began with; positions: credits it has, less
    those it owes, in base units; left_held: OPENX of its stake that its credits still need."""

    scenario: Scenario
    days: list[Day]
    providers: list[Provider]
    submitters: list[Submitter]
    gains: dict[str, int]
    positions: dict[str, int]
    left_held: dict[str, int]
    acts: int


class Play:
    """One scenario on one market."""

    def __init__(self, market: Market, scenario: Scenario) -> None:
        self._market, self._scenario = market, scenario
        self._entropy = random.Random(scenario.seed)
        self._providers = [
            Provider(f"{role.name.lower()} {number}", role=role, gpus=self._entropy.randint(2, 8))
            for role, count in scenario.cast.items()
            for number in range(count)
        ]
        self._submitters = [Submitter(f"submitter {number}") for number in range(scenario.submitters)]
        self._days: list[Day] = []

    async def run(self) -> Outcome:
        """Every day in turn. Raises SolvencyBroken as soon as a promise of the contracts does not hold."""
        began_acts = self._market.chain.acts_done
        await self._arrive()
        began = await self._market.chain.read_time()
        for number in range(self._scenario.days):
            await self._live(number, began + number * DAY_S)
            self._days.append(await take_stock(self._market, self._providers, number))
        self._check_the_left()
        await self._check_the_washers()
        gains = {one.name: await self._market.wealth_of(one) - one.began_with for one in self._providers}
        owed = {one.name: await self._market.ask(compute_credit.OUTSTANDING, one) for one in self._providers}
        positions = {one.name: await self._market.credits_of(one) - owed[one.name] for one in self._providers}
        held = {name: collateral_of(amount, self._market.rules.collateral) for name, amount in owed.items()}
        acts = self._market.chain.acts_done - began_acts
        return Outcome(self._scenario, self._days, self._providers, self._submitters, gains, positions, held, acts)

    async def _arrive(self) -> None:
        rules = self._market.rules
        for provider in self._providers:
            # Everything its GPUs may promise, and a fifth that is free to leave.
            stake = collateral_of(provider.gpus * rules.window_hours * UNIT, rules.collateral) * 6 // 5
            await self._market.join(provider, stake + CASH, stake=stake)
            await self._market.open_account(provider)
            provider.began_with = stake + CASH
        for submitter in self._submitters:
            await self._market.fund(submitter, 10**6 * UNIT)
            await self._market.open_account(submitter)

    async def _live(self, day: int, morning: int) -> None:
        """Effects of the morning take seconds, so what is decided at noon does not depend on how many blocks they took."""
        await self._market.chain.jump_to(morning)
        if day == self._scenario.leave_day:
            await self._leave()
        await self._get_verified(morning + DAY_S * 3 // 2)
        for provider in self._providers:
            if not provider.is_gone:
                await self._make_credits(provider)
        await self._buy()
        await self._run_jobs()
        await self._market.chain.jump_to(morning + DAY_S // 2)
        await self._redeem()

    # ---- Capacity

    async def _get_verified(self, soon: int) -> None:
        """All who stay renew what ends before `soon`."""
        due = [one for one in self._providers if one.until < soon and (not one.is_gone or one.role is Role.SHRINKS)]
        if due:
            await self._market.verify([(one, 1 if one.is_gone else one.gpus) for one in due])

    # ---- Minting

    async def _make_credits(self, provider: Provider) -> None:
        room = await self._market.ask(compute_credit.MINTABLE_OF, provider)
        if provider.role is Role.SERVES:
            room = room * self._entropy.randint(30, 100) // 100
        if room > 0:
            await self._market.mint(provider, room)
        if provider.role is Role.OVERMINTS:
            await self._try_too_much(provider)
        if provider.role is Role.WASHES:
            await self._wash(provider)

    async def _try_too_much(self, provider: Provider) -> None:
        """A unit, a day's worth and the whole limit more than it may; and to take its stake away."""
        limit = await self._market.ask(compute_credit.LIMIT_OF, provider)
        registry = self._market.manifest.contracts.provider_registry
        staked = await self._market.chain.rpc.view(registry, provider_registry.STAKE_OF, provider.address)
        tries = [self._market.make_mint(provider, amount) for amount in (1, 24 * UNIT, limit)]
        tries.append(Act(provider.address, registry, provider_registry.START_UNSTAKE.encode(staked)))
        for act in tries:
            refused = await self._market.chain.why_refused(act)
            if refused is None:
                provider.allowed += 1
            else:
                provider.refused[refused] = provider.refused.get(refused, 0) + 1

    async def _wash(self, provider: Provider) -> None:
        """Pays itself all the credits it has, which burns them, and mints as many as it may again."""
        amount = await self._market.credits_of(provider)
        if amount:
            await self._market.run_job(provider, provider, amount, nonce=len(self._days))
        room = await self._market.ask(compute_credit.MINTABLE_OF, provider)
        if room:
            await self._market.mint(provider, room)

    # ---- Trade

    async def _buy(self) -> None:
        """Each submitter fills up, from sellers in random order. A washer keeps its credits: it wants them for itself."""
        for buyer in self._submitters:
            wanted = self._scenario.kept - await self._market.credits_of(buyer)
            sellers = [one for one in self._providers if not one.is_gone and one.role is not Role.WASHES]
            self._entropy.shuffle(sellers)
            for seller in sellers:
                if wanted <= 0:
                    break
                amount = min(wanted, await self._market.credits_of(seller))
                if amount > 0:
                    await self._market.sell(seller, buyer, amount, self._scenario.price)
                    wanted -= amount

    async def _run_jobs(self) -> None:
        """Credits are good at any provider, so each day's work goes to one at random that serves."""
        servers = [one for one in self._providers if one.role in (Role.SERVES, Role.OVERMINTS)]
        for payer in self._submitters:
            amount = min(self._scenario.spent, await self._market.credits_of(payer))
            if servers and amount > 0:
                payer.escrow_nonce += 1
                await self._market.run_job(payer, self._entropy.choice(servers), amount, payer.escrow_nonce)
                payer.spent += amount

    # ---- Leaving

    async def _leave(self) -> None:
        """Those who planned it sell what they have left and are gone; some burn their own stake for the reward."""
        for provider in self._providers:
            if provider.role not in LEAVING:
                continue
            room = await self._market.ask(compute_credit.MINTABLE_OF, provider)
            if room > 0:
                await self._market.mint(provider, room)
            buyer = self._entropy.choice(self._submitters)
            await self._market.sell(provider, buyer, await self._market.credits_of(provider), self._scenario.price)
            provider.is_gone = True
            if provider.role is Role.SHRINKS:
                provider.until = 0
            if provider.role is Role.BURNS:
                await self._market.report_itself(provider, range(1, SELF_REPORTS + 1))

    async def _redeem(self) -> None:
        """Once a provider is in default, holders take its stake for what they hold, if that pays more than selling."""
        for provider in self._providers:
            if provider.role not in LEAVING or not await self._market.ask(compute_credit.IS_DEFAULTED, provider):
                continue
            for holder in self._entropy.sample(self._submitters, len(self._submitters)):
                most = await self._market.ask(compute_credit.REDEEMABLE_OF, provider)
                amount = min(most, await self._market.credits_of(holder))
                if amount > 0:
                    await self._market.redeem(holder, provider, amount)

    # ---- In the end

    def _check_the_left(self) -> None:
        """Those who redeemed got the collateral, in any order; of one that burned its stake, nine tenths."""
        for provider in self._providers:
            promised = collateral_of(provider.redeemed, self._market.rules.collateral)
            if provider.role is Role.BURNS:
                promised = promised * 9 // 10
            # A unit for each redemption, rounded against the one who asks.
            if provider.paid_out + len(self._submitters) * self._scenario.days < promised:
                raise SolvencyBroken(f"holders of {provider.name} got {provider.paid_out} OPENX of {promised}")

    async def _check_the_washers(self) -> None:
        for provider in self._providers:
            if provider.role is not Role.WASHES:
                continue
            owed = await self._market.ask(compute_credit.OUTSTANDING, provider)
            more = await self._market.wealth_of(provider) - provider.began_with
            if more > 0 or await self._market.credits_of(provider) > owed:
                raise SolvencyBroken(f"{provider.name} got rich by trading with itself")
