"""Random histories of the ledgers: acts that mostly make sense where they stand, and some that must be refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.contracts.ledger_model import Ledger
from tests.contracts.ledger_words import (
    ASSETS,
    MIN_THAW_S,
    ONE,
    PROVIDER,
    SPLITS,
    TERMS_INTERVAL_S,
    VERIFIER,
    Capacity,
    Row,
    Signed,
    Terms,
)

BEGIN_S = 1_800_100_000
PAYERS = ("payer0", "payer1")
SIGNERS = ("signer0", "signer1")
PROVIDERS = ("provider0", "provider1")
NODE = "node0"
"""provider0's hot key; provider1 never registered."""

RECIPIENTS = ("recipient0", "recipient1")
PARTIES = (*PAYERS, *SIGNERS, *PROVIDERS, NODE, *RECIPIENTS, "stranger", "owner", "guardian", "judge", "treasury")
RICH = (*PAYERS, *PROVIDERS, "stranger")
WEALTH = 10**30
SUPPLY = 10**27
"""Of OPENX, the treasury's."""

STAKE = {"provider0": 40_000 * ONE, "provider1": 1_000 * ONE + 1}
MOST = 2**128 - 1


class Act(NamedTuple):
    """name "wait": seconds pass, given in args; else a transaction of the caller."""

    name: str
    caller: str
    args: tuple[Any, ...]


class Told(NamedTuple):
    """An act and what the model says of it."""

    act: Act
    events: list[Any]
    error: str


def make_ledger() -> Ledger:
    """The state in which every history begins, as ledger_chain deploys it."""
    ledger = Ledger(BEGIN_S)
    for who in RICH:
        for asset in ("usd", "toy"):
            ledger.tokens.make(who, asset, WEALTH)
        for asset in ASSETS:
            ledger.tokens.allowance[who, asset] = WEALTH
    ledger.node_keys["provider0"] = NODE
    ledger.tokens.make("treasury", "openx", SUPPLY)
    for provider in PROVIDERS:
        ledger.staked[provider, PROVIDER] = STAKE[provider]
        ledger.tokens.move("treasury", "registry", "openx", STAKE[provider])
    for provider in PROVIDERS:
        ledger.verdicts[provider] = [Capacity(100_000, 50_000, BEGIN_S + 20 * 86_400)]
    return ledger


