"""The JSON-RPC client against a real node, and against servers that misbehave."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from metering.units import ZERO_ADDRESS
from tests.xnode.chain.devchain import Bed, DevChain, make_wallet
from xnode.chain.contracts import payment_escrow
from xnode.chain.node.json_rpc import MAX_RESPONSE_BYTES, JsonRpc, NodeBehind, NodeRefused, Reverted, WrongChain
from xnode.chain.node.questions import ask_head
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
        with pytest.raises(WrongChain, match="serves chain 31337, not 1"):
            await rpc.read("eth_blockNumber")
        with pytest.raises(WrongChain, match="serves chain 31337, not 1"):
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
        with pytest.raises(WrongChain, match="serves chain 5"):
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
async def test_what_the_node_does_not_know_is_refused_at_once(bed: Bed) -> None:
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


# Each is wrong in its own way: for one call (id 1), for two (ids 1 and 2), or for all.
NONSENSE = [
    b"<html>",
    b"",
    b"[]",
    b"{}",
    b"7",
    b"null",
    b"[null]",
    b"[7]",
    b'{"id": 999, "result": "0x1"}',
    b'{"id": 1, "result": null}',
    b'{"id": 1, "result": 5}',
    b'{"id": 1, "result": 5.0}',
    b'{"id": 1, "result": "5"}',
    b'{"id": 1, "result": "0x"}',
    b'{"id": 1, "result": "0X5"}',
    b'{"id": 1, "result": "0x-5"}',
    b'{"id": 1, "result": "0x 5"}',
    b'{"id": 1, "result": "0x5\\n"}',
    b'{"id": 1, "result": ["0x5"]}',
    b'{"id": 1, "result": {"number": "0x5"}}',
    b'{"id": 1, "result": "0x' + b"f" * 65 + b'"}',
    b'{"id": 1, "result": "\xff\xfe"}',
    b'{"id": 1, "result": ' + b"[" * 100_000,
    b'{"id": 1, "error": "Too many requests"}',
    b'{"id": 1, "error": ["x"]}',
    b'{"id": 1, "error": {"code": "LIMIT", "message": "x"}}',
    b'{"id": 1, "error": {"code": 1.5, "message": "x"}}',
    b'{"id": 1, "error": {"code": 1, "message": {"a": 1}}}',
    b'{"id": 1, "error": {}}',
    b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32005, "message": "slow down"}}',
    b'{"id": 1, "result": "0x5"',
]


@pytest.mark.parametrize("reply", NONSENSE)
async def test_nonsense_from_a_node_is_retryable_and_named(reply: bytes) -> None:
    async def answer(body: dict[str, object]) -> bytes:
        return http(reply)

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        with pytest.raises(Retryable, match=r"chain node http://127\.0\.0\.1:\d+ "):
            await rpc.tell(ask_head())
        with pytest.raises(Retryable):
            await rpc.ask_all([ask_head(), ask_head()])


@pytest.mark.parametrize(
    "reply",
    [
        b'{"id": 1, "result": "0x5"}',
        b'{"id": "1", "result": "0x5", "jsonrpc": "2.0", "took": {"ms": [1.5, null]}}',
        b'{"id": 1, "result": "0x05", "error": null}',
        b'{"result": "0x5"}',
        b'{"id": null, "result": "0x5"}',
        b' [{"id": 1, "result": "0x5"}]',
        b'[{"id": 9, "result": "0x7"}, {"id": 1, "result": "0x5"}]',
    ],
)
async def test_what_does_no_harm_is_taken(reply: bytes) -> None:
    async def answer(body: dict[str, object]) -> bytes:
        return http(reply)

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        assert await rpc.tell(ask_head()) == 5


async def test_a_batch_is_matched_by_its_ids() -> None:
    async def answer(body: Any) -> bytes:
        ids = [one["id"] for one in body]
        return http(json.dumps([{"id": one, "result": hex(one)} for one in reversed(ids)]).encode())

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        assert await rpc.ask_all([ask_head(), ask_head(), ask_head()]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("401 Unauthorized", "HTTP 401"),
        ("403 Forbidden", "HTTP 403"),
        ("301 Moved", "HTTP 301: it has moved"),
        ("404 Not Found", "HTTP 404"),
        ("500 Internal Server Error", "busy: HTTP 500"),
    ],
)
async def test_an_http_error_is_retryable_and_named(status: str, words: str) -> None:
    async def answer(body: dict[str, object]) -> bytes:
        return http(b"<html>no</html>", status)

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        with pytest.raises(Retryable, match=words):
            await rpc.tell(ask_head())


async def test_a_node_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    asked = 0

    async def answer(body: dict[str, object]) -> bytes:
        nonlocal asked
        asked += 1
        return http(b"", "429 Too Many Requests\r\nretry-after: 30")

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        with pytest.raises(Retryable, match="asked us to wait"):
            await rpc.ask(ask_head())
        with pytest.raises(Retryable, match=r"asked us to wait \d+ s more"):
            await rpc.tell(ask_head())
    assert asked == 1


@pytest.mark.parametrize("body", [b"\x1f\x8b broken", b""])
async def test_a_broken_encoding_is_retryable(body: bytes) -> None:
    async def answer(_body: dict[str, object]) -> bytes:
        return http(body, "200 OK\r\ncontent-encoding: gzip")

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        with pytest.raises(Retryable):
            await rpc.tell(ask_head())


async def test_half_an_answer_is_retryable() -> None:
    async def answer(_body: dict[str, object]) -> bytes:
        return http(b'{"id": 1, "result": "0x5"}')[:-5]

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        with pytest.raises(Retryable, match="cannot be reached"):
            await rpc.tell(ask_head())


class Heads:
    """A node of several backends, each with its own head, that all have a contract which answers 7 to everything."""

    def __init__(self, *heads: int, code: str = "0x60", data: str = "0x" + "0" * 63 + "7") -> None:
        self.heads, self.code, self.data = list(heads), code, data

    async def answer(self, body: Any) -> bytes:
        head = self.heads.pop(0) if len(self.heads) > 1 else self.heads[0]
        results = {"eth_blockNumber": hex(head), "eth_getCode": self.code, "eth_call": self.data}
        calls = body if isinstance(body, list) else [body]
        found = [{"id": one["id"], "result": results[one["method"]]} for one in calls]
        return http(json.dumps(found if isinstance(body, list) else found[0]).encode())


async def read_view(rpc: JsonRpc) -> int:
    found: int = await rpc.view(make_wallet().address, payment_escrow.LIABILITIES, ZERO_ADDRESS)
    return found


async def test_an_answer_of_a_node_that_lags_is_not_taken() -> None:
    async with serve(Heads(10, 9, 8, 10).answer) as url, JsonRpc(url, None) as rpc:
        assert await read_view(rpc) == 7
        # Two old backends answer first; the third try finds one that is not behind.
        assert await read_view(rpc) == 7
    async with serve(Heads(10, 9).answer) as url, JsonRpc(url, None) as rpc:
        assert await read_view(rpc) == 7
        with pytest.raises(NodeBehind, match="is 1 blocks behind"):
            await read_view(rpc)


async def test_an_empty_answer_of_a_node_that_lags_is_not_no_contract() -> None:
    async with serve(Heads(3, code="0x", data="0x").answer) as url, JsonRpc(url, None, least_block=5) as rpc:
        with pytest.raises(NodeBehind, match="before the contracts were made in 5"):
            await read_view(rpc)
    async with serve(Heads(10, code="0x60", data="0x").answer) as url, JsonRpc(url, None, least_block=5) as rpc:
        with pytest.raises(Retryable, match="gave nothing"):
            await read_view(rpc)
    async with serve(Heads(10, code="0x", data="0x").answer) as url, JsonRpc(url, None, least_block=5) as rpc:
        with pytest.raises(Permanent, match="no contract at"):
            await read_view(rpc)


@pytest.mark.parametrize("data", ["0x07", "0x" + "ff" * 31, "0x" + "ff" * 100])
async def test_a_result_of_another_shape_is_retryable(data: str) -> None:
    async with serve(Heads(10, data=data).answer) as url, JsonRpc(url, None) as rpc:
        with pytest.raises(Retryable, match="another contract"):
            await rpc.view(make_wallet().address, payment_escrow.ESCROW_STATES, ())


@pytest.mark.parametrize("words", ["header not found", "missing trie node 5a", "Unknown block"])
async def test_a_block_that_the_node_lacks_is_its_lag(words: str) -> None:
    async def answer(body: dict[str, object]) -> bytes:
        error = {"code": -32000, "message": words}
        return http(json.dumps({"id": body["id"], "error": error}).encode())

    async with serve(answer) as url, JsonRpc(url, None) as rpc:
        with pytest.raises(NodeBehind):
            await rpc.tell(ask_head())


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
        with pytest.raises(Retryable, match="more than"):
            await rpc.write("eth_blockNumber")
