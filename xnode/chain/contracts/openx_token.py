"""OpenxToken: calldata and views of OPENX, which also fit any other ERC-20 with or without ERC-2612 permits."""

from __future__ import annotations

import msgspec

from metering.eip712 import Domain
from metering.units import Address
from xnode.chain.abi.codec import Event, Function

TOTAL_SUPPLY = Function("totalSupply()", "uint256")
BALANCE_OF = Function("balanceOf(address)", "uint256")
ALLOWANCE = Function("allowance(address,address)", "uint256")
TRANSFER = Function("transfer(address,uint256)", "bool")
APPROVE = Function("approve(address,uint256)", "bool")
BURN = Function("burn(uint256)")
SYMBOL = Function("symbol()", "string")
OWNER = Function("owner()", "address")
DECIMALS = Function("decimals()", "uint8")
NONCES = Function("nonces(address)", "uint256")
DOMAIN_SEPARATOR = Function("DOMAIN_SEPARATOR()", "bytes32")
EIP712_DOMAIN = Function("eip712Domain()", "bytes1,string,string,uint256,address,bytes32,uint256[]")

TRANSFERRED = Event("Transfer(address indexed from, address indexed to, uint256 value)")


class Permit(msgspec.Struct, frozen=True):
    """An owner's signed approval of a spender (ERC-2612). deadline: seconds UTC."""

    owner: Address
    spender: Address
    value: int
    nonce: int
    deadline: int


def make_domain(chain_id: int, token: Address, name: str, version: str) -> Domain:
    """The token's own EIP-712 domain, in which it checks permits."""
    return Domain(chain_id, token, name, version)