class Author:
    """Draws one history: a pool of few terms, so that acts meet, and one scale of amounts."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.ledger = make_ledger()
        self.scale = self.rng.choice([10**3, 10**9, 10**18])
        self.assets = self.rng.sample(ASSETS, 2)
        self.pool = [self.draw_terms() for _ in range(4)]
        self.signed: list[tuple[str, tuple[Any, ...]]] = []
        """Openings and releases seen before, to send again."""

    def write(self, length: int) -> list[Told]:
        """A history with the model's word on every act."""
        return [self._tell(act) for act in self._draw_first()] + [self._tell(self.draw()) for _ in range(length)]

    def _tell(self, act: Act) -> Told:
        return Told(act, *tell(self.ledger, act))

    def _draw_first(self) -> list[Act]:
        """Every payer of the pool gets money, and every escrow of the pool some of it."""
        acts = []
        for terms in self.pool:
            amount = self.rng.randint(10, 1_000) * self.scale
            if terms.asset in ("tgpu", "tcpu"):
                acts.append(Act("mint", "provider0", (terms.asset, terms.payer, amount)))
            acts.append(Act("deposit", terms.payer, (terms.payer, terms.asset, amount)))
            acts.append(Act("open", terms.payer, (terms, amount // self.rng.choice((2, 3)))))
        return acts

    def draw(self) -> Act:
        draw: Callable[[Author], Act] = self.rng.choices(DRAWERS, WEIGHTS)[0]
        return draw(self)

    # ---- Parts of acts

    def draw_terms(self) -> Terms:
        rng = self.rng
        payer = rng.choice(PAYERS)
        return Terms(
            payer,
            rng.choice((*SIGNERS, payer)),
            rng.choice(PROVIDERS),
            rng.choice(self.assets),
            rng.choice(("none", "none", "split0", "split1", "whole")),
            rng.choice((MIN_THAW_S, 2 * MIN_THAW_S)),
            rng.choice((0, 1, 2**96 - 1)),
        )

    def terms(self) -> Terms:
        """One of the pool; sometimes with one thing wrong."""
        terms = self.rng.choice(self.pool)
        wrong: dict[str, Any] = {"thaw": MIN_THAW_S - 1, "split": "unknown", "signer": "nobody", "provider": "nobody"}
        if self.rng.random() < 0.03:
            name = self.rng.choice(list(wrong))
            terms = terms._replace(**{name: wrong[name]})
        return terms

    def amount(self, most: int) -> int:
        """Up to most; often just most, sometimes one too many or nothing."""
        kind = self.rng.random()
        if kind < 0.03:
            return 0
        if kind < 0.08:
            return min(MOST, most + 1)
        if kind < 0.3:
            return min(MOST, most)
        return self.rng.randint(min(most, 1), max(1, min(MOST, most)))

    def holder(self) -> tuple[str, str]:
        """An account that has credits, and which, if any has."""
        held = [(who, credit) for who in RICH for credit in ("tgpu", "tcpu") if self.ledger.tokens.balance[who, credit]]
        return self.rng.choice(held or [("payer0", "tgpu")])

    def someone(self, likely: str) -> str:
        return likely if self.rng.random() < 0.9 else self.rng.choice(PARTIES)

    def sign(self, by: str, over: tuple[Any, ...]) -> Signed:
        """Mostly what it should be; else by another, over something else, or damaged."""
        by = "stranger" if by == "nobody" else by
        kind = self.rng.random()
        if kind < 0.85:
            return Signed(by, over)
        if kind < 0.9:
            return Signed(self.rng.choice(PARTIES), over)
        if kind < 0.95:
            return Signed(by, (*over[:-1], over[-1] + 1 if over[-1] < MOST else 0))
        return Signed(by, None)

    def deadline(self) -> int:
        return self.ledger.time + self.rng.choice((-1, 0, 1, 10_000, 10**6, 10**6))


# ---- Acts


def draw_wait(author: Author) -> Act:
    seconds = author.rng.choice((1, 1, 60, MIN_THAW_S - 1, MIN_THAW_S, 2 * MIN_THAW_S, 86_400))
    if author.rng.random() < 0.08:
        seconds = 40 * 86_400
    return Act("wait", "", (seconds,))


def draw_deposit(author: Author) -> Act:
    asset = author.rng.choice(author.assets)
    caller = author.rng.choice(RICH)
    most = min(author.ledger.tokens.balance[caller, asset], 1_000 * author.scale)
    payer = author.someone(author.rng.choice((*PAYERS, "nobody") if author.rng.random() < 0.05 else PAYERS))
    return Act("deposit", caller, (payer, asset, author.amount(most)))


def draw_permit(author: Author) -> Act:
    caller, asset = author.holder()
    asset = "usd" if author.rng.random() < 0.1 else asset
    amount = author.amount(author.ledger.tokens.balance[caller, asset])
    deadline, nonce = author.deadline(), author.ledger.tokens.permits_used[caller, asset]
    sig = author.sign(caller, (asset, amount, nonce, deadline))
    return Act("deposit_with_permit", caller, (author.rng.choice(PAYERS), asset, amount, deadline, sig))


def draw_approve(author: Author) -> Act:
    asset = author.rng.choice(author.assets)
    return Act("approve", author.rng.choice(RICH), (asset, author.rng.choice((0, author.scale, WEALTH))))


def draw_withdraw(author: Author) -> Act:
    payer, asset = author.rng.choice(PAYERS), author.rng.choice(author.assets)
    to = author.rng.choice((payer, payer, "stranger", "provider0", "nobody", "escrow"))
    return Act("withdraw", author.someone(payer), (asset, author.amount(author.ledger.free[payer, asset]), to))


def draw_stop(author: Author) -> Act:
    asset = author.rng.choice((*author.assets, "nobody"))
    name = author.rng.choice(("stop_deposits", "resume_deposits", "resume_deposits"))
    return Act(name, author.someone(author.rng.choice(("guardian", "owner"))), (asset,))


def draw_cap(author: Author) -> Act:
    terms = author.terms()
    return Act("approve_opener", terms.payer, (terms.signer, terms.asset, author.amount(500 * author.scale)))


def draw_open(author: Author) -> Act:
    terms = author.terms()
    amount = author.amount(author.ledger.free[terms.payer, terms.asset] // author.rng.choice((1, 2, 4)))
    return Act("open", author.someone(terms.payer), (terms, amount))


def draw_open_by_sig(author: Author) -> Act:
    again = author.rng.random() < 0.1 and [args for name, args in author.signed if name == "open_by_sig"]
    if again:
        return Act("open_by_sig", "stranger", author.rng.choice(again))
    terms = author.terms()
    opener = author.someone(author.rng.choice((terms.payer, terms.signer)))
    most = author.ledger.free[terms.payer, terms.asset]
    if opener == terms.signer != terms.payer:
        most = min(most, author.ledger.caps[terms.payer, opener, terms.asset])
    amount, nonce, deadline = author.amount(most), author.rng.choice((*range(6), 255, 256, MOST)), author.deadline()
    sig = author.sign(opener, (terms, amount, nonce, deadline))
    args = (terms, amount, nonce, deadline, opener, sig)
    author.signed.append(("open_by_sig", args))
    return Act("open_by_sig", author.rng.choice(PARTIES), args)


def draw_thaw(author: Author) -> Act:
    terms = author.terms()
    name = author.rng.choice(("start_thaw", "start_thaw", "cancel_thaw"))
    if terms in author.ledger.thaws:
        name = author.rng.choice(("start_thaw", "cancel_thaw", "close", "close", "close"))
    elif author.rng.random() < 0.05:
        name = "close"
    return Act(name, author.someone(author.rng.choice((terms.payer, terms.signer))), (terms,))


def draw_release(author: Author) -> Act:
    terms = author.terms()
    low, high = author.ledger.claimed[terms], author.ledger.deposited[terms]
    kept = max(0, author.rng.choice((low, high, low - 1, author.rng.randint(low, max(low, high)))))
    return Act("release", author.someone(terms.provider), (terms, kept))


def draw_release_by_sig(author: Author) -> Act:
    again = author.rng.random() < 0.1 and [args for name, args in author.signed if name == "release_by_sig"]
    if again:
        return Act("release_by_sig", "stranger", author.rng.choice(again))
    terms, kept = draw_release(author).args
    signer = author.someone(author.rng.choice((terms.provider, NODE)))
    nonce, deadline = author.rng.choice((*range(6), 255)), author.deadline()
    args = (terms, kept, nonce, deadline, signer, author.sign(signer, ("release", terms, kept, nonce, deadline)))
    author.signed.append(("release_by_sig", args))
    return Act("release_by_sig", author.rng.choice(PARTIES), args)


def draw_refund(author: Author) -> Act:
    terms = author.terms()
    rest = author.ledger.deposited[terms] - author.ledger.claimed[terms]
    return Act("refund", author.someone("judge"), (terms, author.amount(rest)))


def draw_voucher(author: Author, terms: Terms) -> tuple[int, int, Signed]:
    """What a voucher promises, the hash it commits to, and its signature."""
    low, high = author.ledger.claimed[terms], author.ledger.deposited[terms]
    cumulative = author.rng.choice((low, high, high + 1, MOST, author.rng.randint(low, max(low, high)), low + 1))
    receipts = author.rng.randint(0, 3)
    return cumulative, receipts, author.sign(terms.signer, ("voucher", terms, cumulative, receipts))


def draw_claim(author: Author) -> Act:
    first = author.terms()
    same = [terms for terms in author.pool if terms[2:6] == first[2:6]] or [first]
    rows: list[Row] = []
    for _ in range(author.rng.choice((0, 1, 1, 2, 3, 5, 8))):
        terms = author.rng.choice((first, author.rng.choice(same), first._replace(nonce=author.rng.randint(0, 1))))
        rows.append(Row(terms.payer, terms.signer, terms.nonce, *draw_voucher(author, terms)))
    if rows and author.rng.random() < 0.2:
        rows.append(author.rng.choice(rows))
    return Act("claim", author.rng.choice(PARTIES), (*first[2:6], tuple(rows)))


def draw_claim_one(author: Author) -> Act:
    terms = author.terms()
    return Act("claim_one", author.rng.choice(PARTIES), (terms, *draw_voucher(author, terms)))


def draw_payout(author: Author) -> Act:
    """An account collects what waits for it or another."""
    rng = author.rng
    asset, split = rng.choice(author.assets), rng.choice(tuple(SPLITS))
    name, args = rng.choice(
        [
            ("withdraw_owed", (rng.choice(PROVIDERS), asset)),
            ("withdraw_fees", (asset,)),
            ("pay_split", (split, asset)),
            ("distribute", (split, asset)),
            ("withdraw_share", (rng.choice((*RECIPIENTS, "payer0")), asset)),
        ]
    )
    return Act(name, rng.choice(PARTIES), args)


def draw_fee(author: Author) -> Act:
    if author.rng.random() < 0.3:
        return Act("set_fee_recipient", author.someone("owner"), (author.rng.choice(("treasury", "nobody", "escrow")),))
    ppm = author.rng.choice((0, 1, 10_000, 33_333, 50_000, 50_001))
    return Act("set_fee", author.someone("owner"), (author.rng.choice(author.assets), ppm))


def draw_mint(author: Author) -> Act:
    provider, credit = author.rng.choice(PROVIDERS), author.rng.choice(("tgpu", "tcpu"))
    room = max(0, author.ledger.limit_of(provider, credit) - author.ledger.outstanding[provider, credit])
    to = author.rng.choice((*RICH, "nobody") if author.rng.random() < 0.05 else RICH)
    return Act("mint", author.someone(provider), (credit, to, author.amount(room // author.rng.choice((1, 4, 16)))))


def draw_burn(author: Author) -> Act:
    holder, credit = author.holder()
    provider = author.rng.choice(PROVIDERS)
    most = author.ledger.tokens.balance[holder, credit] // author.rng.choice((1, 2, 8))
    if author.rng.random() < 0.5:
        return Act("burn_at", holder, (credit, provider, author.amount(most)))
    short = author.ledger.redeemable_of(provider, credit)
    if author.rng.random() < 0.2:
        return Act("redeem", holder, (credit, provider, short + 1))
    return Act("redeem", holder, (credit, provider, author.amount(min(most, short) if most else short)))


def draw_setting(author: Author) -> Act:
    """Terms of credits, once those of the deployment are old enough that the day of it does not matter."""
    rng = author.rng
    credit = rng.choice(("tgpu", "tcpu"))
    if author.ledger.time < BEGIN_S + TERMS_INTERVAL_S:
        return draw_wait(author)
    name, current = rng.choice(
        (("set_ratio", author.ledger.ratio[credit]), ("set_window", author.ledger.window[credit]))
    )
    value = rng.choice(
        (current // 2 - 1, -(-current // 2), current * 2, current * 2 + 1, rng.randint(current, 2 * current))
    )
    return Act(name, author.someone("owner"), (credit, value))


def draw_stake(author: Author) -> Act:
    """In and out of a compartment, and what holds a pledge."""
    rng, ledger = author.rng, author.ledger
    provider, role = rng.choice(PROVIDERS), rng.choice((PROVIDER, PROVIDER, VERIFIER))
    place = (provider, role)
    kind = rng.random()
    if kind < 0.35:
        whose = "nobody" if rng.random() < 0.05 else provider
        return Act("stake", "treasury", (whose, role, author.amount(rng.choice((author.scale, 500 * ONE)))))
    if ledger.thaw_end[place] and kind < 0.6:
        if ledger.time < ledger.thaw_end[place] and rng.random() < 0.5:
            return Act("wait", "stranger", (ledger.thaw_end[place] - ledger.time,))
        return Act("withdraw_stake", author.someone(provider), (role,))
    if kind < 0.8:
        free = max(0, ledger.staked[place] - ledger.held_in(place))
        return Act("start_unstake", author.someone(provider), (role, author.amount(free // rng.choice((1, 2)))))
    if kind < 0.9:
        return Act("hold_pledge", "stranger", (provider, rng.randint(0, 2 * ledger.staked[provider, VERIFIER])))
    return Act("burn_forfeit", rng.choice(PARTIES), (provider,))


def draw_loss(author: Author) -> Act:
    """A fault of any kind, dated now, ahead or long ago, or a breach."""
    rng = author.rng
    provider, role = rng.choice(PROVIDERS), rng.choice((PROVIDER, PROVIDER, VERIFIER))
    judge, to = author.someone("judge"), rng.choice(("stranger", "nobody", provider))
    if rng.random() < 0.4:
        amount = author.amount(author.ledger.own_of((provider, role)) // rng.choice((1, 3, 50)))
        if rng.random() < 0.5:
            return Act("announce", judge, (provider, role, amount, rng.choice((0, 1, amount))))
        return Act("compensate", judge, (provider, role, to, amount, rng.randint(1, 9)))
    ppm = rng.choice((0, 1, 200_000, 200_000, 300_000, 500_000, 1_000_001))
    dated_s = author.ledger.time - rng.choice((0, 0, 60, 86_400, 40 * 86_400, -3_600))
    return Act("slash", judge, (provider, role, rng.randint(1, 3), ppm, dated_s, rng.randint(1, 9), to))


def draw_world(author: Author) -> Act:
    """What happens outside of the ledgers."""
    rng = author.rng
    provider, holder = rng.choice(PROVIDERS), rng.choice(RICH)
    asset = rng.choice(ASSETS)
    milli = rng.choice((0, 1, 10_000, 500_000))
    capacity = Capacity(milli, rng.choice((0, 5, 80_000)), author.ledger.time + rng.choice((100, 10 * 86_400)))
    amount = author.amount(author.ledger.tokens.balance[holder, asset])
    name, caller, args = rng.choice(
        [
            (
                "block",
                "stranger",
                ("usd", rng.choice((*PROVIDERS, "treasury", "recipient0", "payer1")), rng.random() < 0.5),
            ),
            ("refuse", "stranger", (rng.random() < 0.5,)),
            ("set_payout", provider, (rng.choice(("recipient1", "treasury", "nobody")),)),
            ("give_capacity", "stranger", (provider, capacity)),
            ("end_capacity", "stranger", (provider,)),
            ("transfer", holder, (asset, rng.choice((*RICH, "escrow", "splits")), amount)),
            ("make", "stranger", (rng.choice(("usd", "toy")), rng.choice((*RICH, "escrow")), author.scale)),
        ]
    )
    return Act(name, caller, args)


ODDS: tuple[tuple[Callable[[Author], Act], int], ...] = (
    *((draw_wait, 10), (draw_deposit, 7), (draw_permit, 3), (draw_approve, 1), (draw_withdraw, 5), (draw_stop, 2)),
    *(
        (draw_cap, 4),
        (draw_open, 14),
        (draw_open_by_sig, 8),
        (draw_thaw, 12),
        (draw_release, 4),
        (draw_release_by_sig, 4),
    ),
    *((draw_refund, 3), (draw_claim, 16), (draw_claim_one, 8), (draw_payout, 10), (draw_fee, 4), (draw_mint, 5)),
    *((draw_burn, 8), (draw_world, 7), (draw_setting, 3), (draw_stake, 16), (draw_loss, 12)),
)
DRAWERS = [draw for draw, _ in ODDS]
WEIGHTS = [odds for _, odds in ODDS]


def tell(ledger: Ledger, act: Act) -> tuple[list[Any], str]:
    """What the model says of an act, which happens to it."""
    if act.name == "wait":
        ledger.time += act.args[0]
        return [], ""
    return ledger.act(act.name, act.caller, act.args)


def tell_all(acts: list[Act]) -> tuple[Ledger, list[Told]]:
    """A history from the beginning."""
    ledger = make_ledger()
    return ledger, [Told(act, *tell(ledger, act)) for act in acts]
