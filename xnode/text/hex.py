"""Hex: bytes as people and JSON-RPC write them, and back."""

from __future__ import annotations

from metering.units import Address


def to_hex(data: bytes) -> str:
    """The 0x string of bytes."""
    return "0x" + data.hex()


def parse_hex(text: str) -> bytes:
    """The bytes of a 0x string. Raises ValueError when it is none."""
    return bytes.fromhex(text.removeprefix("0x"))


def checksum_address(address: Address) -> str:
    """The address for people to read and copy, in ERC-55's mixed case (https://eips.ethereum.org/EIPS/eip-55)."""
    from eth_utils.address import to_checksum_address  # 0.15 s to import, which what prints no address need not pay

    return str(to_checksum_address(address))
