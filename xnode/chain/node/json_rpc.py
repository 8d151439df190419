"""JsonRpc: a chain node's JSON-RPC over HTTP, with deadlines, bounded retries for reads, and errors mapped to ours."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import inf
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import httpx2
import trio
from eth_abi.exceptions import DecodingError

from metering.units import Address
from xnode.chain.abi.codec import Revert, View, decode_revert
from xnode.chain.node.answers import NodeError, Question, Unfit, UnfitAnswer, open_envelope
from xnode.chain.node.pulse import Pulse
from xnode.chain.node.questions import ask_balance, ask_call, ask_chain_id, ask_code, ask_head
from xnode.errors import Permanent, Retryable
from xnode.text.hex import to_hex

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

MAX_HOLD_S = 60.0
"""The longest that a node's Retry-After is obeyed: one that says more may be fixed before."""

EMPTY_LOOKS = 2
"""How often a node that is not behind must say that there is no code at an address, before we say so."""

EMPTY_PAUSE_S = 0.5
"""Between those looks: behind a load balancer another node answers by then."""

_BUSY_HTTP = {408, 429, 500, 502, 503, 504}
_BUSY_CODES = {-32005, -32603, 429}
"""Limit exceeded and internal error: the node's trouble, not our request's."""

_BEHIND_WORDS = (
    "header not found",
    "block not found",
    "unknown block",
    "missing trie node",
    "header for hash not found",
)
"""How nodes say that they do not have a block yet, or not any more."""


class Reverted(Permanent):
    """The EVM refused the call: `revert` holds the custom error and its values."""

    def __init__(self, revert: Revert, what: str) -> None:
        self.revert = revert
        super().__init__(f"{what} was refused by the contract: {revert}", code="reverted")


class NodeRefused(Retryable):
    """The chain node does not take this request; `message` is what it said. Another node behind the same name may."""

    def __init__(self, method: str, where: str, code: int, message: str) -> None:
        self.message = message
        super().__init__(f"chain node {where} refused {method}: {message[:300]} (code {code})")


class NodeBehind(Retryable):
    """The chain node does not have the newest blocks that we have seen: what it says is old."""


class WrongChain(Retryable):
    """Another chain answers at the node's address, now: a person, or the load balancer, may mend it."""


class Query(NamedTuple):
    """One view of one contract, and what it is asked about."""

    to: Address
    view: View[Any]
    values: tuple[object, ...] = ()


