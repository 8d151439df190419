"""History: all logs of one kind, however many blocks a node looks through at once."""

from __future__ import annotations

from collections.abc import Sequence

from metering.units import Address
from xnode.chain.abi.log import Log
from xnode.chain.node.json_rpc import JsonRpc, NodeRefused
from xnode.chain.node.questions import Topic, ask_block, ask_head, ask_logs
from xnode.errors import Retryable


async def read_history(rpc: JsonRpc, address: Address, topics: Sequence[Topic], first_block: int) -> list[Log]:
    """A contract's logs from a block on to the newest, oldest first."""
    return await _read(rpc, address, topics, first_block, await rpc.ask(ask_head()))


async def find_block_since(rpc: JsonRpc, time_s: int, first: int, last: int) -> int:
    """The first of these blocks that is not older than a time, in the chain's seconds; the last where all are older."""
    while first < last:
        middle = (first + last) // 2
        block = await rpc.ask(ask_block(middle))
        if block is None:
            raise Retryable(f"chain node {rpc.where} does not show block {middle} yet")
        if block.timestamp < time_s:
            first = middle + 1
        else:
            last = middle
    return first


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
