"""How each act of a history is asked of the contracts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.contracts.ledger_words import Capacity, Row, Signed, Terms

if TYPE_CHECKING:
    from tests.contracts.ledger_chain import Market
    from tests.contracts.ledger_history import Act

Call = tuple[str, str, tuple[Any, ...]]
"""Contract, function and its arguments."""


def make_call(market: Market, act: Act) -> tuple[str, bytes]:
    """The contract to call, by name, and the calldata."""
    special = SPECIAL.get(act.name)
    if special is not None:
        contract, function, args = special(market, act.caller, *act.args)
    else:
        contract, function = PLAIN[act.name]
        args = tuple(convert(market, arg) for arg in act.args)
    return contract, market.abi[contract].encode(function, *args)


PLAIN = {
    "deposit": ("escrow", "deposit"),
    "withdraw": ("escrow", "withdraw"),
    "stop_deposits": ("escrow", "stopDeposits"),
    "resume_deposits": ("escrow", "resumeDeposits"),
    "approve_opener": ("escrow", "approveOpener"),
    "open": ("escrow", "open"),
    "start_thaw": ("escrow", "startThaw"),
    "cancel_thaw": ("escrow", "cancelThaw"),
    "close": ("escrow", "close"),
    "release": ("escrow", "release"),
    "refund": ("escrow", "refund"),
    "withdraw_owed": ("escrow", "withdrawOwed"),
    "set_fee": ("escrow", "setFee"),
    "set_fee_recipient": ("escrow", "setFeeRecipient"),
    "withdraw_fees": ("escrow", "withdrawFees"),
    "withdraw_share": ("splits", "withdraw"),
    "refuse": ("toy", "refuse"),
    "set_payout": ("registry", "setPayout"),
    "end_capacity": ("capacity", "end"),
    "hold_pledge": ("capacity", "hold"),
    "stake": ("registry", "stakeInto"),
    "start_unstake": ("registry", "startUnstakeFrom"),
    "withdraw_stake": ("registry", "withdrawStakeFrom"),
    "burn_forfeit": ("registry", "burnForfeit"),
}
"""Acts whose arguments are those of a function, in its order."""


def convert(market: Market, arg: Any) -> Any:
    if isinstance(arg, Terms):
        market.id_of(arg)
        return market.terms_of(arg)
    return market.address[arg] if isinstance(arg, str) else arg


def call_permit(market: Market, caller: str, payer: str, asset: str, amount: int, deadline: int, sig: Signed) -> Call:
    over = sig.over or (asset, amount, 0, deadline)
    made = market.sign_permit(sig, caller, *over)
    split = (made[64], made[:32], made[32:64])
    return "escrow", "depositWithPermit", (market.address[payer], market.address[asset], amount, deadline, *split)


def call_open_by_sig(
    market: Market, caller: str, terms: Terms, amount: int, nonce: int, deadline: int, opener: str, sig: Signed
) -> Call:
    of, signed_amount, signed_nonce, signed_deadline = sig.over or (terms, amount, nonce, deadline)
    fields = {"amount": signed_amount, "nonce": signed_nonce, "deadline": signed_deadline}
    made = market.sign(sig, "Opening", escrow_id=market.id_of(of), **fields)
    opening = (market.id_of(terms), amount, nonce, deadline)
    return "escrow", "openBySig", (market.terms_of(terms), opening, market.address[opener], made)


def call_release_by_sig(
    market: Market, caller: str, terms: Terms, kept: int, nonce: int, deadline: int, signer: str, sig: Signed
) -> Call:
    _, of, signed_kept, signed_nonce, signed_deadline = sig.over or ("", terms, kept, nonce, deadline)
    fields = {"new_deposited": signed_kept, "nonce": signed_nonce, "deadline": signed_deadline}
    made = market.sign(sig, "Release", escrow_id=market.id_of(of), **fields)
    order = (market.id_of(terms), kept, nonce, deadline)
    return "escrow", "releaseBySig", (market.terms_of(terms), order, market.address[signer], made)


def sign_voucher(market: Market, terms: Terms, cumulative: int, receipts: int, sig: Signed) -> bytes:
    _, of, signed_cumulative, signed_receipts = sig.over or ("", terms, cumulative, receipts)
    hash_ = signed_receipts.to_bytes(32, "big")
    market.id_of(terms)
    return market.sign(sig, "Voucher", escrow_id=market.id_of(of), cumulative=signed_cumulative, receipts_hash=hash_)


def call_claim(
    market: Market, caller: str, provider: str, asset: str, split: str, thaw: int, rows: tuple[Row, ...]
) -> Call:
    packed = b""
    for row in rows:
        terms = Terms(row.payer, row.signer, provider, asset, split, thaw, row.nonce)
        packed += market.pack(row, sign_voucher(market, terms, row.cumulative, row.receipts, row.sig))
    batch = (market.address[provider], market.address[asset], market.split_ids[split], thaw, packed)
    return "escrow", "claim", batch


def call_claim_one(market: Market, caller: str, terms: Terms, cumulative: int, receipts: int, sig: Signed) -> Call:
    made = sign_voucher(market, terms, cumulative, receipts, sig)
    return "escrow", "claimOne", (market.terms_of(terms), cumulative, receipts.to_bytes(32, "big"), made)


def call_capacity(market: Market, caller: str, provider: str, capacity: Capacity) -> Call:
    return "capacity", "give", (market.address[provider], capacity.gpu_milli, capacity.cpu_milli, capacity.until)


def call_slash(
    market: Market,
    caller: str,
    provider: str,
    role: int,
    fault: int,
    ppm: int,
    dated_s: int,
    fault_id: int,
    reporter: str,
) -> Call:
    penalty = (role, fault, ppm, dated_s, fault_id.to_bytes(32, "big"), market.address[reporter])
    return "registry", "slash", (market.address[provider], penalty)


def call_compensate(market: Market, caller: str, provider: str, role: int, to: str, amount: int, cause: int) -> Call:
    named = (market.address[provider], role, market.address[to], amount, cause.to_bytes(32, "big"))
    return "registry", "compensate", named


def call_announce(market: Market, caller: str, provider: str, role: int, amount: int, least: int) -> Call:
    return "registry", "announce", (market.address[provider], role, amount, least)


def call_of(contract_first: str) -> Callable[..., Call]:
    """The asset or credit comes first in the act and is the contract to call."""

    def call(market: Market, caller: str, contract: str, *args: Any) -> Call:
        return contract, contract_first, tuple(convert(market, arg) for arg in args)

    return call


SPECIAL: dict[str, Callable[..., Call]] = {
    "deposit_with_permit": call_permit,
    "open_by_sig": call_open_by_sig,
    "release_by_sig": call_release_by_sig,
    "claim": call_claim,
    "claim_one": call_claim_one,
    "give_capacity": call_capacity,
    "slash": call_slash,
    "announce": call_announce,
    "compensate": call_compensate,
    "approve": lambda market, caller, asset, amount: (asset, "approve", (market.address["escrow"], amount)),
    "pay_split": lambda market, caller, split, asset: (
        "escrow",
        "paySplit",
        (market.split_ids[split], market.address[asset]),
    ),
    "distribute": lambda market, caller, split, asset: (
        "splits",
        "distribute",
        (market.shares_of(split), market.address[asset]),
    ),
    "mint": call_of("mint"),
    "burn_at": call_of("burnAt"),
    "redeem": call_of("redeem"),
    "set_ratio": call_of("setCollateralRatio"),
    "set_window": call_of("setWindowHours"),
    "transfer": call_of("transfer"),
    "make": call_of("mint"),
    "block": call_of("setBlocked"),
}
