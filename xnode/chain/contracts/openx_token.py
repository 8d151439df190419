"""OpenxToken: calls and views of OPENX, which also fit any other ERC-20 with or without ERC-2612 permits."""

from __future__ import annotations

from typing import Any

import msgspec

from metering.units import Address, Hash32
from xnode.chain.abi.codec import Call, View

TRANSFER = Call("OpenxToken", "transfer")
APPROVE = Call("OpenxToken", "approve")

TOTAL_SUPPLY = View("OpenxToken", "totalSupply", int)
BALANCE_OF = View("OpenxToken", "balanceOf", int)
ALLOWANCE = View("OpenxToken", "allowance", int)
NONCES = View("OpenxToken", "nonces", int)
DOMAIN_SEPARATOR = View("OpenxToken", "DOMAIN_SEPARATOR", Hash32)


class NamedDomain(msgspec.Struct, frozen=True):
    """What a token says of its EIP-712 domain (ERC-5267)."""

    fields: bytes
    name: str
    version: str
    chain_id: int
    verifying_contract: Address
    salt: Hash32
    extensions: tuple[Any, ...]


EIP712_DOMAIN = View("OpenxToken", "eip712Domain", NamedDomain)


class Permit(msgspec.Struct, frozen=True):
    """An owner's signed approval of a spender (ERC-2612). deadline: seconds UTC."""

    owner: Address
    spender: Address
    value: int
    nonce: int
    deadline: int
