"""Timelock: views and events of our TimelockController, the owner of all that is governed."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from metering.eip712 import keccak
from metering.units import Address, Hash32
from xnode.chain.abi.codec import Event, View

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


class CallScheduled(msgspec.Struct, frozen=True):
    """One call of an operation; an operation of several has one such event for each. delay: seconds."""

    id: Hash32
    index: int
    target: Address
    value: int
    data: bytes
    predecessor: Hash32
    delay: int


class RoleGranted(msgspec.Struct, frozen=True):
    """An account may act in a role, until it is revoked."""

    role: Hash32
    account: Address
    sender: Address


GET_MIN_DELAY = View("Timelock", "getMinDelay", int)
GET_OPERATION_STATE = View("Timelock", "getOperationState", Stage)
GET_TIMESTAMP = View("Timelock", "getTimestamp", int)
HAS_ROLE = View("Timelock", "hasRole", bool)

CALL_SCHEDULED = Event("Timelock", CallScheduled)
ROLE_GRANTED = Event("Timelock", RoleGranted)
