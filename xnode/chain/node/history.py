"""History: all logs of one kind, however many blocks a node looks through at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metering.units import Address
from xnode.chain.node.json_rpc import JsonRpc, NodeRefused
from xnode.text.hex import to_hex

Topic = bytes | Sequence[bytes] | None
"""One value, any of several, or any at all."""


async def read_history(
    rpc: JsonRpc, address: Address, topics: Sequence[Topic], first_block: int
) -> list[dict[str, Any]]:
    """A contract's logs from a block on to the newest, oldest first, as JSON-RPC gives them."""
    head = int(await rpc.read("eth_blockNumber"), 16)
    return await _read(rpc, address, [_to_json(topic) for topic in topics], first_block, head)


async def _read(rpc: JsonRpc, address: Address, topics: list[Any], first: int, last: int) -> list[dict[str, Any]]:
    wanted = {"address": to_hex(address), "topics": topics, "fromBlock": hex(first), "toBlock": hex(last)}
    try:
        found: list[dict[str, Any]] = await rpc.read("eth_getLogs", wanted)
    except NodeRefused:
        # Nodes limit the blocks of one question: ask for the halves.
        if first >= last:
            raise
        middle = (first + last) // 2
        earlier = await _read(rpc, address, topics, first, middle)
        return earlier + await _read(rpc, address, topics, middle + 1, last)
    return found


def _to_json(topic: Topic) -> Any:
    if topic is None or isinstance(topic, bytes):
        return None if topic is None else to_hex(topic)
    return [to_hex(one) for one in topic]
