"""Timelock: calldata, views and events of OpenZeppelin's TimelockController, the owner of all that is governed."""

from __future__ import annotations

from enum import IntEnum

from metering.eip712 import keccak
from xnode.chain.abi.codec import Event, Function

PROPOSER_ROLE = keccak(b"PROPOSER_ROLE")
EXECUTOR_ROLE = keccak(b"EXECUTOR_ROLE")
CANCELLER_ROLE = keccak(b"CANCELLER_ROLE")
ADMIN_ROLE = bytes(32)


class Stage(IntEnum):
    """Where an operation stands."""

    UNSET = 0
    WAITING = 1
    READY = 2
    DONE = 3


SCHEDULE = Function("schedule(address,uint256,bytes,bytes32,bytes32,uint256)")
EXECUTE = Function("execute(address,uint256,bytes,bytes32,bytes32)")
CANCEL = Function("cancel(bytes32)")

GET_MIN_DELAY = Function("getMinDelay()", "uint256")
GET_OPERATION_STATE = Function("getOperationState(bytes32)", "uint8")
GET_TIMESTAMP = Function("getTimestamp(bytes32)", "uint256")
HAS_ROLE = Function("hasRole(bytes32,address)", "bool")
HASH_OPERATION = Function("hashOperation(address,uint256,bytes,bytes32,bytes32)", "bytes32")

CALL_SCHEDULED = Event(
    "CallScheduled(bytes32 indexed id, uint256 indexed index, address target, uint256 value, bytes data,"
    " bytes32 predecessor, uint256 delay)"
)
CALL_EXECUTED = Event(
    "CallExecuted(bytes32 indexed id, uint256 indexed index, address target, uint256 value, bytes data)"
)
CANCELLED = Event("Cancelled(bytes32 indexed id)")
ROLE_GRANTED = Event("RoleGranted(bytes32 indexed role, address indexed account, address indexed sender)")
