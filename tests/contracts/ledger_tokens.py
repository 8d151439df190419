"""The ERC-20s beside the ledgers: who has what, and what the escrow may take of it."""

from __future__ import annotations

from collections import defaultdict

from tests.contracts.ledger_words import Refused

Pair = tuple[str, str]


class Tokens:
    """Balances, allowances to the escrow and permits of all assets."""

    def __init__(self) -> None:
        self.balance: defaultdict[Pair, int] = defaultdict(int)
        self.supply: defaultdict[str, int] = defaultdict(int)
        self.allowance: defaultdict[Pair, int] = defaultdict(int)
        self.permits_used: defaultdict[Pair, int] = defaultdict(int)
        self.blocked: set[str] = set()
        """Whom usd pays nothing."""

    def make(self, who: str, asset: str, amount: int) -> None:
        self.balance[who, asset] += amount
        self.supply[asset] += amount

    def burn(self, who: str, asset: str, amount: int) -> None:
        self.balance[who, asset] -= amount
        self.supply[asset] -= amount

    def move(self, giver: str, to: str, asset: str, amount: int) -> None:
        self.balance[giver, asset] -= amount
        self.balance[to, asset] += amount

    def is_blocked(self, who: str, asset: str) -> bool:
        return asset == "usd" and who in self.blocked

    def check_pay(self, to: str, asset: str) -> None:
        if self.is_blocked(to, asset):
            raise Refused("Error")
