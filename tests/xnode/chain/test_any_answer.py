"""No answer of a chain node ends anything: every call gives its value or a fault with a name, every watcher goes on."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings

from metering.terms import Opening
from metering.units import Address, Amount, Hash32
from tests.make.values import address_of, make_escrow
from tests.make.waiting import pass_time
from tests.xnode.chain.devchain import make_wallet
from tests.xnode.chain.node.test_answers import values
from xnode.chain.client import ChainClient, make_client
from xnode.chain.deployment.manifest import Asset, Contracts, Manifest
from xnode.chain.node.history import read_history
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.send.tx_journal import TxCall, make_engine
from xnode.errors import Permanent, Retryable
from xnode.node.changes import ChainSeen
from xnode.peers.chain_watch import ChainWatch
from xnode.peers.escrow_watch import EscrowEvents
from xnode.ports.chain import ClaimRow

ADDRESS, HASH, WORD = "0x" + "11" * 20, "0x" + "22" * 32, "0x" + "0" * 63 + "1"

BLOCK = {"number": "0x5", "hash": HASH, "parentHash": HASH, "timestamp": "0x5"}
RECEIPT = {"transactionHash": HASH, "blockNumber": "0x5", "status": "0x1", "gasUsed": "0x1", "logs": []}
LOG = {
    "address": ADDRESS,
    "topics": [HASH],
    "data": "0x",
    "blockNumber": "0x5",
    "blockHash": HASH,
    "transactionHash": HASH,
    "logIndex": "0x0",
}
FEES = {"baseFeePerGas": ["0x1"], "reward": [["0x1"]]}

HEAD = "0x05"

GOOD: dict[str, Any] = {
    "eth_chainId": "0x7a69",
    "eth_blockNumber": HEAD,
    "eth_getBlockByNumber": BLOCK,
    "eth_getLogs": [],
    "eth_getBalance": "0xfffffffffffffffffff",
    "eth_getTransactionCount": "0x0",
    "eth_feeHistory": FEES,
    "eth_estimateGas": "0x5208",
    "eth_call": WORD,
    "eth_getCode": "0x60",
    "eth_getTransactionReceipt": None,
    "eth_sendRawTransaction": HASH,
    "eth_gasPrice": "0x1",
}

ODD: tuple[Any, ...] = (
    None, True, 0, 5, -1, 1.5, "", "0x", "0x5", "0xg", "5", [], [None], {}, HASH, WORD, WORD * 9, "0x" + "f" * 64, ADDRESS,
    BLOCK, BLOCK | {"number": None}, BLOCK | {"hash": None}, BLOCK | {"timestamp": 5}, [BLOCK],
    RECEIPT, RECEIPT | {"blockNumber": None}, RECEIPT | {"status": None}, RECEIPT | {"logs": [None]},
    [LOG], [LOG, LOG], [LOG | {"removed": True}], [LOG | {"blockNumber": None}], [LOG | {"topics": []}], [LOG | {"topics": None}],
    FEES, FEES | {"baseFeePerGas": [None]}, FEES | {"reward": [[]]}, FEES | {"reward": None}, {"result": "0x5"},
)  # fmt: skip
"""What may stand where a result should."""


class Oracle(JsonRpc):
    """A chain node that says what `answer` gives for a method, in one envelope or another."""

    def __init__(self, answer: Callable[[str], Any]) -> None:
        super().__init__("http://node", 31337)
        self.answer = answer

    async def _post(self, body: Any) -> bytes:
        await trio.lowlevel.checkpoint()
        calls = body if isinstance(body, list) else [body]
        replies = [{"id": one["id"], "result": self._fit(self.answer(one["method"]), one["params"])} for one in calls]
        return json.dumps(replies if isinstance(body, list) else replies[0]).encode()

    def _fit(self, result: Any, params: list[Any]) -> Any:
        """The good block under the number that was asked for, and a head that moves on: a block each second."""
        if result is HEAD:
            return hex(int(trio.current_time()))
        if result is BLOCK and params and str(params[0]).startswith("0x"):
            return BLOCK | {"number": params[0], "timestamp": params[0]}
        return result


def make_manifest() -> Manifest:
    names = Contracts.__struct_fields__
    contracts = Contracts(**{name: Address(bytes([index + 1]) * 20) for index, name in enumerate(names)})
    assets = (Asset("OPENX", 18, contracts.openx_token),)
    return Manifest(chain_id=31337, deployed_at_block=1, confirmations=1, contracts=contracts, assets=assets)


def make_chain(folder: Path, answer: Callable[[str], Any]) -> ChainClient:
    engine = make_engine(folder / "tx.sqlite")
    return make_client(Oracle(answer), make_manifest(), make_wallet(), engine)


def list_actions(chain: ChainClient) -> list[Callable[[], Awaitable[object]]]:
    """Every call that the daemon makes of the chain node."""
    me, escrow = address_of(1), make_escrow()
    escrow_id = Hash32(bytes(32))
    opening = Opening(escrow_id, Amount(1), Hash32(bytes(32)), 9)
    capacity = chain.capacity
    return [
        chain.check, chain.check_is_there, chain.make_cursor, chain.head_number, chain.chain_time_s, chain.block_times,
        chain.measure_pace, chain.read_fuel,
        lambda: chain.balances(me), lambda: chain.free_balance(me, me), lambda: chain.opener_cap(me, me, me),
        lambda: chain.escrow_state(escrow_id), lambda: chain.provider_of(me), lambda: chain.stakes_of([me, me]),
        lambda: chain.registration(me), lambda: capacity.read_head(), lambda: capacity.count_misses(me),
        lambda: capacity.list_challenges(1, 9), lambda: capacity.read_challenge(escrow_id), lambda: capacity.find_open(me),
        lambda: capacity.read_verified(me), capacity.list_verifiers, lambda: capacity.list_nodes((me,)),
        lambda: read_history(chain.rpc, me, (escrow_id,), 1),
        lambda: chain.open_escrow("open", escrow, opening, bytes(64) + b"\x1b"), lambda: chain.start_thaw("thaw", escrow),
        lambda: chain.close_escrow("close", escrow),
        lambda: chain.claim_and_release("claim", (ClaimRow(escrow, None, b""),), True),
    ]  # fmt: skip


async def try_all(chain: ChainClient) -> None:
    for action in list_actions(chain):
        with trio.move_on_after(1):
            try:
                await action()
            except (Retryable, Permanent) as error:
                assert str(error)


def run_fast(work: Callable[[], Awaitable[None]]) -> None:
    trio.run(work, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("method", GOOD)
def test_no_odd_answer_to_one_method_is_more_than_a_named_fault(method: str, tmp_path: Path) -> None:
    odd: Any = None

    async def work() -> None:
        nonlocal odd
        chain = make_chain(tmp_path, lambda asked: odd if asked == method else GOOD.get(asked, "0x0"))
        for odd in (None, "0x", WORD * 9, [LOG], ODD[len(method) % len(ODD)]):  # noqa: B007
            await try_all(chain)

    run_fast(work)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values)
def test_any_answer_to_everything_is_no_more_than_a_named_fault(value: object, tmp_path: Path) -> None:
    run_fast(lambda: try_all(make_chain(tmp_path, lambda _method: value)))


@pytest.mark.parametrize("seed", range(3))
def test_no_watcher_ends_whatever_it_hears_and_each_goes_on_when_the_node_is_well(seed: int, tmp_path: Path) -> None:
    chance, mad = random.Random(seed), True

    def answer(method: str) -> Any:
        return chance.choice(ODD) if mad and chance.random() < 0.7 else GOOD.get(method, "0x0")

    async def work() -> None:
        nonlocal mad
        chain = make_chain(tmp_path, answer)
        told: list[ChainSeen] = []

        async def tell(seen: ChainSeen) -> None:
            told.append(seen)

        chain.check = chain.check_is_there  # type: ignore[method-assign, assignment]
        watch = ChainWatch(chain, tell)
        sent: list[object] = []

        async def follow() -> None:
            async for _ in EscrowEvents(chain, lambda: 1.0).follow():
                pass
            raise AssertionError("it has no end")

        async def send() -> None:
            while True:
                try:
                    sent.append(await chain._transactor.send("one", TxCall(address_of(1), b"")))
                except (Retryable, Permanent):
                    await pass_time(1)

        async with trio.open_nursery() as nursery:
            for task in (chain.run, watch.run, follow, send):
                nursery.start_soon(task)
            await pass_time(120)
            mad, told[:] = False, []
            await pass_time(90)
            assert watch.fuel is not None and not watch.problem(), watch.problem()
            nursery.cancel_scope.cancel()

    run_fast(work)
