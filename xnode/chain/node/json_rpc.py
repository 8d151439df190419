"""JsonRpc: a chain node's JSON-RPC over HTTP, with deadlines, bounded retries for reads, and errors mapped to ours."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import httpx2
import trio
from eth_abi.exceptions import DecodingError

from metering.units import Address
from xnode.chain.abi.codec import Revert, View, decode_revert
from xnode.errors import Permanent, Retryable
from xnode.text.hex import parse_hex, to_hex

R = TypeVar("R")

DEADLINE_S = 10.0
"""For one request: a healthy node answers our largest (200 claims estimated) in well under a second."""

READ_DELAYS_S = (0.1, 0.4)
"""Waits before a read is tried again: enough for a dropped connection; longer outages are the caller's to sit out."""

MAX_CONNECTIONS = 8
"""Our loops send a handful of requests at once; more would only queue inside the node."""

MAX_RESPONSE_BYTES = 64 << 20
"""Above the largest answer we ask for (500 blocks full of our logs, a devnet's state); a broken node ends here."""

MAX_BATCH_CALLS = 100
"""Public nodes commonly refuse batches above this."""

CHAIN_CHECK_S = 10.0
"""How long a node is believed to serve the chain it said; after a lost connection it is asked at once."""

_BUSY_HTTP = {408, 429, 500, 502, 503, 504}
_BUSY_CODES = {-32005, -32603, 429}
"""Limit exceeded and internal error: the node's trouble, not our request's."""


class Reverted(Permanent):
    """The EVM refused the call: `revert` holds the custom error and its values."""

    def __init__(self, revert: Revert, what: str) -> None:
        self.revert = revert
        super().__init__(f"{what} was refused by the contract: {revert}", code="reverted")


class NodeRefused(Permanent):
    """The chain node does not accept this request; `message` is what it said."""

    def __init__(self, method: str, where: str, code: int, message: str) -> None:
        self.message = message
        super().__init__(f"chain node {where} refused {method}: {message[:300]} (code {code})", code="node_refused")


class Query(NamedTuple):
    """One view of one contract, and what it is asked about."""

    to: Address
    view: View[Any]
    values: tuple[object, ...] = ()


