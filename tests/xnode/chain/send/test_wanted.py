"""Wanted: a transaction that may lose its sense costs no more than it is worth, and is not sent again once nobody wants it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from metering.units import Address
from tests.make.waiting import wait_until
from tests.xnode.chain.devchain import DevChain, make_wallet
from tests.xnode.chain.send.test_transactor import Sender, open_sender, set_wei
from xnode.chain.send.tx_journal import TxCall
from xnode.chain.send.wanted import UNASKED_S, ask_wanted
from xnode.errors import Retryable
from xnode.ports.chain import Sent

pytestmark = pytest.mark.chain

GWEI = 10**9


def optional(to: Address, most_wei: int = 0) -> TxCall:
    return TxCall(to, b"", value=7, most_wei=most_wei, is_optional=True)


class Wish:
    """Says whether the transaction is wanted, and counts how often it was asked."""

    def __init__(self) -> None:
        self.is_wanted, self.asked = True, 0

    async def ask(self) -> bool:
        self.asked += 1
        return self.is_wanted


async def count_attempts(sender: Sender) -> int:
    return sum(len(one.attempts) for one in await sender.journal.load_pending())


async def test_what_is_not_wanted_any_more_is_cancelled_and_holds_up_nothing_behind_it(
    chains: Callable[..., DevChain], tmp_path: Path
) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    wish, ends = Wish(), dict[str, Sent]()

    async with open_sender(chain.url, tmp_path, key) as sender, trio.open_nursery() as nursery:

        async def send(intent: str, call: TxCall, ask: object = None) -> None:
            ends[intent] = await sender.send(intent, call, is_wanted=ask)  # type: ignore[arg-type]

        await set_wei(sender.rpc, key)
        nursery.start_soon(partial(send, "answer", optional(to), wish.ask))
        await sender.wait_pooled()
        nursery.start_soon(partial(send, "next", TxCall(to, b"", value=1)))
        await sender.wait_pooled(2)
        await wait_until(lambda: wish.asked >= 1)
        wish.is_wanted = False

        async def is_cancelled() -> bool:
            return any(one.attempts[-1].is_cancel for one in await sender.journal.load_pending())

        await wait_until(is_cancelled)
        await sender.rpc.write("evm_setAutomine", True)
        await sender.rpc.write("evm_mine")
    assert (ends["answer"].ok, ends["next"].ok) == (False, True)
    async with open_sender(chain.url, tmp_path, key) as sender:
        assert await sender.balance(to) == 1, "what was cancelled has paid nothing"
        again = await sender.send("answer", optional(to), is_wanted=wish.ask)
        assert not again.ok, "and it stays so"


async def test_what_nobody_asks_for_after_a_restart_is_not_sent_again_of_itself(
    chains: Callable[..., DevChain], tmp_path: Path
) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with open_sender(chain.url, tmp_path, key) as sender, trio.open_nursery() as nursery:
        await set_wei(sender.rpc, key)
        nursery.start_soon(partial(sender.send, "answer", optional(to), is_wanted=Wish().ask))
        await sender.wait_pooled()
        before = await count_attempts(sender)
        nursery.cancel_scope.cancel()
    async with open_sender(chain.url, tmp_path, key) as sender, trio.open_nursery() as nursery:
        await trio.sleep(1)
        assert await count_attempts(sender) == before
        wish = Wish()
        nursery.start_soon(partial(sender.send, "answer", optional(to), is_wanted=wish.ask))
        await wait_until(lambda: wish.asked >= 1)
        nursery.cancel_scope.cancel()


async def test_what_would_cost_more_than_it_is_worth_is_not_signed(
    chains: Callable[..., DevChain], tmp_path: Path
) -> None:
    chain, key, to = chains(), make_wallet(), make_wallet().address
    async with open_sender(chain.url, tmp_path, key) as sender:
        await set_wei(sender.rpc, key)
        with pytest.raises(Retryable, match="more than the 1000 that it is worth"):
            await sender.send("answer", optional(to, most_wei=1000), is_wanted=Wish().ask)
        assert await sender.journal.load("answer") is None


async def test_a_raised_fee_stays_below_what_it_is_worth(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with open_sender(chain.url, tmp_path, key) as sender, trio.open_nursery() as nursery:
        await set_wei(sender.rpc, key)
        wish, most_wei = Wish(), 26_250 * 3 * GWEI
        nursery.start_soon(partial(sender.send, "answer", optional(to, most_wei), is_wanted=wish.ask))
        await sender.wait_pooled()
        await wait_until(lambda: wish.asked >= 5)
        (record,) = await sender.journal.load_pending()
        assert all(record.gas * one.max_fee <= most_wei for one in record.attempts)
        nursery.cancel_scope.cancel()


async def test_a_chain_node_that_does_not_say_holds_it_back_and_one_that_nobody_asks_for_is_given_up() -> None:
    async def away() -> bool:
        raise Retryable("the chain node is away")

    assert await ask_wanted(away, 0, "answer") is None
    assert await ask_wanted(None, UNASKED_S - 1, "answer") is None
    assert await ask_wanted(None, UNASKED_S, "answer") is False
