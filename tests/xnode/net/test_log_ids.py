"""The id of a job goes with every request of it, so that the log lines of both sides can be found together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog

from metering.units import Address
from tests.xnode.net.remote import ask, make_settings
from xnode.logs import log_context, log_id_of
from xnode.net.edge import Net, open_net
from xnode.ports.net import Peer

pytestmark = pytest.mark.net

JOB = bytes(range(100, 132))

Send = Callable[[bytes], Awaitable[None]]


@pytest.fixture
async def server() -> AsyncIterator[Net]:
    """Another node of this process, which answers with the ids that its log lines carry meanwhile."""

    async def ids(_caller: Address, _body: bytes) -> bytes:
        return repr(structlog.contextvars.get_contextvars()).encode()

    async def stream_ids(caller: Address, body: bytes, send: Send) -> None:
        await send(await ids(caller, body))

    async with open_net(make_settings(listen=("/ip4/127.0.0.1/tcp/0",)), time.time_ns) as opened:
        opened.serve("ids", ids)
        opened.serve_stream("stream_ids", stream_ids)
        yield opened


async def test_a_call_and_a_stream_carry_the_job_and_nothing_after_them_does(net: Net, server: Net) -> None:
    peer = Peer(server.address, server.multiaddrs())
    told = repr({"job": log_id_of(JOB)}).encode()
    with log_context(job=JOB, lease=b"\x01" * 32):
        assert await ask(net, peer, "ids") == told
        async with net.stream(peer, "stream_ids", b"") as items:
            assert [item async for item in items] == [told]
    assert await ask(net, peer, "ids") == b"{}"


@pytest.mark.parametrize("told", ["0x" + "a" * 15, "0x" + "A" * 16, "x" * 18, "0x" + "a" * 17, "0x" + "a" * 16 + "\n"])
async def test_only_what_looks_like_a_job_gets_on_the_log_lines_of_a_peer(net: Net, server: Net, told: str) -> None:
    with structlog.contextvars.bound_contextvars(job=told):
        assert await ask(net, Peer(server.address, server.multiaddrs()), "ids") == b"{}"
