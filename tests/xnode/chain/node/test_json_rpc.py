"""The JSON-RPC client against a real node, and against servers that misbehave."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from metering.units import ZERO_ADDRESS
from tests.xnode.chain.devchain import Bed, DevChain, make_wallet
from xnode.chain.contracts import payment_escrow
from xnode.chain.node.json_rpc import MAX_RESPONSE_BYTES, JsonRpc, NodeRefused, Reverted
from xnode.errors import Permanent, Retryable
from xnode.text.hex import to_hex


@pytest.mark.chain
async def test_reads_come_back_in_order(bed: Bed) -> None:
    chain_id, balance = await bed.rpc.read_batch(
        [("eth_chainId", ()), ("eth_getBalance", ("0x" + "01" * 20, "latest"))]
    )
    assert (chain_id, balance) == ("0x7a69", "0x0")


@pytest.mark.chain
async def test_wrong_chain_is_refused_before_anything_is_asked(bed: Bed, shared_chain: DevChain) -> None:
    async with JsonRpc(shared_chain.url, 1) as rpc:
        with pytest.raises(Permanent, match="serves chain 31337, not 1"):
            await rpc.read("eth_blockNumber")
        with pytest.raises(Permanent, match="serves chain 31337, not 1"):
            await rpc.write("evm_mine")


@pytest.mark.chain
async def test_another_chain_behind_the_same_url_is_seen(chains: Callable[..., DevChain]) -> None:
    first = chains()
    port = int(first.url.rpartition(":")[2])
    async with JsonRpc(first.url, 31337) as rpc:
        await rpc.read("eth_blockNumber")
        first.end()
        with pytest.raises(Retryable):
            await rpc.read("eth_blockNumber")
        chains(port=port, chain_id=5)
        with pytest.raises(Permanent, match="serves chain 5"):
            await rpc.read("eth_blockNumber")


@pytest.mark.chain
async def test_a_revert_names_the_contracts_error(bed: Bed) -> None:
    poor = make_wallet().address
    call = {
        "from": to_hex(poor),
        "to": to_hex(bed.manifest.contracts.payment_escrow),
        "data": to_hex(payment_escrow.WITHDRAW.encode(bed.manifest.assets[0].address, 7, poor)),
    }
    with pytest.raises(Reverted) as caught:
        await bed.rpc.read("eth_estimateGas", call)
    assert caught.value.revert.name == "NotEnoughFree"
    assert caught.value.revert.values["asked"] == 7
    assert caught.value.revert.values["payer"] == poor
    assert caught.value.reason_code == "reverted"


@pytest.mark.chain
async def test_what_the_node_does_not_know_is_permanent(bed: Bed) -> None:
    with pytest.raises(NodeRefused, match="refused xnode_nothing"):
        await bed.rpc.read("xnode_nothing")


@pytest.mark.chain
async def test_a_view_of_no_contract_is_permanent(bed: Bed) -> None:
    with pytest.raises(Permanent, match="no contract at"):
        await bed.rpc.view(make_wallet().address, payment_escrow.ASSET_OF, ZERO_ADDRESS)


async def test_an_unreachable_node_is_retryable_and_named_without_its_key() -> None:
    async with JsonRpc("http://user:secret@127.0.0.1:9/v3/apikey", 1) as rpc:
        with pytest.raises(Retryable, match=r"chain node http://127\.0\.0\.1:9 cannot be reached") as caught:
            await rpc.read("eth_blockNumber")
    assert "secret" not in str(caught.value)
    assert "apikey" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- servers that misbehave

Answer = Callable[[dict[str, object]], Awaitable[bytes]]


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status.encode(), len(body)) + body


@asynccontextmanager
async def serve(answer: Answer) -> AsyncIterator[str]:
    """A server that gives each request what `answer` says, then closes the connection."""

    async def handle(stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request or not request.endswith((b"}", b"]")):
            request += await stream.receive_some()
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        await stream.send_all(await answer(body))
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handle, 0)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_a_read_is_tried_again_and_a_write_is_not() -> None:
    asked: list[object] = []

    async def answer(body: dict[str, object]) -> bytes:
        asked.append(body["method"])
        if len(asked) == 1:
            return http(b"busy", "503 Service Unavailable")
        return http(json.dumps({"id": body["id"], "result": "0x5"}).encode())

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        assert await rpc.read("eth_blockNumber") == "0x5"
        assert len(asked) == 2
        asked.clear()
        with pytest.raises(Retryable, match="busy: HTTP 503"):
            await rpc.write("eth_sendRawTransaction", "0x00")
        assert len(asked) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"<html>",
        b"[]",
        b"{}",
        b"7",
        b"null",
        b'{"id": 999, "result": 1}',
        b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32005, "message": "slow down"}}',
    ],
)
async def test_nonsense_from_a_node_is_retryable(reply: bytes) -> None:
    async def answer(body: dict[str, object]) -> bytes:
        return http(reply)

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        with pytest.raises(Retryable):
            await rpc.read("eth_blockNumber")


async def test_a_silent_node_is_given_up_at_the_deadline() -> None:
    async def answer(body: dict[str, object]) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async with serve(answer) as url, JsonRpc(url, None, deadline_s=0.05) as rpc:
        with trio.fail_after(5), pytest.raises(Retryable, match="cannot be reached"):
            await rpc.write("eth_blockNumber")


async def test_an_endless_answer_is_cut_off() -> None:
    async def answer(body: dict[str, object]) -> bytes:
        return http(b" " * (MAX_RESPONSE_BYTES + 1))

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        with pytest.raises(Permanent, match="more than"):
            await rpc.write("eth_blockNumber")