class JsonRpc:
    """One chain node. Enter it before use; it sees to it that the node serves the right chain."""

    def __init__(self, url: str, chain_id: int | None, *, deadline_s: float = DEADLINE_S) -> None:
        """chain_id: None takes whatever chain answers, for a chain that is only being set up."""
        self.where = _hide_secrets(url)
        self._url, self._chain_id, self._deadline_s = url, chain_id, deadline_s
        self._checked_at = -inf
        self._ids = itertools.count(1)
        self._client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=MAX_CONNECTIONS), timeout=deadline_s)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._client.__aexit__(*exc)

    async def read(self, method: str, *params: Any) -> Any:
        """The result of a call that may be asked twice."""
        return (await self.read_batch([(method, params)]))[0]

    async def read_batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of reads, in order, from one request. Raises what the first failed one failed with."""
        assert len(calls) <= MAX_BATCH_CALLS, "a batch is too large"
        for delay_s in READ_DELAYS_S:
            try:
                return await self._ask(calls)
            except Retryable:
                await trio.sleep(delay_s)
        return await self._ask(calls)

    async def write(self, method: str, *params: Any) -> Any:
        """The result of a call that changes something: asked once, so a Retryable leaves open whether it was done."""
        return (await self._ask([(method, params)]))[0]

    async def view(self, to: Address, view: View[R], *values: object) -> R:
        """What a contract's view returns now. Permanent on a revert."""
        found: R = (await self.view_all([Query(to, view, values)]))[0]
        return found

    async def view_each(self, to: Address, view: View[R], rows: Iterable[tuple[object, ...]]) -> list[R]:
        """What one view of a contract returns now for each row of values, in order."""
        return await self.view_all([Query(to, view, values) for values in rows])

    async def view_all(self, queries: Sequence[Query], block: str = "latest") -> list[Any]:
        """What many views return at a block, in order, in as few requests as nodes take. Permanent on a revert."""
        found: list[Any] = []
        for start in range(0, len(queries), MAX_BATCH_CALLS):
            part = queries[start : start + MAX_BATCH_CALLS]
            calls = [
                ("eth_call", ({"to": to_hex(one.to), "data": to_hex(one.view.encode(*one.values))}, block))
                for one in part
            ]
            found += [self._open_view(*pair) for pair in zip(part, await self.read_batch(calls), strict=True)]
        return found

    def _open_view(self, query: Query, answer: str) -> Any:
        data, to = parse_hex(answer), to_hex(query.to)
        if not data:
            raise Permanent(f"no contract at {to} on {self.where}", hint="check the addresses in the manifest")
        try:
            return query.view.decode(data)
        except DecodingError as error:
            raise Permanent(
                f"{to} on {self.where} is another contract: {query.view.entry.signature} gave {len(data)} bytes"
            ) from error

    async def check_chain_id(self) -> int:
        """The node's chain id. Permanent when it is not the one that is expected."""
        body = self._make_body("eth_chainId", ())
        chain_id = int(self._open("eth_chainId", await self._post(body)), 16)
        if self._chain_id is not None and chain_id != self._chain_id:
            raise Permanent(
                f"chain node {self.where} serves chain {chain_id}, not {self._chain_id}", hint="fix chain.rpc_url"
            )
        self._checked_at = trio.current_time()
        return chain_id

    # ---- Inside

    async def _ask(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        # A node can be replaced by one of another chain behind the same URL.
        if self._chain_id is not None and trio.current_time() - self._checked_at > CHAIN_CHECK_S:
            await self.check_chain_id()
        bodies = [self._make_body(method, params) for method, params in calls]
        answer = await self._post(bodies if len(bodies) > 1 else bodies[0])
        answers = answer if isinstance(answer, list) else [answer]
        by_id = {one.get("id"): one for one in answers if isinstance(one, dict)}
        if len(answers) == 1 and len(calls) > 1 and "error" in answers[0]:
            self._open("batch", answers[0])
        return [self._open(body["method"], by_id.get(body["id"])) for body in bodies]

    def _make_body(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}

    async def _post(self, body: Any) -> Any:
        try:
            with trio.fail_after(self._deadline_s):
                status, content = await self._exchange(json.dumps(body).encode())
        except (httpx2.TransportError, trio.TooSlowError) as error:
            self._checked_at = -inf
            detail = str(error) or type(error).__name__
            raise Retryable(
                f"chain node {self.where} cannot be reached: {detail}", hint="check that it runs, and chain.rpc_url"
            ) from error
        if status in _BUSY_HTTP:
            raise Retryable(f"chain node {self.where} is busy: HTTP {status}")
        try:
            return json.loads(content)
        except ValueError as error:
            # A login page or a proxy's error: a person must look, but a proxy may recover.
            raise Retryable(
                f"chain node {self.where} answered HTTP {status} without JSON", hint="check chain.rpc_url"
            ) from error

    async def _exchange(self, body: bytes) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"}
        async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MAX_RESPONSE_BYTES:
                    raise Permanent(f"chain node {self.where} sent more than {MAX_RESPONSE_BYTES} bytes in one answer")
            return response.status_code, bytes(content)

    def _open(self, method: str, answer: Any) -> Any:
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise Retryable(f"chain node {self.where} left {method} without an answer")
        error = answer.get("error")
        if error is None:
            return answer["result"]
        code, message = int(error.get("code", 0)), str(error.get("message", ""))
        data = _find_revert_data(error)
        if data is not None or code == 3 or "execution reverted" in message:
            raise Reverted(decode_revert(data or b""), method)
        if code in _BUSY_CODES:
            raise Retryable(f"chain node {self.where} failed in {method}: {message[:300]}")
        raise NodeRefused(method, self.where, code, message)


async def read_native_balance(rpc: JsonRpc, address: Address) -> int:
    """Wei: what an address pays for transactions with."""
    return int(await rpc.read("eth_getBalance", to_hex(address), "latest"), 16)


def _hide_secrets(url: str) -> str:
    """Scheme, host and port alone: paths and user parts of hosted nodes' URLs carry API keys."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _find_revert_data(error: dict[str, Any]) -> bytes | None:
    data = error.get("data")
    if isinstance(data, dict):
        data = data.get("data")
    if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
        try:
            return bytes.fromhex(data[2:])
        except ValueError:
            return None
    return None
