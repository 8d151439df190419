"""Compute credits as plain Python: who made how many against what, where they were burned, and what stake paid for them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.contracts.ledger_tokens import Pair, Tokens
from tests.contracts.ledger_words import (
    COLLATERAL_RATIO,
    DEFAULT_GRACE_S,
    MILLI,
    NO_CAPACITY,
    ONE,
    WINDOW_HOURS,
    Capacity,
    Event,
    Refused,
)


class CreditLedger:
    """What ComputeCredit keeps, and the stake and capacity it asks for. time: seconds, set from outside."""

    def __init__(self, time: int) -> None:
        self.time = time
        self.tokens = Tokens()
        self.events: list[Event] = []
        self.outstanding: defaultdict[Pair, int] = defaultdict(int)
        self.stake: defaultdict[str, int] = defaultdict(int)
        self.capacity: dict[str, Capacity] = {}

    def say(self, event: str, *fields: Any, contract: str = "escrow") -> None:
        self.events.append((contract, event, fields))

    def do_mint(self, caller: str, credit: str, to: str, amount: int) -> None:
        if to == "nobody":
            raise Refused("ZeroAddress")
        if amount == 0:
            raise Refused("ZeroAmount")
        limit = self.limit_of(caller, credit)
        if limit == 0:
            raise Refused("NotMintable")
        current = self.outstanding[caller, credit] + amount
        if current > limit:
            raise Refused("AboveCapacity")
        other = "tcpu" if credit == "tgpu" else "tgpu"
        if collateral_of(current) + collateral_of(self.outstanding[caller, other]) > self.stake[caller]:
            raise Refused("AboveCollateral")
        self.outstanding[caller, credit] = current
        self.say("Minted", caller, to, amount, current, contract=credit)
        self.tokens.make(to, credit, amount)

    def do_burn_at(self, caller: str, credit: str, provider: str, amount: int) -> None:
        if provider == "nobody":
            raise Refused("ZeroAddress")
        if amount == 0:
            raise Refused("ZeroAmount")
        if self.tokens.balance[caller, credit] < amount:
            raise Refused("ERC20InsufficientBalance")
        self.tokens.burn(caller, credit, amount)
        self.note_burned(provider, credit, caller, amount)

    def do_redeem(self, caller: str, credit: str, provider: str, amount: int) -> None:
        if amount == 0:
            raise Refused("ZeroAmount")
        capacity = self.capacity.get(provider, NO_CAPACITY)
        short = max(0, self.outstanding[provider, credit] - self.limit_of(provider, credit))
        if short == 0 or capacity.until > self.time or self.time - capacity.until <= DEFAULT_GRACE_S:
            raise Refused("NotDefaulted")
        if amount > short:
            raise Refused("AboveShortfall")
        paid = amount * COLLATERAL_RATIO // ONE
        held = sum(collateral_of(self.outstanding[provider, of]) for of in ("tgpu", "tcpu"))
        if self.stake[provider] < held:
            paid = paid * self.stake[provider] // held
        if paid == 0:
            raise Refused("PaysNothing")
        if self.tokens.balance[caller, credit] < amount:
            raise Refused("ERC20InsufficientBalance")
        self.outstanding[provider, credit] -= amount
        self.stake[provider] -= paid
        self.say("Redeemed", provider, caller, amount, paid, self.outstanding[provider, credit], contract=credit)
        self.tokens.burn(caller, credit, amount)
        self.tokens.move("registry", caller, "openx", paid)
        self.say("StakeTaken", provider, credit, caller, paid, contract="registry")

    def limit_of(self, provider: str, credit: str) -> int:
        capacity = self.capacity.get(provider, NO_CAPACITY)
        if capacity.until <= self.time:
            return 0
        return (capacity.gpu_milli if credit == "tgpu" else capacity.cpu_milli) * WINDOW_HOURS * MILLI

    def note_burned(self, provider: str, credit: str, burner: str, amount: int) -> None:
        self.outstanding[provider, credit] -= amount
        self.say("BurnedAt", provider, burner, amount, self.outstanding[provider, credit], contract=credit)

    def do_give_capacity(self, caller: str, provider: str, capacity: Capacity) -> None:
        self.capacity[provider] = capacity

    def do_end_capacity(self, caller: str, provider: str) -> None:
        now = self.capacity.get(provider, NO_CAPACITY)
        self.capacity[provider] = now._replace(until=min(now.until, self.time))


def collateral_of(outstanding: int) -> int:
    """The stake that so many credits need, rounded up."""
    return -(-max(0, outstanding) * COLLATERAL_RATIO // ONE)
