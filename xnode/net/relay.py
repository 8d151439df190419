"""Relay: libp2p's circuit relay v2, so that a node behind NAT is reached through one that is not. The ends speak Noise
with each other, so the relay neither reads nor forges; it can only cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as CircuitPeerId
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID as HOP_ID
from libp2p.relay.circuit_v2.protocol import CircuitV2Protocol
from libp2p.relay.circuit_v2.protocol_buffer import StatusCode
from libp2p.relay.circuit_v2.resources import RelayLimits
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from libp2p.tools.anyio_service import background_trio_service

from xnode.errors import Retryable

MAX_RESERVATIONS = 256
"""Nodes that one relay serves: each holds a connection open anyway."""

MAX_CIRCUITS = 16
"""Connections through the relay to one node."""

CIRCUIT_S = 4 * 3600
CIRCUIT_BYTES = 4 << 30
"""A circuit ends at either limit; a node that needs it opens another. It bounds what a stranger gets from a relay for nothing."""

RESERVATION_S = 3600
RENEW_S = RESERVATION_S / 3

RESET_S = 5.0
"""A relay that takes no more bytes is not waited for any longer than this to hear that a stream ends."""

_LIMITS = RelayLimits(
    duration=CIRCUIT_S,
    data=CIRCUIT_BYTES,
    max_circuit_conns=MAX_CIRCUITS,
    max_reservations=MAX_RESERVATIONS,
    reservation_ttl=RESERVATION_S,
)


@asynccontextmanager
async def open_relay(raw_host: Any, relays: bool) -> AsyncIterator[None]:
    """Take connections that come through relays; relays: also be one for others."""
    protocol = CircuitV2Protocol(raw_host, limits=_LIMITS, allow_hop=relays)
    async with background_trio_service(protocol):
        await protocol.event_started.wait()
        yield


async def reserve(raw_host: Any, relay: ID) -> None:
    """Ask a connected relay to let others reach us through it, for RESERVATION_S. Raises Retryable when it does not."""
    stream = await raw_host.new_stream(relay, [HOP_ID])
    try:
        await _ask(stream, HopMessage(type=HopMessage.RESERVE))
    finally:
        await _reset(stream)


async def open_circuit(raw_host: Any, relay: ID, target: ID) -> Any:
    """A stream to `target` through a connected relay, on which no byte has been sent. Raises Retryable."""
    stream = await raw_host.new_stream(relay, [HOP_ID])
    try:
        await _ask(stream, HopMessage(type=HopMessage.CONNECT, peer=CircuitPeerId(id=target.to_bytes())))
    except BaseException:
        await _reset(stream)
        raise
    return stream


async def _ask(stream: Any, message: HopMessage) -> None:
    await write_delimited_msg(stream, message)
    answer = await read_delimited_msg(stream, HopMessage)
    if answer.type != HopMessage.STATUS or answer.status != StatusCode.OK:
        raise Retryable(f"the relay says {answer.status}")


async def _reset(stream: Any) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + RESET_S):
        await stream.reset()
