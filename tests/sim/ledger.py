"""Ledger: a model of PaymentEscrow: pooled balances, openings, claims, release, thaw, close; one transaction after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from metering.eip712 import typed_digest
from metering.receipt import SignedReceipt
from metering.signature import recover_signer
from metering.terms import Escrow, Opening, escrow_id_of
from metering.units import ZERO_ADDRESS, ZERO_HASH, Address, Hash32
from metering.voucher import voucher_digest_of
from xnode.ports.chain import ClaimRow, Shortfall, Silence

MIN_THAW_S = 10
MAX_THAW_S = 30 * 24 * 3600


class Reverted(Exception):
    """The contract refuses the call."""


@dataclass(slots=True)
class Funds:
    """One escrow."""

    payer: Address
    provider: Address
    deposited: int = 0
    claimed: int = 0
    thaw_end: int = 0


@dataclass(slots=True)
class Ledger:
    """All balances of one asset. Every method checks as the contract does, raises Reverted, or changes the balances."""

    separator: Hash32
    deposited: int = 0
    free: dict[Address, int] = field(default_factory=dict)
    paid: dict[Address, int] = field(default_factory=dict)
    caps: dict[tuple[Address, Address], int] = field(default_factory=dict)
    escrows: dict[Hash32, Funds] = field(default_factory=dict)
    nonces: set[tuple[Address, bytes]] = field(default_factory=set)
    silences: dict[Hash32, Silence] = field(default_factory=dict)
    shortfalls: dict[Hash32, Shortfall] = field(default_factory=dict)
    on_change: Callable[[], None] = lambda: None

    def copy(self) -> Ledger:
        """The same balances, to try a call on."""
        escrows = {key: replace(funds) for key, funds in self.escrows.items()}
        return Ledger(
            self.separator,
            self.deposited,
            dict(self.free),
            dict(self.paid),
            dict(self.caps),
            escrows,
            set(self.nonces),
            dict(self.silences),
            dict(self.shortfalls),
        )

    def deposit(self, payer: Address, amount: int) -> None:
        """Put tokens into the payer's pooled balance."""
        self.deposited += amount
        self.free[payer] = self.free.get(payer, 0) + amount

    def find(self, escrow: Escrow) -> Funds:
        """The escrow's funds, empty when it never was opened."""
        escrow_id = escrow_id_of(self.separator, escrow)
        return self.escrows.setdefault(escrow_id, Funds(escrow.payer, escrow.provider))

    def open_by_sig(self, now_s: int, escrow: Escrow, opening: Opening, signature: bytes) -> None:
        """Reserve what the payer, or an opener it approved, has signed."""
        opener = recover_signer(typed_digest(self.separator, "Opening", opening), signature)
        funds = self.find(escrow)
        self._need(opening.escrow_id == escrow_id_of(self.separator, escrow), "WrongEscrow")
        self._need(now_s <= opening.deadline, "SignatureExpired")
        self._need(opener in (escrow.payer, escrow.signer) and opener is not None, "WrongOpeningSignature")
        assert opener is not None
        self._need((opener, opening.nonce) not in self.nonces, "NonceAlreadyUsed")
        cap_key = (escrow.payer, opener)
        if opener != escrow.payer:
            self._need(opening.amount <= self.caps.get(cap_key, 0), "OpenerCapExceeded")
        self._need(opening.amount > 0 and escrow.split == ZERO_HASH, "ZeroAmount")
        self._need(ZERO_ADDRESS not in (escrow.signer, escrow.provider), "ZeroAddress")
        self._need(MIN_THAW_S <= escrow.thaw <= MAX_THAW_S, "ThawOutOfBounds")
        self._need(not funds.thaw_end, "AlreadyThawing")
        self._need(self.free.get(escrow.payer, 0) >= opening.amount, "NotEnoughFree")
        self.nonces.add((opener, opening.nonce))
        if opener != escrow.payer:
            self.caps[cap_key] -= opening.amount
        self.free[escrow.payer] -= opening.amount
        funds.deposited += opening.amount
        self.on_change()

    def claim_and_release(self, caller: Address, row: ClaimRow, release: bool) -> None:
        """Pay what the voucher promises and the escrow holds; give the rest back. A bad row is skipped."""
        funds = self.find(row.escrow)
        if row.voucher is not None:
            signer = recover_signer(voucher_digest_of(self.separator, row.voucher), row.signature)
            reached = min(row.voucher.cumulative, funds.deposited)
            if signer == row.escrow.signer and reached > funds.claimed:
                paid = reached - funds.claimed
                funds.claimed = reached
                self.paid[funds.provider] = self.paid.get(funds.provider, 0) + paid
        if release:
            self._need(caller == row.escrow.provider, "NotProvider")
            self._give_back(funds)
        self.on_change()

    def start_thaw(self, now_s: int, caller: Address, escrow: Escrow) -> None:
        """Begin to take the rest back."""
        funds = self.find(escrow)
        self._need(caller in (escrow.payer, escrow.signer), "NotPayerOrSigner")
        self._need(funds.deposited != funds.claimed, "EscrowEmpty")
        self._need(not funds.thaw_end, "AlreadyThawing")
        funds.thaw_end = now_s + escrow.thaw
        self.on_change()

    def close(self, now_s: int, escrow: Escrow) -> None:
        """Take the rest back after the thaw."""
        funds = self.find(escrow)
        self._need(bool(funds.thaw_end), "NotThawing")
        self._need(now_s >= funds.thaw_end, "StillThawing")
        self._give_back(funds)
        funds.thaw_end = 0
        self.on_change()

    def check_conserved(self) -> None:
        """No token appears or disappears."""
        held = sum(funds.deposited - funds.claimed for funds in self.escrows.values())
        assert sum(self.free.values()) + held + sum(self.paid.values()) == self.deposited, "tokens are not conserved"
        assert all(0 <= funds.claimed <= funds.deposited for funds in self.escrows.values())
        assert all(amount >= 0 for amount in self.free.values())

    def _give_back(self, funds: Funds) -> None:
        self.free[funds.payer] = self.free.get(funds.payer, 0) + funds.deposited - funds.claimed
        funds.deposited = funds.claimed

    def show_receipt(self, now_s: int, newer: SignedReceipt) -> None:
        """Answer a claim of silence."""
        receipt = newer.receipt
        claimed = self.silences.get(receipt.lease_id)
        is_new = claimed is not None and receipt.number > claimed.number
        is_late = claimed is not None and (receipt.final or receipt.at_ns >= claimed.late_ns)
        is_answer = is_new and is_late and claimed is not None and now_s <= claimed.answer_until
        self._need(is_answer or receipt.final, "NotAnAnswer")
        if is_answer:
            del self.silences[receipt.lease_id]

    def collect(self, now_s: int, lease_id: Hash32) -> None:
        """Pay what stake owes for a lease."""
        short = self.shortfalls.get(lease_id)
        self._need(short is not None and short.payable_at <= now_s < short.payable_until, "NothingToRefund")
        del self.shortfalls[lease_id]

    def _need(self, holds: bool, error: str) -> None:
        if not holds:
            raise Reverted(error)
