"""Party: one who takes part, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from metering.eip712 import keccak
from metering.units import Address
from xnode.wallet.signer import WalletKey


class Role(Enum):
    """What a provider is up to."""

    SERVES = "serves"
    VANISHES = "mints, sells, vanishes"
    SHRINKS = "mints, sells, keeps 1 GPU"
    BURNS = "vanishes, reports itself"
    WASHES = "wash-trades"
    OVERMINTS = "tries to over-mint"


@dataclass(eq=False)
class Party:
    """A wallet, and the node key that signs for it; addresses follow from the name alone."""

    name: str
    wallet: WalletKey = field(init=False)
    node: WalletKey = field(init=False)

    def __post_init__(self) -> None:
        self.wallet = WalletKey(keccak(f"economy wallet {self.name}".encode()))
        self.node = WalletKey(keccak(f"economy node {self.name}".encode()))

    @property
    def address(self) -> Address:
        return self.wallet.address


@dataclass(eq=False)
class Provider(Party):
    """Amounts in base units of tGPU or OPENX, since the beginning; `until`: when its capacity ends, in the chain's seconds."""

    role: Role = Role.SERVES
    gpus: int = 1
    is_gone: bool = False
    until: int = 0
    began_with: int = 0
    minted: int = 0
    sold: int = 0
    revenue: int = 0
    served: int = 0
    redeemed: int = 0
    paid_out: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    allowed: int = 0
    """Over-mints that were not refused: one is the end of the promise."""


@dataclass(eq=False)
class Submitter(Party):
    """Who buys credits and spends them. escrow_nonce: one escrow for each provider and day."""

    escrow_nonce: int = 0
    bought: int = 0
    spent: int = 0
    redeemed: int = 0
    got_back: int = 0
