"""Quantity: sizes, times and money as people write them, read exactly; readers raise InvalidValue."""

from __future__ import annotations

import re
from difflib import get_close_matches

import msgspec

from metering.units import NANOS_PER_SECOND, PPM, U64_MAX, U128_MAX, Amount
from xnode.errors import InvalidValue

_NUMBER = r"(?:0|[1-9][0-9]{0,38})(?:\.[0-9]{1,30})?"
_SIZES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES |= {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}

NUMBER_PATTERN = f"^{_NUMBER}$"
SIZE_PATTERN = f"^{_NUMBER} ?(?:{'|'.join(_SIZES)})$"
DURATION_PATTERN = r"^(?=.)(?:[0-9]{1,9}d)?(?:[0-9]{1,9}h)?(?:[0-9]{1,9}m)?(?:[0-9]{1,9}s)?$"
MONEY_PATTERN = f"^{_NUMBER}(?: [A-Za-z][A-Za-z0-9]{{0,15}})?$"


class Money(msgspec.Struct, frozen=True):
    """An exact decimal number: digits x 10^-places, of `symbol` ("" when not said). How many decimals the asset has is
    for the chain to say."""

    digits: int
    places: int
    symbol: str = ""

    def to_amount(self, decimals: int) -> Amount:
        """Base units of an asset with so many decimals. Raises InvalidValue when it is not a whole number of them."""
        scaled = self.digits * 10**decimals
        if scaled % 10**self.places:
            raise InvalidValue(f"{self} has more decimals than the asset's {decimals}")
        if scaled // 10**self.places > U128_MAX:
            raise InvalidValue(f"{self} is more than any amount can be")
        return Amount(scaled // 10**self.places)

    def __str__(self) -> str:
        digits = str(self.digits).rjust(self.places + 1, "0")
        number = f"{digits[: -self.places]}.{digits[-self.places :]}" if self.places else digits
        return f"{number} {self.symbol}".strip()


def read_money(text: str) -> Money:
    """ "5 OPENX", "0.25OPENX" or "5"."""
    if not re.fullmatch(MONEY_PATTERN, text):
        raise InvalidValue(f"{_show(text)} is not an amount", 'write a number and the asset, such as "5 OPENX"')
    found = re.match(_NUMBER, text)
    assert found
    digits, places = _exact(found[0])
    return Money(digits, places, text[found.end() :].strip())


def read_size(text: str) -> int:
    """Bytes of "512MiB", "1.5 GiB" or "10GB"."""
    if not re.fullmatch(SIZE_PATTERN, text):
        raise InvalidValue(f"{_show(text)} is not a size", _size_hint(text))
    found = re.match(_NUMBER, text)
    assert found
    digits, places = _exact(found[0])
    size = digits * _SIZES[text[found.end() :].strip()]
    if size % 10**places:
        raise InvalidValue(f"{_show(text)} is not a whole number of bytes")
    return _within_u64(size // 10**places, text)


def read_duration_ns(text: str) -> int:
    """Nanoseconds of "90s", "10m", "1h30m" or "2d"."""
    if not re.fullmatch(DURATION_PATTERN, text):
        raise InvalidValue(f"{_show(text)} is not a time", 'write whole numbers with d, h, m or s, such as "1h30m"')
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([dhms])", text))
    if not seconds:
        raise InvalidValue("the time is zero")
    return _within_u64(seconds * NANOS_PER_SECOND, text)


def read_milli(text: str) -> int:
    """Thousandths of "1.5"."""
    if not re.fullmatch(NUMBER_PATTERN, text):
        raise InvalidValue(f"{_show(text)} is not a number", 'write one such as "1.5"')
    digits, places = _exact(text)
    if digits * 1_000 % 10**places:
        raise InvalidValue(f"{_show(text)} is finer than a thousandth")
    return _within_u64(digits * 1_000 // 10**places, text)


def read_ppm(text: str) -> int:
    """Millionths of a fraction from 0 to 1: "0.99"."""
    if not re.fullmatch(NUMBER_PATTERN, text):
        raise InvalidValue(f"{_show(text)} is not a fraction", 'write a number from 0 to 1, such as "0.99"')
    digits, places = _exact(text)
    whole: int = 10**places
    if digits > whole:
        raise InvalidValue(f"{_show(text)} is more than 1")
    if digits * PPM % whole:
        raise InvalidValue(f"{_show(text)} is finer than a millionth")
    return digits * PPM // whole


def _exact(number: str) -> tuple[int, int]:
    whole, _, fraction = number.partition(".")
    fraction = fraction.rstrip("0")
    return int(whole + fraction), len(fraction)


def _within_u64(value: int, text: str) -> int:
    if value > U64_MAX:
        raise InvalidValue(f"{_show(text)} is more than any machine has")
    return value


def _size_hint(text: str) -> str:
    number = re.match(_NUMBER, text)
    unit = text[number.end() :].strip() if number else ""
    if number and unit and unit in "kKmMgGtT":
        return f"did you mean {number[0]}{unit.upper()}iB?"
    by_lower = {name.lower(): name for name in ("B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB")}
    near = get_close_matches(unit.lower(), by_lower, n=1)
    if number and unit and near:
        return f"did you mean {number[0]}{by_lower[near[0]]}?"
    return 'write a number and a unit, such as "512MiB"'


def _show(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:37] + "...")
