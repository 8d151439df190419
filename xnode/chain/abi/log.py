"""Log: one entry of a contract's log, typed, and where in the chain it stands."""

from __future__ import annotations

import msgspec

from metering.units import Address, Hash32


class Log(msgspec.Struct, frozen=True):
    """topics, data: as in the ABI's specification, the event's own topic first."""

    address: Address
    topics: tuple[Hash32, ...]
    data: bytes
    block_number: int
    block_hash: Hash32
    tx_hash: Hash32
    log_index: int
