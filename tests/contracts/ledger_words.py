"""The vocabulary of the ledgers' histories: names of parties, assets and splits; terms; who signed what."""

from __future__ import annotations

from typing import Any, NamedTuple

MILLION = 10**6
ONE = 10**18
MILLI = 10**15
MIN_THAW_S = 3_600
MAX_THAW_S = 30 * 86_400
MAX_ROWS = 200
MAX_FEE_PPM = 50_000
MAX_FEES = 2**88 - 1
"""A fee that does not fit beside those waiting is not taken."""

DEFAULT_GRACE_S = 14 * 86_400
COLLATERAL_RATIO = 2 * ONE
MIN_COLLATERAL_RATIO = 10**12
MAX_COLLATERAL_RATIO = 10**24
WINDOW_HOURS = 100
MAX_WINDOW_HOURS = 8_760
TERMS_INTERVAL_S = DEFAULT_GRACE_S

STAKE_THAW_S = PENALTY_PERIOD_S = DEFAULT_GRACE_S
EPISODE_S = 86_400
COLLECT_TIME_S = 7 * 86_400
PROVIDER, VERIFIER = 0, 1
"""IProviderRegistry.Role."""

MOST_PPM = {PROVIDER: 500_000, VERIFIER: 1_000_000}
"""What the one judge may take of a compartment in a penalty period."""

ASSETS = ("usd", "toy", "tgpu", "tcpu")
CREDITS = ("toy", "tgpu", "tcpu")
"""usd is an ordinary asset; toy is burned as a credit is, made by anyone, and can refuse; the others are ComputeCredits."""

SPLITS: dict[str, tuple[tuple[str, int], ...]] = {
    "none": (),
    "split0": (("recipient0", 70_000),),
    "split1": (("recipient0", 100_001), ("recipient1", 333_333), ("payer0", 7)),
    "whole": (("recipient1", MILLION),),
    "unknown": (("recipient1", 1),),
}
"""The lists that are registered, by name; unknown is not."""

Event = tuple[str, str, tuple[Any, ...]]
"""Which contract, which event, its fields in the interface's order."""


class Refused(Exception):
    """The act reverts, with the error of this name."""


class Terms(NamedTuple):
    payer: str
    signer: str
    provider: str
    asset: str
    split: str
    thaw: int
    nonce: int


class Signed(NamedTuple):
    """A signature: who made it, and over what. over: the fields of the message, or None for a damaged one."""

    by: str
    over: tuple[Any, ...] | None


class Row(NamedTuple):
    """A voucher as a batch takes it."""

    payer: str
    signer: str
    nonce: int
    cumulative: int
    receipts: int
    sig: Signed


class Capacity(NamedTuple):
    """One verdict: thousandths of reference units of each kind, until a second that is no longer in it."""

    gpu_milli: int
    cpu_milli: int
    until: int


class Cover(NamedTuple):
    """The collateral of what a provider had outstanding after its last mint: in base units x 10^18, and in which window."""

    scaled: int = 0
    outstanding: int = 0
    window: int = 0


NO_COVER = Cover()
NO_CAPACITY = Capacity(0, 0, 0)
