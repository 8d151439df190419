"""The contracts' ledgers as plain Python: what PaymentEscrow, SplitRegistry, ComputeCredit and the
stake in ProviderRegistry should do, by their interfaces.

An act either changes the state and says its events, or raises Refused and changes nothing. Nothing here is taken from the
Solidity's way of doing it: no slots, no packing, no widths but those the interfaces promise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from tests.contracts.ledger_credits import CreditLedger
from tests.contracts.ledger_tokens import Pair
from tests.contracts.ledger_words import (
    CREDITS,
    MAX_FEE_PPM,
    MAX_FEES,
    MAX_ROWS,
    MAX_THAW_S,
    MILLION,
    MIN_THAW_S,
    SPLITS,
    Event,
    Refused,
    Row,
    Signed,
    Terms,
)


class Ledger(CreditLedger):
    """All that the contracts keep, and what each act does to it. time: seconds, set from outside."""

    def __init__(self, time: int) -> None:
        super().__init__(time)
        self.free: defaultdict[Pair, int] = defaultdict(int)
        self.deposited: defaultdict[Terms, int] = defaultdict(int)
        self.claimed: defaultdict[Terms, int] = defaultdict(int)
        self.thaws: dict[Terms, tuple[int, bool]] = {}
        self.caps: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self.nonces: set[tuple[str, int]] = set()
        self.settled: defaultdict[Pair, int] = defaultdict(int)
        self.refunded: defaultdict[Pair, int] = defaultdict(int)
        self.owed: defaultdict[Pair, int] = defaultdict(int)
        self.owed_to_split: defaultdict[Pair, int] = defaultdict(int)
        self.fee_ppm: defaultdict[str, int] = defaultdict(int)
        self.fees: defaultdict[str, int] = defaultdict(int)
        self.fee_recipient = "nobody"
        self.stopped: set[str] = set()
        self.payouts: dict[str, str] = {}
        self.node_keys: dict[str, str] = {}
        self.pots: defaultdict[Pair, list[int]] = defaultdict(lambda: [0, 0])
        self.owed_to: defaultdict[Pair, int] = defaultdict(int)
        self.toy_refuses = False

    def act(self, name: str, caller: str, args: Iterable[Any]) -> tuple[list[Event], str]:
        """The events of one transaction and nothing, or no events and the error's name."""
        self.events = []
        do: Callable[..., None] = getattr(self, "do_" + name)
        try:
            do(caller, *args)
        except Refused as refused:
            return [], str(refused)
        return self.events, ""

    def liabilities(self, asset: str) -> int:
        """What the escrow owes, counted from its parts."""
        parts: list[dict[Pair, int]] = [self.free, self.owed, self.owed_to_split]
        sums = sum(amount for part in parts for (_, of), amount in part.items() if of == asset)
        reserves = sum(self.deposited[terms] - self.claimed[terms] for terms in self.deposited if terms.asset == asset)
        return sums + reserves + self.fees[asset]

    def total_ppm(self, split: str) -> int:
        return 0 if split == "unknown" else sum(ppm for _, ppm in SPLITS[split])

    def payout_of(self, provider: str) -> str:
        return self.payouts.get(provider, provider)

    # ---- Deposits

    def do_deposit(self, caller: str, payer: str, asset: str, amount: int) -> None:
        if asset in self.stopped or "nobody" in self.stopped:
            raise Refused("DepositsAreStopped")
        if payer == "nobody":
            raise Refused("ZeroAddress")
        if amount == 0:
            raise Refused("ZeroAmount")
        if self.tokens.allowance[caller, asset] < amount:
            raise Refused("ERC20InsufficientAllowance")
        if self.tokens.balance[caller, asset] < amount:
            raise Refused("ERC20InsufficientBalance")
        self.tokens.allowance[caller, asset] -= amount
        self.tokens.move(caller, "escrow", asset, amount)
        self.free[payer, asset] += amount
        self.say("Deposited", payer, asset, amount)

    def do_deposit_with_permit(
        self, caller: str, payer: str, asset: str, amount: int, deadline: int, sig: Signed
    ) -> None:
        nonce = self.tokens.permits_used[caller, asset]
        permitted = sig == Signed(caller, (asset, amount, nonce, deadline)) and deadline >= self.time
        before = self.tokens.allowance[caller, asset], nonce
        # usd and toy know no permits; a permit that is refused is no reason to refuse the deposit.
        if permitted and asset in ("tgpu", "tcpu"):
            self.tokens.allowance[caller, asset] = amount
            self.tokens.permits_used[caller, asset] += 1
        try:
            self.do_deposit(caller, payer, asset, amount)
        except Refused:
            self.tokens.allowance[caller, asset], self.tokens.permits_used[caller, asset] = before
            raise

    def do_approve(self, caller: str, asset: str, amount: int) -> None:
        self.tokens.allowance[caller, asset] = amount

    def do_withdraw(self, caller: str, asset: str, amount: int, to: str) -> None:
        if amount == 0:
            raise Refused("ZeroAmount")
        if to in ("nobody", "escrow"):
            raise Refused("BadRecipient")
        if amount > self.free[caller, asset]:
            raise Refused("NotEnoughFree")
        self.tokens.check_pay(to, asset)
        self.free[caller, asset] -= amount
        self.tokens.move("escrow", to, asset, amount)
        self.say("Withdrawn", caller, asset, to, amount)

    def do_stop_deposits(self, caller: str, asset: str) -> None:
        self._check_guardian(caller)
        self.stopped.add(asset)
        self.say("DepositsStopped", asset, caller)

    def do_resume_deposits(self, caller: str, asset: str) -> None:
        self._check_guardian(caller)
        self.stopped.discard(asset)
        self.say("DepositsResumed", asset, caller)

    def _check_guardian(self, caller: str) -> None:
        if caller not in ("guardian", "owner"):
            raise Refused("NotGuardian")

    # ---- Opening

    def do_approve_opener(self, caller: str, opener: str, asset: str, cap: int) -> None:
        if opener == "nobody":
            raise Refused("ZeroAddress")
        self.caps[caller, opener, asset] = cap
        self.say("OpenerApproved", caller, opener, asset, cap)

    def do_open(self, caller: str, terms: Terms, amount: int) -> None:
        if caller != terms.payer:
            raise Refused("NotPayer")
        self._open(terms, amount)

    def do_open_by_sig(
        self, caller: str, terms: Terms, amount: int, nonce: int, deadline: int, opener: str, sig: Signed
    ) -> None:
        if self.time > deadline:
            raise Refused("SignatureExpired")
        if sig != Signed(opener, (terms, amount, nonce, deadline)):
            raise Refused("WrongOpeningSignature")
        if (opener, nonce) in self.nonces:
            raise Refused("NonceAlreadyUsed")
        if opener != terms.payer:
            if opener != terms.signer:
                raise Refused("OpenerIsNotSigner")
            if amount > self.caps[terms.payer, opener, terms.asset]:
                raise Refused("OpenerCapExceeded")
        self._open(terms, amount)
        self.nonces.add((opener, nonce))
        if opener != terms.payer:
            self.caps[terms.payer, opener, terms.asset] -= amount

    def _open(self, terms: Terms, amount: int) -> None:
        if amount == 0:
            raise Refused("ZeroAmount")
        if "nobody" in (terms.signer, terms.provider):
            raise Refused("ZeroAddress")
        if terms.split != "none" and self.total_ppm(terms.split) == 0:
            raise Refused("SplitNotRegistered")
        if not MIN_THAW_S <= terms.thaw <= MAX_THAW_S:
            raise Refused("ThawOutOfBounds")
        if terms in self.thaws:
            raise Refused("AlreadyThawing")
        if amount > self.free[terms.payer, terms.asset]:
            raise Refused("NotEnoughFree")
        self.free[terms.payer, terms.asset] -= amount
        is_new = self.deposited[terms] == 0
        self.deposited[terms] += amount
        if is_new:
            told = (terms.payer, terms.provider, terms.signer, terms.asset, terms.split, terms.thaw, terms.nonce)
            self.say("EscrowOpened", terms, *told, self.deposited[terms])
        else:
            self.say("EscrowToppedUp", terms, self.deposited[terms])

    # ---- Giving back

    def do_start_thaw(self, caller: str, terms: Terms) -> None:
        by_payer = self._check_payer_or_signer(caller, terms)
        if self.deposited[terms] == self.claimed[terms]:
            raise Refused("EscrowEmpty")
        end, was_by_payer = self.thaws.get(terms, (0, False))
        if end and (was_by_payer or not by_payer):
            raise Refused("AlreadyThawing")
        end = end or self.time + terms.thaw
        self.thaws[terms] = (end, by_payer)
        self.say("ThawStarted", terms, end)

    def do_cancel_thaw(self, caller: str, terms: Terms) -> None:
        by_payer = self._check_payer_or_signer(caller, terms)
        if terms not in self.thaws:
            raise Refused("NotThawing")
        if self.thaws[terms][1] and not by_payer:
            raise Refused("ThawStartedByPayer")
        del self.thaws[terms]
        self.say("ThawCancelled", terms)

    def do_close(self, caller: str, terms: Terms) -> None:
        if terms not in self.thaws:
            raise Refused("NotThawing")
        if self.time < self.thaws[terms][0]:
            raise Refused("StillThawing")
        rest = self._give_back(terms, self.claimed[terms])
        del self.thaws[terms]
        self.say("EscrowClosed", terms, rest)

    def do_release(self, caller: str, terms: Terms, kept: int) -> None:
        self._check_provider(caller, terms.provider)
        self._release(terms, kept)

    def do_release_by_sig(
        self, caller: str, terms: Terms, kept: int, nonce: int, deadline: int, signer: str, sig: Signed
    ) -> None:
        if self.time > deadline:
            raise Refused("SignatureExpired")
        self._check_provider(signer, terms.provider)
        if sig != Signed(signer, ("release", terms, kept, nonce, deadline)):
            raise Refused("WrongReleaseSignature")
        if (signer, nonce) in self.nonces:
            raise Refused("NonceAlreadyUsed")
        self._release(terms, kept)
        self.nonces.add((signer, nonce))

    def do_refund(self, caller: str, terms: Terms, amount: int) -> None:
        if caller != "judge":
            raise Refused("NotRefunder")
        given = min(amount, self.deposited[terms] - self.claimed[terms])
        if given == 0:
            return
        self.claimed[terms] += given
        self.free[terms.payer, terms.asset] += given
        self.refunded[terms.provider, terms.asset] += given
        self.say("Refunded", terms, given, self.claimed[terms])

    def _release(self, terms: Terms, kept: int) -> None:
        if kept < self.claimed[terms]:
            raise Refused("ReleaseBelowClaimed")
        if kept < self.deposited[terms]:
            rest = self._give_back(terms, kept)
            self.say("Released", terms, rest, kept)

    def _give_back(self, terms: Terms, kept: int) -> int:
        rest = self.deposited[terms] - kept
        self.deposited[terms] = kept
        self.free[terms.payer, terms.asset] += rest
        return rest

    def _check_payer_or_signer(self, caller: str, terms: Terms) -> bool:
        if caller not in (terms.payer, terms.signer):
            raise Refused("NotPayerOrSigner")
        return caller == terms.payer

    def _check_provider(self, signer: str, provider: str) -> None:
        if signer not in (provider, self.node_keys.get(provider)):
            raise Refused("NotProvider")

    # ---- Claiming

    def do_claim(self, caller: str, provider: str, asset: str, split: str, thaw: int, rows: tuple[Row, ...]) -> None:
        if len(rows) > MAX_ROWS:
            raise Refused("TooManyRows")
        paid = 0
        for row in rows:
            terms = Terms(row.payer, row.signer, provider, asset, split, thaw, row.nonce)
            paid += self._settle(terms, row.cumulative, row.receipts, row.sig)
        self._pay_out(provider, asset, split, paid)

    def do_claim_one(self, caller: str, terms: Terms, cumulative: int, receipts: int, sig: Signed) -> None:
        paid = self._settle(terms, cumulative, receipts, sig)
        self._pay_out(terms.provider, terms.asset, terms.split, paid)

    def do_withdraw_owed(self, caller: str, provider: str, asset: str) -> None:
        amount = self.owed[provider, asset]
        if amount == 0:
            return
        is_credit = asset in CREDITS
        payout = "nobody" if is_credit else self.payout_of(provider)
        if asset == "toy" and self.toy_refuses:
            raise Refused("Error")
        if not is_credit:
            self.tokens.check_pay(payout, asset)
        self.owed[provider, asset] = 0
        self.say("OwedWithdrawn", provider, asset, payout, amount)
        self._give(provider, asset, payout, amount)

    def _settle(self, terms: Terms, cumulative: int, receipts: int, sig: Signed) -> int:
        reached = min(cumulative, self.deposited[terms])
        before = self.claimed[terms]
        if sig == Signed(terms.signer, ("voucher", terms, cumulative, receipts)) and reached > before:
            self.claimed[terms] = reached
            self.say("Claimed", terms, reached, receipts)
            return reached - before
        reason = 1 if cumulative <= before else 3 if self.deposited[terms] <= before else 2
        self.say("ClaimSkipped", terms, reason)
        return 0

    def _pay_out(self, provider: str, asset: str, split: str, amount: int) -> None:
        if amount == 0:
            return
        fee = amount * self.fee_ppm[asset] // MILLION
        if self.fees[asset] + fee > MAX_FEES:
            fee = 0
        share = (amount - fee) * self.total_ppm(split) // MILLION
        rest = amount - fee - share
        self.fees[asset] += fee
        self.owed_to_split[split, asset] += share
        self.settled[provider, asset] += amount
        if fee or share:
            self.say("ClaimShared", provider, asset, split, fee, share)
        payout = "nobody" if asset in CREDITS else self.payout_of(provider)
        fails = self.toy_refuses if asset == "toy" else self.tokens.is_blocked(payout, asset)
        if fails and rest:
            self.owed[provider, asset] += rest
            self.say("PayoutDeferred", provider, asset, rest)
            return
        if rest:
            self._give(provider, asset, payout, rest)
        self.say("ProviderPaid", provider, asset, payout, rest)

    def _give(self, provider: str, asset: str, payout: str, amount: int) -> None:
        if asset not in CREDITS:
            self.tokens.move("escrow", payout, asset, amount)
            return
        self.tokens.burn("escrow", asset, amount)
        if asset != "toy":
            self.note_burned(provider, asset, "escrow", amount)

    # ---- What is taken: fees and splits

    def do_set_fee(self, caller: str, asset: str, ppm: int) -> None:
        if caller != "owner":
            raise Refused("OwnableUnauthorizedAccount")
        if ppm > MAX_FEE_PPM:
            raise Refused("FeeOutOfBounds")
        self.fee_ppm[asset] = ppm
        self.say("FeeSet", asset, ppm)

    def do_set_fee_recipient(self, caller: str, recipient: str) -> None:
        if caller != "owner":
            raise Refused("OwnableUnauthorizedAccount")
        if recipient == "escrow":
            raise Refused("BadRecipient")
        self.fee_recipient = recipient
        self.say("FeeRecipientSet", recipient)

    def do_withdraw_fees(self, caller: str, asset: str) -> None:
        amount = self.fees[asset]
        if amount == 0:
            return
        if self.fee_recipient == "nobody":
            raise Refused("BadRecipient")
        self.tokens.check_pay(self.fee_recipient, asset)
        self.fees[asset] = 0
        self.say("FeesWithdrawn", asset, self.fee_recipient, amount)
        self.tokens.move("escrow", self.fee_recipient, asset, amount)

    def do_pay_split(self, caller: str, split: str, asset: str) -> None:
        amount = self.owed_to_split[split, asset]
        if amount == 0:
            return
        self.owed_to_split[split, asset] = 0
        self.say("SplitPaid", split, asset, amount)
        self.pots[split, asset][0] += amount
        self.say("Accrued", split, asset, amount, contract="splits")
        self.tokens.move("escrow", "splits", asset, amount)

    def do_distribute(self, caller: str, split: str, asset: str) -> None:
        if self.total_ppm(split) == 0:
            raise Refused("SplitNotRegistered")
        received, before = self.pots[split, asset]
        if received == before:
            return
        self.pots[split, asset][1] = received
        self.say("Distributed", split, asset, received - before, contract="splits")
        total = self.total_ppm(split)
        for recipient, ppm in SPLITS[split]:
            # What each should have of all that ever came, less what it should have had before: no dust is lost over time.
            self.owed_to[recipient, asset] += received * ppm // total - before * ppm // total

    def do_withdraw_share(self, caller: str, recipient: str, asset: str) -> None:
        amount = self.owed_to[recipient, asset]
        if amount == 0:
            return
        self.tokens.check_pay(recipient, asset)
        self.owed_to[recipient, asset] = 0
        self.say("SharePaid", recipient, asset, amount, contract="splits")
        self.tokens.move("splits", recipient, asset, amount)

    # ---- The world around

    def do_transfer(self, caller: str, asset: str, to: str, amount: int) -> None:
        self.tokens.check_pay(to, asset)
        if self.tokens.balance[caller, asset] < amount:
            raise Refused("ERC20InsufficientBalance")
        self.tokens.move(caller, to, asset, amount)

    def do_make(self, caller: str, asset: str, to: str, amount: int) -> None:
        self.tokens.check_pay(to, asset)
        self.tokens.make(to, asset, amount)

    def do_block(self, caller: str, asset: str, who: str, blocked: bool) -> None:
        (self.tokens.blocked.add if blocked else self.tokens.blocked.discard)(who)

    def do_refuse(self, caller: str, refuses: bool) -> None:
        self.toy_refuses = refuses

    def do_set_payout(self, caller: str, payout: str) -> None:
        self.payouts[caller] = payout
        if payout == "nobody":
            del self.payouts[caller]
        self.say("PayoutSet", caller, self.payout_of(caller), contract="registry")
