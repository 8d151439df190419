"""Amounts as people write them: decimal strings to whole base units and back, never through a float."""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from metering.units import U128_MAX, Amount
from xnode.errors import UserError

OPENX_DECIMALS = 18
"""Of OPENX, and of tGPU and tCPU, whose collateral is given in it."""

OPENX: int = 10**OPENX_DECIMALS
"""Base units of one OPENX, and of one credit."""

NATIVE_DECIMALS = 18
"""Of the chain's own coin, which pays for gas: the EVM counts it in wei everywhere."""

SMALL = -6
"""Of the first digit's place: of what is smaller four digits are enough."""

MAX_AMOUNT_CHARS = 120
"""More digits than any amount has: Python would refuse to read thousands of them."""

_DECIMAL = re.compile(r"([0-9][0-9_]*)?(?:\.([0-9]+))?")


def parse_amount(text: str, decimals: int, *, where: str = "amount") -> Amount:
    """The base units of "12.5" in an asset of so many decimals. Raises UserError when it is not such a number or too fine."""
    if len(text) > MAX_AMOUNT_CHARS:
        raise UserError(f"{text[:MAX_AMOUNT_CHARS]!r}... is not an amount", where=where, hint="write it like 12.5")
    found = _DECIMAL.fullmatch(text.strip())
    whole, fraction = (found[1], found[2] or "") if found else (None, "")
    if whole is None and not fraction:
        raise UserError(f"{text!r} is not an amount", where=where, hint="write it like 12.5")
    if len(fraction.rstrip("0")) > decimals:
        raise UserError(f"{text!r} is finer than {decimals} decimals", where=where, hint="round it")
    units = int((whole or "0").replace("_", "") + fraction.rstrip("0").ljust(decimals, "0"))
    if units > U128_MAX:
        raise UserError(f"{text!r} is too large", where=where, hint="write a smaller one")
    return Amount(units)


def parse_wanted(text: str, decimals: int, *, where: str = "AMOUNT") -> Amount | None:
    """The base units that a person asks for, None for "all". Raises UserError as parse_amount does, and for zero."""
    if text == "all":
        return None
    amount = parse_amount(text, decimals, where=where)
    if not amount:
        raise UserError("amount must be positive", where=where, hint="name more than 0, like 12.5")
    return amount


def format_amount(amount: int, decimals: int, symbol: str = "") -> str:
    """The amount in full, without zeros that say nothing: "12.5 OPENX"."""
    sign, digits = "-" * (amount < 0), str(abs(amount)).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], digits[-decimals:].rstrip("0")) if decimals else (digits, "")
    return sign + whole + (f".{fraction}" if fraction else "") + (f" {symbol}" if symbol else "")


def brief_amount(amount: str, symbol: str = "", is_needed: bool = False) -> str:
    """An exact decimal string as people read it: six significant digits, cut and never rounded up, so that what is shown is never
    more than there is; four below a millionth. Never as a power of ten, which no command takes. is_needed: rounded up, so that
    what is shown is enough."""
    rounding = ROUND_UP if is_needed else ROUND_DOWN
    value = Decimal(amount or "0")
    if value and value.adjusted() < SMALL:
        digits = value.scaleb(-value.adjusted()).quantize(Decimal("1.000"), rounding=rounding)
        text = f"{digits.scaleb(value.adjusted()):f}".rstrip("0")
    else:
        places = max(0, 5 - value.adjusted()) if value else 0
        text = f"{value.quantize(Decimal(1).scaleb(-places), rounding=rounding):f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text} {symbol}".rstrip()


def format_openx(amount: int) -> str:
    """The base units as OPENX for people: "12.5 OPENX"."""
    return brief_amount(format_amount(amount, OPENX_DECIMALS), "OPENX")
