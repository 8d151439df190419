"""SplitRegistry: calldata, views and events of the contract that keeps royalties and revenue shares."""

from __future__ import annotations

from xnode.chain.abi.codec import Event, Function

PPM = 1_000_000

_SHARES = "(address,uint32)[]"

CREATE = Function(f"create({_SHARES})", "bytes32")
ACCRUE = Function("accrue(bytes32,address,uint256)")
DISTRIBUTE = Function(f"distribute({_SHARES},address)", "uint256")
WITHDRAW = Function("withdraw(address,address)", "uint256")

SPLIT_ID = Function(f"splitId({_SHARES})", "bytes32")
TOTAL_PPM_OF = Function("totalPpmOf(bytes32)", "uint32")
ACCRUED_OF = Function("accruedOf(bytes32,address)", "uint256")
OWED_TO = Function("owedTo(address,address)", "uint256")

ACCRUED = Event("Accrued(bytes32 indexed split, address indexed asset, uint256 amount)")
DISTRIBUTED = Event("Distributed(bytes32 indexed split, address indexed asset, uint256 amount)")
SHARE_PAID = Event("SharePaid(address indexed recipient, address indexed asset, uint256 amount)")