class JsonRpc:
    """One chain node. Enter it before use; it sees to it that the node serves the right chain."""

    def __init__(self, url: str, chain_id: int | None, *, deadline_s: float = DEADLINE_S, least_block: int = 0) -> None:
        """chain_id: None takes whatever chain answers, for a chain that is only being set up; least_block: where the
        contracts were made, so that a node that is not there yet cannot say that there are none."""
        self.where = _hide_secrets(url)
        self._url, self._chain_id, self._deadline_s = url, chain_id, deadline_s
        self._least_block = least_block
        self._checked_at = self._held_until = -inf
        self._ids = itertools.count(1)
        # The host's certificates take a tenth of a second to read, which a node that starts over a plain way has better uses for.
        self._client = httpx2.AsyncClient(
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS),
            timeout=deadline_s,
            verify=not url.startswith("http:"),
        )
        self.pulse = Pulse(self.where)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._client.__aexit__(*exc)

    # ---- Questions

    async def ask(self, question: Question[R]) -> R:
        """The answer to what may be asked twice."""
        found: R = (await self.ask_all([question]))[0]
        return found

    async def ask_all(self, questions: Sequence[Question[Any]]) -> list[Any]:
        """The answers, in order, from one request. Raises what the first failed one failed with."""
        assert len(questions) <= MAX_BATCH_CALLS, "a batch is too large"
        return await _try_again(lambda: self._exchange_all(questions))

    async def tell(self, question: Question[R]) -> R:
        """The answer to what changes something: asked once, so a Retryable leaves open whether it was done."""
        found: R = (await self._exchange_all([question]))[0]
        return found

    async def read(self, method: str, *params: Any) -> Any:
        """The result, unchecked, of what only development chains and tests are asked."""
        return await self.ask(_ask_anything(method, params))

    async def read_batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The same of many."""
        return await self.ask_all([_ask_anything(method, params) for method, params in calls])

    async def write(self, method: str, *params: Any) -> Any:
        """The same of what changes something on a development chain."""
        return await self.tell(_ask_anything(method, params))

    # ---- Views

    async def view(self, to: Address, view: View[R], *values: object) -> R:
        """What a contract's view returns now. Permanent on a revert."""
        found: R = (await self.view_all([Query(to, view, values)]))[0]
        return found

    async def view_each(self, to: Address, view: View[R], rows: Iterable[tuple[object, ...]]) -> list[R]:
        """What one view of a contract returns now for each row of values, in order."""
        return await self.view_all([Query(to, view, values) for values in rows])

    async def view_all(self, queries: Sequence[Query], block: str | int = "latest") -> list[Any]:
        """What many views return at a block, in order, in as few requests as nodes take. Permanent on a revert; NodeBehind
        when the node lacks blocks that we have seen."""
        found: list[Any] = []
        for start in range(0, len(queries), MAX_BATCH_CALLS - 1):
            part = queries[start : start + MAX_BATCH_CALLS - 1]
            answers = await _try_again(lambda part=part: self._view_part(part, block))  # type: ignore[misc]
            found += [await self._open_view(*pair) for pair in zip(part, answers, strict=True)]
        return found

    async def _view_part(self, part: Sequence[Query], block: str | int) -> list[bytes]:
        calls = [ask_call(one.to, one.view.encode(*one.values), block) for one in part]
        # Both from one request: what a node says is as new as its head.
        head, *answers = await self._exchange_all([ask_head(), *calls])
        self._check_head(head)
        return answers

    def _check_head(self, head: int) -> None:
        lag = self.pulse.saw_head(head)
        if lag:
            hint = "its load balancer may have older nodes too; it is asked again"
            raise NodeBehind(f"chain node {self.where} is {lag} blocks behind what it has shown", hint=hint)

    async def _open_view(self, query: Query, data: bytes) -> Any:
        to = to_hex(query.to)
        if not data:
            await self.confirm_empty(query.to)
            raise Permanent(f"no contract at {to} on {self.where}", hint="check the addresses in the manifest")
        try:
            return query.view.decode(data)
        except (DecodingError, ValueError, OverflowError) as error:
            raise UnfitAnswer(
                f"{to} on {self.where} is another contract: {query.view.entry.signature} gave {len(data)} bytes",
                hint="check the addresses in the manifest, and the chain node",
            ) from error

    async def confirm_empty(self, address: Address) -> None:
        """Returns when a node that lacks no block says again and again that there is no code; else raises Retryable."""
        for look in range(EMPTY_LOOKS):
            if look:
                await trio.sleep(EMPTY_PAUSE_S)
            head, code = await self.ask_all([ask_head(), ask_code(address)])
            self._check_head(head)
            if head < self._least_block:
                raise NodeBehind(
                    f"chain node {self.where} is at block {head}, before the contracts were made in {self._least_block}",
                    hint="wait until it has caught up",
                )
            if code:
                raise UnfitAnswer(f"chain node {self.where} gave nothing for a view of {to_hex(address)}")

    async def check_chain_id(self) -> int:
        """The node's chain id. WrongChain when it is not the one that is expected."""
        chain_id: int = (await self._exchange_once([ask_chain_id()]))[0]
        if self._chain_id is not None and chain_id != self._chain_id:
            error = WrongChain(
                f"chain node {self.where} serves chain {chain_id}, not {self._chain_id}", hint="fix chain.rpc_url"
            )
            self._checked_at = -inf
            self.pulse.failed("chain", error.message)
            raise error
        self.pulse.heard("chain")
        self._checked_at = trio.current_time()
        return chain_id

    # ---- Inside

    async def _exchange_all(self, questions: Sequence[Question[Any]]) -> list[Any]:
        # A node can be replaced by one of another chain behind the same URL.
        if self._chain_id is not None and trio.current_time() - self._checked_at > CHAIN_CHECK_S:
            await self.check_chain_id()
        return await self._exchange_once(questions)

    async def _exchange_once(self, questions: Sequence[Question[Any]]) -> list[Any]:
        ids = [next(self._ids) for _ in questions]
        bodies = [
            {"jsonrpc": "2.0", "id": number, "method": one.method, "params": one.params}
            for number, one in zip(ids, questions, strict=True)
        ]
        content = await self._post(bodies if len(bodies) > 1 else bodies[0])
        try:
            answers = open_envelope(content, ids)
        except Unfit as error:
            raise self._make_unfit(questions[0].method, error) from error
        return [self._open(*pair) for pair in zip(questions, answers, strict=True)]

    def _open(self, question: Question[R], answer: bytes | NodeError) -> R:
        if isinstance(answer, NodeError):
            raise self._explain(question.method, answer)
        try:
            found = question.read(answer)
        except Unfit as error:
            raise self._make_unfit(question.method, error) from error
        self.pulse.heard(question.method)
        return found

    def _make_unfit(self, method: str, error: Unfit) -> UnfitAnswer:
        unfit = UnfitAnswer(
            f"chain node {self.where} answered {method} with {error}",
            hint="look at what it serves, and at chain.rpc_url",
        )
        self.pulse.failed(method, unfit.message)
        return unfit

    def _explain(self, method: str, error: NodeError) -> Exception:
        message = error.message
        if error.data is not None or error.code == 3 or "execution reverted" in message:
            return Reverted(decode_revert(error.data or b""), method)
        if any(word in message.lower() for word in _BEHIND_WORDS):
            return NodeBehind(f"chain node {self.where} does not have that block: {message[:300]}")
        if error.code in _BUSY_CODES:
            return Retryable(f"chain node {self.where} failed in {method}: {message[:300]}")
        return NodeRefused(method, self.where, error.code, message)

    async def _post(self, body: Any) -> bytes:
        try:
            self._check_held()
            return await self._post_unheld(json.dumps(body).encode())
        except Retryable as error:
            self.pulse.failed("", error.message)
            raise

    def _check_held(self) -> None:
        left_s = self._held_until - trio.current_time()
        if left_s > 0:
            raise Retryable(f"chain node {self.where} asked us to wait {left_s:.0f} s more")

    async def _post_unheld(self, body: bytes) -> bytes:
        try:
            with trio.fail_after(self._deadline_s):
                response, content = await self._exchange(body)
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, trio.TooSlowError) as error:
            self._checked_at = -inf
            slow = f"no answer within {self._deadline_s:g} s"
            detail = slow if isinstance(error, trio.TooSlowError) else str(error) or type(error).__name__
            raise Retryable(
                f"chain node {self.where} cannot be reached: {detail}", hint="check that it runs, and chain.rpc_url"
            ) from error
        status = response.status_code
        if status in _BUSY_HTTP:
            self._hold(response.headers.get("retry-after", ""))
            raise Retryable(f"chain node {self.where} is busy: HTTP {status}")
        if status in (401, 403):
            hint = "check the access key in chain.rpc_url, and its quota"
            raise Retryable(f"chain node {self.where} does not let us in: HTTP {status}", hint=hint)
        if 300 <= status < 400:
            raise Retryable(
                f"chain node {self.where} answered HTTP {status}: it has moved",
                hint="write its new address in chain.rpc_url",
            )
        if content.lstrip()[:1] not in (b"{", b"["):
            # A login page or a proxy's error: a person must look, but a proxy may recover.
            raise Retryable(
                f"chain node {self.where} answered HTTP {status} without JSON",
                hint="check chain.rpc_url and its access key",
            )
        return content

    def _hold(self, retry_after: str) -> None:
        if retry_after.isdecimal() and len(retry_after) < 10:
            self._held_until = trio.current_time() + min(int(retry_after), MAX_HOLD_S)

    async def _exchange(self, body: bytes) -> tuple[httpx2.Response, bytes]:
        headers = {"content-type": "application/json"}
        async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MAX_RESPONSE_BYTES:
                    raise Retryable(f"chain node {self.where} sent more than {MAX_RESPONSE_BYTES} bytes in one answer")
            return response, bytes(content)


async def _try_again(action: Callable[[], Awaitable[R]]) -> R:
    """What a read gives, tried a few times. What a node refuses it refuses again."""
    for delay_s in READ_DELAYS_S:
        try:
            return await action()
        except NodeRefused:
            raise
        except Retryable:
            await trio.sleep(delay_s)
    return await action()


async def read_native_balance(rpc: JsonRpc, address: Address) -> int:
    """Wei: what an address pays for transactions with."""
    return await rpc.ask(ask_balance(address))


def _ask_anything(method: str, params: Sequence[Any]) -> Question[Any]:
    return Question(method, tuple(params), Any, lambda value: value)


def _hide_secrets(url: str) -> str:
    """Scheme, host and port alone: paths and user parts of hosted nodes' URLs carry API keys."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
