"""Compute credits as plain Python: who made how many against what, where they were burned, and what stake paid for them."""

from __future__ import annotations

from collections import defaultdict

from tests.contracts.ledger_stake import StakeLedger
from tests.contracts.ledger_tokens import Pair
from tests.contracts.ledger_words import (
    COLLATERAL_RATIO,
    DEFAULT_GRACE_S,
    MAX_COLLATERAL_RATIO,
    MAX_WINDOW_HOURS,
    MILLI,
    MIN_COLLATERAL_RATIO,
    NO_CAPACITY,
    NO_COVER,
    ONE,
    PROVIDER,
    TERMS_INTERVAL_S,
    WINDOW_HOURS,
    Capacity,
    Cover,
    Refused,
)


class CreditLedger(StakeLedger):
    """What ComputeCredit keeps, and the stake and capacity it asks for."""

    def __init__(self, time: int) -> None:
        super().__init__(time)
        self.outstanding: defaultdict[Pair, int] = defaultdict(int)
        self.covers: dict[Pair, Cover] = {}
        self.verdicts: defaultdict[str, list[Capacity]] = defaultdict(list)
        self.ratio: dict[str, int] = dict.fromkeys(("tgpu", "tcpu"), COLLATERAL_RATIO)
        self.window: dict[str, int] = dict.fromkeys(("tgpu", "tcpu"), WINDOW_HOURS)
        self.window_before: defaultdict[str, int] = defaultdict(int)
        self.next_terms: defaultdict[tuple[str, str], int] = defaultdict(int)

    # ---- Acts

    def do_mint(self, caller: str, credit: str, to: str, amount: int) -> None:
        if to == "nobody":
            raise Refused("ZeroAddress")
        if amount == 0:
            raise Refused("ZeroAmount")
        limit = self.limit_of(caller, credit)
        if limit == 0:
            raise Refused("NotMintable")
        before = self.outstanding[caller, credit]
        current = before + amount
        if current > limit:
            raise Refused("AboveCapacity")
        cover = self._cover_after(caller, credit, max(0, before), max(0, current))
        other = "tcpu" if credit == "tgpu" else "tgpu"
        if ceil_div(cover.scaled, ONE) + self.collateral_of(caller, other) > self.staked[caller, PROVIDER]:
            raise Refused("AboveCollateral")
        self.outstanding[caller, credit] = current
        self.covers[caller, credit] = cover
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
        redeemable = self.redeemable_of(provider, credit)
        if redeemable == 0:
            raise Refused("NotDefaulted")
        if amount > redeemable:
            raise Refused("AboveRedeemable")
        cover = self.covers[provider, credit]
        paid = amount * cover.scaled // (cover.outstanding * ONE)
        held, backing = self.held_in((provider, PROVIDER)), self.backing_of(provider)
        if backing < held:
            paid = paid * backing // held
        if paid == 0:
            raise Refused("PaysNothing")
        if self.tokens.balance[caller, credit] < amount:
            raise Refused("ERC20InsufficientBalance")
        self.outstanding[provider, credit] -= amount
        self.say("Redeemed", provider, caller, amount, paid, self.outstanding[provider, credit], contract=credit)
        self.tokens.burn(caller, credit, amount)
        self.pay_holder(provider, caller, paid)
        self.say("StakeTaken", provider, credit, caller, paid, contract="registry")

    def do_set_ratio(self, caller: str, credit: str, ratio: int) -> None:
        self._check_terms(caller, "CollateralRatio", credit)
        current = self.ratio[credit]
        if not max(MIN_COLLATERAL_RATIO, ceil_div(current, 2)) <= ratio <= min(MAX_COLLATERAL_RATIO, current * 2):
            raise Refused("CollateralRatioOutOfBounds")
        self.ratio[credit] = ratio
        self._set_terms("CollateralRatio", credit, ratio)

    def do_set_window(self, caller: str, credit: str, hours: int) -> None:
        self._check_terms(caller, "Window", credit)
        current = self.window[credit]
        if not max(1, ceil_div(current, 2)) <= hours <= min(MAX_WINDOW_HOURS, current * 2):
            raise Refused("WindowOutOfBounds")
        self.window_before[credit], self.window[credit] = current, hours
        self._set_terms("Window", credit, hours)

    def _check_terms(self, caller: str, which: str, credit: str) -> None:
        if caller != "owner":
            raise Refused("OwnableUnauthorizedAccount")
        if self.time < self.next_terms[which, credit]:
            raise Refused(which + "TooSoon")

    def _set_terms(self, which: str, credit: str, value: int) -> None:
        self.next_terms[which, credit] = self.time + TERMS_INTERVAL_S
        self.say(which + "Set", value, contract=credit)

    def note_burned(self, provider: str, credit: str, burner: str, amount: int) -> None:
        self.outstanding[provider, credit] -= amount
        self.say("BurnedAt", provider, burner, amount, self.outstanding[provider, credit], contract=credit)

    def do_give_capacity(self, caller: str, provider: str, capacity: Capacity) -> None:
        self.do_end_capacity(caller, provider)
        self.verdicts[provider].append(capacity)

    def do_end_capacity(self, caller: str, provider: str) -> None:
        if self.verdicts[provider]:
            last = self.verdicts[provider][-1]
            self.verdicts[provider][-1] = last._replace(until=min(last.until, self.time))

    # ---- What follows

    def limit_of(self, provider: str, credit: str) -> int:
        last = self.verdicts[provider][-1] if self.verdicts[provider] else NO_CAPACITY
        if last.until <= self.time:
            return 0
        return milli_of(last, credit) * self.window[credit] * MILLI

    def collateral_of(self, provider: str, credit: str) -> int:
        """The stake that what is outstanding needs, rounded up."""
        return ceil_div(self._scaled_of(provider, credit, max(0, self.outstanding[provider, credit])), ONE)

    def redeemable_of(self, provider: str, credit: str) -> int:
        """What is outstanding beyond all that the provider was verified for within the last grace."""
        lately = [one for one in self.verdicts[provider] if one.until + DEFAULT_GRACE_S >= self.time]
        window = max(self.window[credit], self.covers.get((provider, credit), NO_COVER).window)
        if self.time - (self.next_terms["Window", credit] - TERMS_INTERVAL_S) <= DEFAULT_GRACE_S:
            window = max(window, self.window_before[credit])
        served = max((milli_of(one, credit) for one in lately), default=0) * window * MILLI
        return max(0, self.outstanding[provider, credit] - served)

    def _scaled_of(self, provider: str, credit: str, owed: int) -> int:
        cover = self.covers.get((provider, credit), NO_COVER)
        return ceil_div(cover.scaled * owed, cover.outstanding) if owed else 0

    def _cover_after(self, provider: str, credit: str, owed: int, current: int) -> Cover:
        """New credits need the ratio now, or what those outstanding have, where that is more."""
        cover, more = self.covers.get((provider, credit), NO_COVER), current - owed
        added = more * self.ratio[credit]
        if owed:
            added = max(added, ceil_div(cover.scaled * more, cover.outstanding))
        return Cover(self._scaled_of(provider, credit, owed) + added, current, self.window[credit])


def milli_of(capacity: Capacity, credit: str) -> int:
    return capacity.gpu_milli if credit == "tgpu" else capacity.cpu_milli


def ceil_div(number: int, by: int) -> int:
    return -(-number // by)
