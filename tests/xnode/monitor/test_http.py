"""The node's HTTP side, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
import trio
from prometheus_client import CollectorRegistry, Counter

from xnode.control.views import NodeStatus
from xnode.errors import UserError
from xnode.monitor import http
from xnode.monitor.http import serve_http


def _make_status(**ready: str) -> Callable[[], Awaitable[NodeStatus]]:
    async def status() -> NodeStatus:
        return NodeStatus(
            pid=1, version="9", roles=("provider",), node="0xab", home="/h", started_at_ns=0, chain_id=7, ready=ready
        )

    return status


async def _get(url: str) -> Any:
    async with httpx2.AsyncClient() as client:
        with trio.fail_after(10):
            return await client.get(url)


async def test_a_live_node_is_healthy_even_when_it_is_not_ready(nursery: trio.Nursery) -> None:
    url = await nursery.start(serve_http, "127.0.0.1", 0, _make_status(chain="gone"), CollectorRegistry())
    assert (await _get(f"{url}/health")).status_code == 200


async def test_readiness_names_each_dependency(nursery: trio.Nursery) -> None:
    status = _make_status(chain="connection refused", engine="")
    url = await nursery.start(serve_http, "127.0.0.1", 0, status, CollectorRegistry())
    answer = await _get(f"{url}/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "checks": {"chain": "connection refused", "engine": "ok"}}


async def test_a_node_with_every_dependency_is_ready(nursery: trio.Nursery) -> None:
    url = await nursery.start(serve_http, "127.0.0.1", 0, _make_status(chain=""), CollectorRegistry())
    assert (await _get(f"{url}/readyz")).status_code == 200


async def test_a_node_that_does_not_answer_in_time_is_not_ready(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "STATUS_DEADLINE_S", 0.1)

    async def stuck() -> NodeStatus:
        await trio.sleep_forever()
        raise AssertionError

    url = await nursery.start(serve_http, "127.0.0.1", 0, stuck, CollectorRegistry())
    assert (await _get(f"{url}/readyz")).status_code == 503


async def test_metrics_come_from_the_registry_handed_in(nursery: trio.Nursery) -> None:
    registry = CollectorRegistry()
    Counter("xnode_receipts", "Receipts.", registry=registry).inc(3)
    url = await nursery.start(serve_http, "127.0.0.1", 0, _make_status(), registry)
    assert "xnode_receipts_total 3.0" in (await _get(f"{url}/metrics")).text


async def test_metadata_says_who_the_node_is_and_nothing_about_its_disk(nursery: trio.Nursery) -> None:
    url = await nursery.start(serve_http, "127.0.0.1", 0, _make_status(), CollectorRegistry())
    answer = (await _get(f"{url}/v1/metadata")).json()
    assert answer["node"] == "0xab" and answer["chain_id"] == 7
    assert "/h" not in str(answer)


async def test_a_failing_request_ends_neither_the_server_nor_tells_why(nursery: trio.Nursery) -> None:
    async def broken() -> NodeStatus:
        raise KeyError("secret")

    url = await nursery.start(serve_http, "127.0.0.1", 0, broken, CollectorRegistry())
    answer = await _get(f"{url}/v1/metadata")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert (await _get(f"{url}/health")).status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xff\xfe\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\n"
        b"connection: upgrade, http2-settings\r\nhttp2-settings: \r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\n"
        b"connection: upgrade, http2-settings\r\nhttp2-settings: x\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n",
        b"GET /" + b"a" * 100_000,
    ],
)
async def test_nonsense_from_a_client_does_not_end_the_server(nursery: trio.Nursery, data: bytes) -> None:
    url = await nursery.start(serve_http, "127.0.0.1", 0, _make_status(), CollectorRegistry())
    stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
    with trio.move_on_after(1):
        try:
            await stream.send_all(data)
            await stream.send_eof()
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
    await stream.aclose()
    assert (await _get(f"{url}/health")).status_code == 200


async def test_a_busy_port_is_one_line_with_the_setting_to_change() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="http"):
            await serve_http("127.0.0.1", taken.getsockname()[1], _make_status(), CollectorRegistry())


async def test_it_ends_when_cancelled_though_a_client_is_connected() -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as inner:
            url = await inner.start(serve_http, "127.0.0.1", 0, _make_status(), CollectorRegistry())
            stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            await stream.send_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            await stream.receive_some()
            inner.cancel_scope.cancel()
        await stream.aclose()


async def _ask_as(url: str, *lines: bytes) -> bytes:
    """The first line of the answer to a request with these header lines."""
    stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
    async with stream:
        await stream.send_all(b"\r\n".join((b"GET /v1/metadata HTTP/1.1", *lines, b"connection: close", b"", b"")))
        with trio.fail_after(10):
            return bytes(await stream.receive_some()).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1234", "localhost.", "127.0.0.1", "127.0.0.1:80", "[::1]:80", "node.example.org:443"],
)
async def test_a_name_of_ours_is_answered(nursery: trio.Nursery, host: str) -> None:
    url = await nursery.start(serve_http, "127.0.0.1", 0, _make_status(), CollectorRegistry(), ("node.example.org",))
    assert b" 200" in await _ask_as(url, b"host: " + host.encode())


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "", "[", "10.0.0.1"]
)
async def test_a_page_whose_name_was_made_to_lead_here_reads_nothing(nursery: trio.Nursery, host: str) -> None:
    url = await nursery.start(serve_http, "127.0.0.1", 0, _make_status(), CollectorRegistry(), ("node.example.org",))
    assert b" 421" in await _ask_as(url, b"host: " + host.encode())


async def test_two_names_or_none_are_no_name(nursery: trio.Nursery) -> None:
    url = await nursery.start(serve_http, "127.0.0.1", 0, _make_status(), CollectorRegistry())
    for lines in ((), (b"host: localhost", b"host: evil.example")):
        assert b" 200" not in await _ask_as(url, *lines)
