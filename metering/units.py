"""Units: whole-number money, addresses, hashes and time, and the only two ways to divide money."""

from __future__ import annotations

from typing import Annotated, ClassVar, NewType, NoReturn, Self

import msgspec

# The widths and signs are checked where strangers' bytes are decoded, so that no digest meets a value it cannot encode.
Address = NewType("Address", Annotated[bytes, msgspec.Meta(min_length=20, max_length=20)])
"""20 bytes: an Ethereum address; a node's address is also its libp2p identity."""

Hash32 = NewType("Hash32", Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)])
"""32 bytes: a keccak-256 or EIP-712 digest."""

U64 = Annotated[int, msgspec.Meta(ge=0)]
"""A whole number from 0 to 2**64 - 1: MessagePack itself has no larger one."""

U32 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
"""A whole number from 0 to 2**32 - 1."""

PPM = 1_000_000
"""A whole, in millionths."""

Nanos = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""A time or a duration in nanoseconds, up to the year 2262: the sum of two still fits into 64 bits, and a product with a
64-bit number into 128."""

Seconds = Annotated[int, msgspec.Meta(ge=0, le=((1 << 63) - 1) // 1_000_000_000)]
"""A time in seconds, as far as its nanoseconds are Nanos."""

Offset = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""A place in a file: no file system has a larger one."""

Ppm = Annotated[int, msgspec.Meta(ge=0, le=PPM)]
"""A part of a whole, in millionths."""

NANOS_PER_SECOND = 1_000_000_000
NANOS_PER_MS = 1_000_000
NANOS_PER_HOUR = 3_600 * NANOS_PER_SECOND
BYTES_PER_GIB = 1 << 30
BYTES_PER_GB = 1_000_000_000

U64_MAX = (1 << 64) - 1
LAST_NS = (1 << 63) - 1
U128_MAX = (1 << 128) - 1

ZERO_ADDRESS = Address(bytes(20))
ZERO_HASH = Hash32(bytes(32))


class U128(int):
    """A whole number from 0 to 2**128 - 1; crosses borders as 16 big-endian bytes.

    was_integer: an earlier version wrote it as a MessagePack integer, which its journals still hold.
    """

    __slots__ = ()
    was_integer: ClassVar[bool] = False

    def __new__(cls, value: int) -> Self:
        """Raises ValueError outside the range, so a wrong one cannot exist."""
        if not 0 <= value <= U128_MAX:
            raise ValueError(f"{cls.__name__} must be between 0 and 2**128-1, not {value}")
        return int.__new__(cls, value)


class Amount(U128):
    """Money in whole base units of one asset. Never a float, never negative, and divided only by mul_div_down and
    mul_div_up, which say which way they round."""

    __slots__ = ()

    def __truediv__(self, _divisor: object) -> NoReturn:
        raise TypeError("an Amount is divided by mul_div_down or mul_div_up")

    def __floordiv__(self, _divisor: object) -> NoReturn:
        raise TypeError("an Amount is divided by mul_div_down or mul_div_up")


ZERO = Amount(0)


def mul_div_down(a: int, b: int, divisor: int) -> int:
    """a x b / divisor, rounded towards zero; all three non-negative."""
    return a * b // divisor


def mul_div_up(a: int, b: int, divisor: int) -> int:
    """a x b / divisor, rounded up; all three non-negative."""
    return -(-a * b // divisor)


def next_number(last: int, passed_ns: int) -> int:
    """The number for what we sign next: above `last`, and at least the milliseconds passed since a fixed moment.

    Two different things under one number are proof of fraud, so a node must never give one twice. The time in it keeps a
    node honest that was restored from an old backup and does not know the numbers that it gave since.
    """
    return max(last + 1, passed_ns // NANOS_PER_MS)
