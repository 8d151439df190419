"""History: all logs of one kind, however many blocks a node looks through at once."""

from __future__ import annotations

from collections.abc import Sequence

from metering.units import Address
from xnode.chain.abi.log import Log
from xnode.chain.node.json_rpc import JsonRpc, NodeRefused
from xnode.chain.node.questions import Topic, ask_head, ask_logs


async def read_history(rpc: JsonRpc, address: Address, topics: Sequence[Topic], first_block: int) -> list[Log]:
    """A contract's logs from a block on to the newest, oldest first."""
    return await _read(rpc, address, topics, first_block, await rpc.ask(ask_head()))


async def _read(rpc: JsonRpc, address: Address, topics: Sequence[Topic], first: int, last: int) -> list[Log]:
    try:
        return list(await rpc.ask(ask_logs((address,), topics, first, last)))
    except NodeRefused:
        # Nodes limit the blocks of one question: ask for the halves.
        if first >= last:
            raise
        middle = (first + last) // 2
        earlier = await _read(rpc, address, topics, first, middle)
        return earlier + await _read(rpc, address, topics, middle + 1, last)
