"""Money words: an amount in a text for people. Who decides knows no asset's decimals: it says the amount and the asset's address,
and an edge that knows the asset finds both in the text and says them in its units."""

from __future__ import annotations

import re
from collections.abc import Callable

from metering.units import Address

_AMOUNT = re.compile(r"\b([0-9]{1,39}) base units of 0x([0-9a-f]{40})\b")
_STAKE = re.compile(r"\b([0-9]{1,39}) base units of stake\b")
_ADDRESS = re.compile(r"\b0x([0-9a-fA-F]{40})\b")


def say_amount(amount: int, asset: Address) -> str:
    """The amount so that replace_amounts() finds it again, and a person without the asset's decimals can still read it."""
    return f"{int(amount)} base units of 0x{asset.hex()}"


def say_stake(stake: int) -> str:
    """The stake so that replace_stakes() finds it again: which asset is staked is the market's, and in no offer."""
    return f"{int(stake)} base units of stake"


def replace_stakes(text: str, show: Callable[[int], str]) -> str:
    """The text with each stake as `show` gives it."""
    return _STAKE.sub(lambda found: show(int(found[1])), text)


def find_amounts(text: str) -> list[tuple[int, Address]]:
    """The amounts in a text, in order."""
    return [(int(digits), Address(bytes.fromhex(asset))) for digits, asset in _AMOUNT.findall(text)]


def replace_amounts(text: str, show: Callable[[int, Address], str]) -> str:
    """The text with each amount as `show` gives it; "" leaves it as it is."""
    return _AMOUNT.sub(lambda found: show(int(found[1]), Address(bytes.fromhex(found[2]))) or found[0], text)


def replace_addresses(text: str, name_of: Callable[[Address], str]) -> str:
    """The text with each address by its name; "" leaves it as it is."""
    return _ADDRESS.sub(lambda found: name_of(Address(bytes.fromhex(found[1]))) or found[0], text)
