"""Stake as plain Python: what lies in each compartment, what leaves it, and what judges and holds take of it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.contracts.ledger_tokens import Tokens
from tests.contracts.ledger_words import (
    COLLECT_TIME_S,
    EPISODE_S,
    MILLION,
    MOST_PPM,
    PENALTY_PERIOD_S,
    PROVIDER,
    STAKE_THAW_S,
    Event,
    Refused,
)

Place = tuple[str, int]
"""A compartment: whose, and for which role."""


class StakeLedger:
    """What ProviderRegistry keeps of stake. time: seconds, set from outside."""

    def __init__(self, time: int) -> None:
        self.time = time
        self.tokens = Tokens()
        self.events: list[Event] = []
        self.staked: defaultdict[Place, int] = defaultdict(int)
        self.thawing: defaultdict[Place, int] = defaultdict(int)
        self.thaw_end: defaultdict[Place, int] = defaultdict(int)
        self.announced: dict[Place, tuple[int, int]] = {}
        """How much of what thaws was announced as lost, and until when it waits."""
        self.pledge_held: defaultdict[str, int] = defaultdict(int)
        self.forfeit: defaultdict[str, int] = defaultdict(int)
        self.faults: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.episodes: dict[tuple[Place, int], tuple[int, int]] = {}
        self.takings: list[tuple[int, Place, int]] = []
        """Every amount that the one judge took: when, where from, how much."""

    def say(self, event: str, *fields: Any, contract: str = "escrow") -> None:
        self.events.append((contract, event, fields))

    def collateral_of(self, provider: str, credit: str) -> int:
        """The stake that a credit holds; what CreditLedger says."""
        raise NotImplementedError

    # ---- What lies there

    def own_of(self, place: Place) -> int:
        return self.staked[place] + self.thawing[place]

    def backing_of(self, provider: str) -> int:
        return self.own_of((provider, PROVIDER)) + self.forfeit[provider]

    def held_in(self, place: Place) -> int:
        provider, role = place
        if role != PROVIDER:
            return self.pledge_held[provider]
        return sum(self.collateral_of(provider, credit) for credit in ("tgpu", "tcpu"))

    def taken_in(self, place: Place) -> int:
        """What the judge took in its period that runs: back to the last time that nothing was taken for a whole one."""
        taken, since = 0, self.time
        for at, where, amount in reversed(self.takings):
            if where != place:
                continue
            if since - at > PENALTY_PERIOD_S:
                break
            taken, since = taken + amount, at
        return taken

    def room_in(self, place: Place) -> int:
        taken = self.taken_in(place)
        most = -(-(self.own_of(place) + taken) * MOST_PPM[place[1]] // MILLION)
        return max(0, most - taken - self.announced_in(place)[0])

    def announced_in(self, place: Place) -> tuple[int, int]:
        amount, until = self.announced.get(place, (0, 0))
        amount = min(amount, self.thawing[place]) if self.time < until else 0
        return amount, until if amount else 0

    # ---- In and out

    def do_stake(self, caller: str, provider: str, role: int, amount: int) -> None:
        if provider == "nobody":
            raise Refused("ZeroAddress")
        if amount == 0:
            raise Refused("ZeroAmount")
        self.staked[provider, role] += amount
        self.say("Staked", provider, caller, role, amount, self.staked[provider, role], contract="registry")
        self.tokens.move(caller, "registry", "openx", amount)

    def do_start_unstake(self, caller: str, role: int, amount: int) -> None:
        place = (caller, role)
        if amount == 0:
            raise Refused("ZeroAmount")
        if amount > self.staked[place]:
            raise Refused("NotEnoughStake")
        if self.staked[place] - amount < self.held_in(place):
            raise Refused("StakeHeld")
        self.staked[place] -= amount
        self.thawing[place] += amount
        self.thaw_end[place] = self.time + STAKE_THAW_S
        told = (amount, self.staked[place], self.thawing[place], self.thaw_end[place])
        self.say("UnstakeStarted", *place, *told, contract="registry")

    def do_withdraw_stake(self, caller: str, role: int) -> None:
        place = (caller, role)
        if not self.thaw_end[place]:
            raise Refused("NothingThaws")
        if self.time < self.thaw_end[place]:
            raise Refused("StakeStillThaws")
        waits, until = self.announced_in(place)
        thawed = self.thawing[place] - waits
        kept = min(thawed, max(0, self.held_in(place) - self.staked[place]))
        left = thawed - kept
        self.staked[place] += kept
        self.thawing[place], self.thaw_end[place] = waits, until
        if kept:
            self.say("StakeKept", *place, kept, self.staked[place], contract="registry")
        self.say("StakeWithdrawn", *place, left, contract="registry")
        self.tokens.move("registry", caller, "openx", left)

    def do_hold_pledge(self, caller: str, provider: str, amount: int) -> None:
        self.pledge_held[provider] = amount

    # ---- Loss

    def do_slash(
        self, caller: str, provider: str, role: int, fault: int, ppm: int, dated_s: int, fault_id: int, reporter: str
    ) -> None:
        self._check_judge(caller)
        place, now = (provider, role), self.time
        since, taken = self.episodes.get((place, fault), (0, 0))
        is_new = not since or min(dated_s, now) > since + EPISODE_S
        if is_new:
            since, taken = now, 0
        own = self.own_of(place)
        whole = -(-(own + taken) * min(ppm, MILLION) // MILLION)
        slashed = min(self.room_in(place), max(0, whole - taken))
        if now > since + EPISODE_S + PENALTY_PERIOD_S:
            slashed = 0
        if not slashed and (own or not is_new):
            raise Refused("NothingToTake")
        self.episodes[place, fault] = (since, taken + slashed)
        self._take_as_judge(place, slashed)
        self.faults[provider][0] += is_new
        self.faults[provider][1] += slashed
        reward = slashed // 10 if reporter != "nobody" else 0
        self.say("Slashed", provider, fault_id, role, fault, reporter, slashed, reward, contract="registry")
        kept = self._keep_forfeit(provider, slashed - reward) if role == PROVIDER else 0
        self.tokens.burn("registry", "openx", slashed - reward - kept)
        self.tokens.move("registry", reporter, "openx", reward)

    def do_announce(self, caller: str, provider: str, role: int, amount: int, least: int) -> None:
        self._check_judge(caller)
        place = (provider, role)
        before, held = self.announced_in(place)[0], self.held_in(place)
        announced = min(amount, self.room_in(place), max(0, self.own_of(place) - held - before))
        if not announced or announced < least:
            return
        from_staked = min(announced, max(0, self.staked[place] - held))
        self.staked[place] -= from_staked
        self.thawing[place] += from_staked
        until = self.time + STAKE_THAW_S + COLLECT_TIME_S
        self.thaw_end[place] = self.thaw_end[place] or until
        self.announced[place] = (before + announced, until)
        told = (announced, self.staked[place], self.thawing[place], until)
        self.say("LossAnnounced", provider, caller, role, *told, contract="registry")

    def do_compensate(self, caller: str, provider: str, role: int, to: str, amount: int, cause: int) -> None:
        self._check_judge(caller)
        if to == "nobody":
            raise Refused("ZeroAddress")
        place = (provider, role)
        announced, until = self.announced_in(place)
        paid = min(amount, announced, max(0, self.own_of(place) - self.held_in(place)))
        if not paid:
            return
        self.takings.append((self.time, place, paid))
        self.announced[place] = (announced - paid, until)
        self.thawing[place] -= paid
        self.say("Compensated", provider, caller, role, to, paid, cause, contract="registry")
        self.tokens.move("registry", to, "openx", paid)

    def do_burn_forfeit(self, caller: str, provider: str) -> None:
        place = (provider, PROVIDER)
        needed = max(0, self.held_in(place) - self.own_of(place))
        burned = max(0, self.forfeit[provider] - needed)
        if not burned:
            return
        self.forfeit[provider] -= burned
        self.say("ForfeitBurned", provider, burned, self.forfeit[provider], contract="registry")
        self.tokens.burn("registry", "openx", burned)

    def pay_holder(self, provider: str, holder: str, amount: int) -> None:
        """What a credit takes of a defaulter's stake: its own first, then its forfeit."""
        from_own = min(amount, self.own_of((provider, PROVIDER)))
        self._take_own((provider, PROVIDER), from_own)
        self.forfeit[provider] -= amount - from_own
        self.tokens.move("registry", holder, "openx", amount)

    def _check_judge(self, caller: str) -> None:
        if caller != "judge":
            raise Refused("NotJudge")

    def _take_as_judge(self, place: Place, amount: int) -> None:
        if amount:
            self.takings.append((self.time, place, amount))
            self._take_own(place, amount)

    def _take_own(self, place: Place, amount: int) -> None:
        """From staked and thawing in proportion."""
        if not amount:
            return
        from_thawing = amount * self.thawing[place] // self.own_of(place)
        self.thawing[place] -= from_thawing
        self.staked[place] -= amount - from_thawing

    def _keep_forfeit(self, provider: str, amount: int) -> int:
        kept = min(amount, max(0, self.held_in((provider, PROVIDER)) - self.backing_of(provider)))
        if kept:
            self.forfeit[provider] += kept
            self.say("ForfeitKept", provider, kept, self.forfeit[provider], contract="registry")
        return kept
