"""One intent is one transaction, through deaths, reorgs, outages and full pools, against a real node."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from metering.units import Address
from tests.make.waiting import wait_until
from tests.xnode.chain.devchain import PACE, TOKEN, Bed, DevChain, make_wallet
from xnode import faultpoint
from xnode.chain.contracts import openx_token
from xnode.chain.node.answers import Question
from xnode.chain.node.json_rpc import JsonRpc, Reverted
from xnode.chain.send.transactor import LOST_LOOKS, MAX_IN_FLIGHT, Pace, Transactor
from xnode.chain.send.tx_journal import Attempt, SqlTxJournal, TxCall, make_engine
from xnode.errors import Retryable
from xnode.ports.chain import Sent
from xnode.ports.wallet import Transaction
from xnode.text.hex import to_hex
from xnode.wallet.signer import WalletKey

pytestmark = pytest.mark.chain

CHAIN_ID = 31337


class Sender:
    """A transactor that runs, and what it works with."""

    def __init__(self, transactor: Transactor, journal: SqlTxJournal, rpc: JsonRpc, key: WalletKey) -> None:
        self.send, self.journal, self.rpc, self.key = transactor.send, journal, rpc, key

    async def nonce(self) -> int:
        return int(await self.rpc.read("eth_getTransactionCount", to_hex(self.key.address), "latest"), 16)

    async def balance(self, address: Address) -> int:
        return int(await self.rpc.read("eth_getBalance", to_hex(address), "latest"), 16)

    async def is_idle(self) -> bool:
        return not await self.journal.load_pending()

    async def wait_pooled(self, count: int = 1) -> None:
        """Returns when so many transactions wait in the node's pool."""

        async def is_pooled() -> bool:
            return int((await self.rpc.read("txpool_status"))["pending"], 16) >= count

        await wait_until(is_pooled)


@asynccontextmanager
async def open_sender(url: str, folder: Path, key: WalletKey, pace: Pace = PACE) -> AsyncIterator[Sender]:
    engine = make_engine(folder / "tx.sqlite")
    journal = SqlTxJournal(engine, CHAIN_ID, key.address)
    async with JsonRpc(url, CHAIN_ID, deadline_s=2) as rpc, trio.open_nursery() as nursery:
        transactor = Transactor(rpc, key, journal, CHAIN_ID, pace)
        await nursery.start(transactor.run)
        with trio.fail_after(60):
            yield Sender(transactor, journal, rpc, key)
        nursery.cancel_scope.cancel()


def pay(to: Address, wei: int = 1) -> TxCall:
    return TxCall(to, b"", value=wei)


async def set_wei(rpc: JsonRpc, key: WalletKey) -> None:
    await rpc.write("anvil_setBalance", to_hex(key.address), hex(10 * TOKEN))


# ------------------------------------------------------------------------------------------------------- one intent


async def test_one_intent_asked_by_many_is_sent_once(bed: Bed) -> None:
    key, to = await bed.new_wallet(), make_wallet().address
    async with open_sender(bed.rpc._url, bed.folder, key) as sender:
        results: list[Sent] = []
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(collect, results, sender.send("pay", pay(to)))
        assert len({sent.tx_hash for sent in results}) == 1
        assert await sender.balance(to) == 1
        assert await sender.nonce() == 1


async def collect(results: list[Sent], work: object) -> None:
    results.append(await work)  # type: ignore[misc]


async def test_an_intent_is_remembered_in_the_next_life(bed: Bed) -> None:
    key, to = await bed.new_wallet(), make_wallet().address
    async with open_sender(bed.rpc._url, bed.folder, key) as sender:
        first = await sender.send("pay", pay(to))
    async with open_sender(bed.rpc._url, bed.folder, key) as sender:
        assert await sender.send("pay", pay(to, wei=5)) == first
        assert await sender.balance(to) == 1
    assert first.ok
    assert first.gas_used == 21_000


async def test_a_refused_call_is_permanent_and_takes_no_nonce(bed: Bed) -> None:
    key, to = await bed.new_wallet(), make_wallet().address
    token = bed.manifest.contracts.openx_token
    async with open_sender(bed.rpc._url, bed.folder, key) as sender:
        with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
            await sender.send("token", TxCall(token, openx_token.TRANSFER.encode(to, 5)))
        assert await sender.journal.load("token") is None
        await sender.send("pay", pay(to))
        assert await sender.nonce() == 1


async def test_a_call_that_reverts_when_mined_ends_not_ok(bed: Bed) -> None:
    key, to = await bed.new_wallet(openx=5), make_wallet().address
    token = bed.manifest.contracts.openx_token
    # Estimated while the money is there, mined after it has gone.
    await bed.rpc.write("evm_setAutomine", False)
    try:
        async with open_sender(bed.rpc._url, bed.folder, key, replace(PACE, stuck_after_s=60)) as sender:
            results: list[Sent] = []
            async with trio.open_nursery() as nursery:
                for number in range(2):
                    call = TxCall(token, openx_token.TRANSFER.encode(to, 5))
                    nursery.start_soon(collect, results, sender.send(f"token {number}", call))
                await sender.wait_pooled(2)
                await bed.rpc.write("evm_mine")
            assert sorted(sent.ok for sent in results) == [False, True]
    finally:
        await bed.rpc.write("evm_setAutomine", True)


async def test_a_call_that_only_the_next_block_allows_is_not_estimated(bed: Bed) -> None:
    key, to = await bed.new_wallet(), make_wallet().address
    token = bed.manifest.contracts.openx_token
    # An estimate would refuse it in the newest block, as it does above.
    call = TxCall(token, openx_token.TRANSFER.encode(to, 5), gas_floor=90_000, is_estimated=False)
    async with open_sender(bed.rpc._url, bed.folder, key) as sender:
        sent = await sender.send("token", call)
        record = await sender.journal.load("token")
    assert not sent.ok
    assert record is not None and record.gas == 90_000


async def test_without_gas_money_it_is_retryable_and_says_who_needs_it(bed: Bed) -> None:
    key, to = make_wallet(), make_wallet().address
    async with open_sender(bed.rpc._url, bed.folder, key) as sender:
        with pytest.raises(Retryable, match="(?i)" + to_hex(key.address)):
            await sender.send("pay", pay(to))
        assert await sender.journal.load("pay") is None
        await bed.give(key.address, wei=TOKEN)
        assert (await sender.send("pay", pay(to))).ok


async def test_many_at_once_take_nonces_without_gaps(bed: Bed) -> None:
    key, to = await bed.new_wallet(), make_wallet().address
    count = 2 * MAX_IN_FLIGHT
    async with open_sender(bed.rpc._url, bed.folder, key) as sender:
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(sender.send, f"pay {number}", pay(to))
        assert await sender.balance(to) == count
        assert await sender.nonce() == count
        assert await sender.journal.next_nonce() == count


async def test_all_that_wait_for_room_get_it(
    chains: Callable[..., DevChain], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xnode.chain.send.transactor.MAX_IN_FLIGHT", 1)
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with open_sender(chain.url, tmp_path, key) as sender:
        await set_wei(sender.rpc, key)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send, "pay 0", pay(to))
            await sender.wait_pooled()
            for number in (1, 2):
                nursery.start_soon(sender.send, f"pay {number}", pay(to))
            await trio.testing.wait_all_tasks_blocked()
            await sender.rpc.write("evm_setAutomine", True)
            await sender.rpc.write("evm_mine")
        assert await sender.balance(to) == 3


async def test_what_is_mined_makes_room_before_it_is_confirmed(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with (
        open_sender(chain.url, tmp_path, key, replace(PACE, confirmations=9)) as sender,
        trio.open_nursery() as nursery,
    ):
        await set_wei(sender.rpc, key)
        for number in range(3 * MAX_IN_FLIGHT):
            nursery.start_soon(sender.send, f"pay {number}", pay(to))
        for block in range(1, 4):
            await sender.wait_pooled(MAX_IN_FLIGHT)
            assert int((await sender.rpc.read("txpool_status"))["pending"], 16) == MAX_IN_FLIGHT, (
                "as many as nodes hold"
            )
            await sender.rpc.write("evm_mine")
            await wait_until(lambda: sender.balance(to))
            assert await sender.balance(to) == block * MAX_IN_FLIGHT, (
                "one window a block, before the first is confirmed"
            )
        assert len(await sender.journal.load_pending()) == 3 * MAX_IN_FLIGHT
        for _ in range(9):
            await sender.rpc.write("evm_mine")
    assert not await sender.journal.load_pending()


async def test_no_more_wait_for_confirmations_than_nodes_could_hold_again(
    chains: Callable[..., DevChain], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xnode.chain.send.transactor.MAX_WATCHED", MAX_IN_FLIGHT + 2)
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with (
        open_sender(chain.url, tmp_path, key, replace(PACE, confirmations=3)) as sender,
        trio.open_nursery() as nursery,
    ):
        await set_wei(sender.rpc, key)
        for number in range(2 * MAX_IN_FLIGHT):
            nursery.start_soon(sender.send, f"pay {number}", pay(to))
        await sender.wait_pooled(MAX_IN_FLIGHT)
        await sender.rpc.write("evm_mine")
        await sender.wait_pooled(2)
        await trio.sleep(10 * PACE.poll_interval_s)
        assert len(await sender.journal.load_pending()) == MAX_IN_FLIGHT + 2
        await sender.rpc.write("evm_setAutomine", True)
        while await sender.balance(to) < 2 * MAX_IN_FLIGHT or not await sender.is_idle():
            await sender.rpc.write("evm_mine")


async def test_what_can_wait_leaves_room_for_the_rest(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with open_sender(chain.url, tmp_path, key) as sender, trio.open_nursery() as nursery:
        await set_wei(sender.rpc, key)
        for number in range(2 * MAX_IN_FLIGHT):
            nursery.start_soon(partial(sender.send, f"wait {number}", pay(to), spare=6))
        await sender.wait_pooled(MAX_IN_FLIGHT - 6)
        nursery.start_soon(sender.send, "now", pay(to))
        await sender.wait_pooled(MAX_IN_FLIGHT - 5)
        pending = {one.intent for one in await sender.journal.load_pending()}
        assert "now" in pending and len(pending) == MAX_IN_FLIGHT - 5
        await sender.rpc.write("evm_setAutomine", True)
        await sender.rpc.write("evm_mine")
    assert await sender.journal.next_nonce() == 2 * MAX_IN_FLIGHT + 1


# --------------------------------------------------------------------------------------------------- kill -9 anywhere


POINTS = ["tx_before_save", "tx_saved", "tx_broadcast", "tx_before_mark", "tx_marked"]


def die_sending(point: str, url: str, folder: Path, key: WalletKey, to: Address) -> int:
    """The exit status of a process of its own that sends "pay" and is killed at the fault point."""

    async def send() -> None:
        async with open_sender(url, folder, key) as sender:
            await sender.send("pay", pay(to))

    child = os.fork()
    if child == 0:
        status = 1
        try:
            faultpoint._armed = point
            trio.run(send)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("point", POINTS)
def test_death_loses_and_doubles_nothing(point: str, shared_chain: DevChain, tmp_path: Path) -> None:
    key, to = make_wallet(), make_wallet().address

    async def fund() -> None:
        async with JsonRpc(shared_chain.url, CHAIN_ID) as rpc:
            await set_wei(rpc, key)

    async def send_again() -> tuple[Sent, int, int]:
        async with open_sender(shared_chain.url, tmp_path, key) as sender:
            return await sender.send("pay", pay(to)), await sender.balance(to), await sender.nonce()

    trio.run(fund)
    assert die_sending(point, shared_chain.url, tmp_path, key, to) == -signal.SIGKILL
    sent, balance, nonce = trio.run(send_again)
    assert (sent.ok, balance, nonce) == (True, 1, 1)
    assert trio.run(send_again) == (sent, 1, 1)


@pytest.mark.slow
def test_deaths_at_random_moments_lose_and_double_nothing(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    chain, key, to, count, entropy = chains(), make_wallet(), make_wallet().address, 300, random.Random(1)

    async def send_all() -> tuple[int, int]:
        async with open_sender(chain.url, tmp_path, key) as sender:
            await set_wei(sender.rpc, key)
            async with trio.open_nursery() as nursery:
                for number in range(count):
                    nursery.start_soon(sender.send, f"pay {number}", pay(to))
            return await sender.balance(to), await sender.nonce()

    deaths = 0
    for _ in range(40):
        child = os.fork()
        if child == 0:
            try:
                trio.run(send_all)
            finally:
                os._exit(0)
        time.sleep(entropy.uniform(0.02, 0.4))  # the moment of death is what is random here
        os.kill(child, signal.SIGKILL)
        deaths += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert deaths > 5
    assert trio.run(send_all) == (count, count)


async def test_what_was_saved_is_finished_in_the_next_life_unasked(
    chains: Callable[..., DevChain], tmp_path: Path
) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with open_sender(chain.url, tmp_path, key) as sender:
        await set_wei(sender.rpc, key)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send, "pay", pay(to))
            await sender.wait_pooled()
            nursery.cancel_scope.cancel()
    async with open_sender(chain.url, tmp_path, key) as sender:
        await sender.rpc.write("evm_mine")
        await wait_until(sender.is_idle)
        assert await sender.balance(to) == 1


# ---------------------------------------------------------------------------------------------------------------- fees


async def test_a_stuck_transaction_is_offered_again_for_more(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with open_sender(chain.url, tmp_path, key, replace(PACE, stuck_after_s=0.1)) as sender:
        await set_wei(sender.rpc, key)
        async with trio.open_nursery() as nursery:
            results: list[Sent] = []
            nursery.start_soon(collect, results, sender.send("pay", pay(to)))

            async def is_raised() -> bool:
                return len(await attempts_of(sender)) >= 3

            await wait_until(is_raised)
            attempts = await attempts_of(sender)
            await sender.rpc.write("evm_mine")
        assert [attempt.nonce for attempt in attempts] == [0] * len(attempts)
        for before, after in pairwise(attempts):
            assert after.max_fee * 8 >= before.max_fee * 9
            assert after.max_priority_fee * 8 >= before.max_priority_fee * 9
        assert await sender.balance(to) == 1
        assert await sender.nonce() == 1
        assert results[0].tx_hash in {attempt.tx_hash for attempt in attempts}


async def attempts_of(sender: Sender) -> tuple[Attempt, ...]:
    record = await sender.journal.load("pay")
    return record.attempts if record else ()


# -------------------------------------------------------------------------------------------------- confirmations, reorgs


async def test_it_is_not_confirmed_before_its_depth(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with open_sender(chain.url, tmp_path, key, replace(PACE, confirmations=3, stuck_after_s=60)) as sender:
        await set_wei(sender.rpc, key)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send, "pay", pay(to))
            await sender.wait_pooled()
            for blocks in range(1, 4):
                await sender.rpc.write("evm_mine")
                with trio.move_on_after(0.2):
                    await wait_until(sender.is_idle)
                assert await sender.is_idle() == (blocks == 3)


async def test_a_reorg_before_the_depth_sends_it_again(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with open_sender(chain.url, tmp_path, key, replace(PACE, confirmations=3)) as sender:
        await set_wei(sender.rpc, key)
        await sender.rpc.write("anvil_mine", "0x5")
        async with trio.open_nursery() as nursery:
            results: list[Sent] = []
            nursery.start_soon(collect, results, sender.send("pay", pay(to)))
            await sender.wait_pooled()
            await sender.rpc.write("anvil_mine", "0x2")
            assert await sender.balance(to) == 1
            await sender.rpc.write("anvil_reorg", 2, [])
            assert await sender.balance(to) == 0
            await sender.wait_pooled()
            assert not results
            await sender.rpc.write("anvil_mine", "0x3")
        assert await sender.balance(to) == 1
        assert await sender.nonce() == 1


# ------------------------------------------------------------------------------------------------- another with our key


async def test_a_nonce_taken_by_another_program_gives_the_intent_a_new_one(
    chains: Callable[..., DevChain], tmp_path: Path
) -> None:
    chain, key, to, other = chains("--no-mining"), make_wallet(), make_wallet().address, make_wallet().address
    async with open_sender(chain.url, tmp_path, key, replace(PACE, stuck_after_s=60)) as sender:
        await set_wei(sender.rpc, key)
        async with trio.open_nursery() as nursery:
            results: list[Sent] = []
            nursery.start_soon(collect, results, sender.send("pay", pay(to)))
            await sender.wait_pooled()
            expensive = Transaction(CHAIN_ID, 0, 50 * 10**9, 100 * 10**9, 21_000, other, 7, b"")
            await sender.rpc.write("eth_sendRawTransaction", to_hex(key.sign_transaction(expensive)))
            await sender.rpc.write("evm_mine")
            assert await sender.balance(other) == 7
            await sender.wait_pooled()
            await sender.rpc.write("evm_mine")
        assert await sender.balance(to) == 1
        assert await sender.nonce() == 2


# ------------------------------------------------------------------------------------------------------------- outages


async def test_an_unreachable_node_is_retryable_and_leaves_no_trace(tmp_path: Path) -> None:
    key = make_wallet()
    async with open_sender("http://127.0.0.1:9", tmp_path, key) as sender:
        with pytest.raises(Retryable, match="cannot be reached"):
            await sender.send("pay", pay(key.address))
        assert await sender.journal.load("pay") is None


async def test_a_node_that_dies_with_our_transaction_in_its_pool_gets_it_again(
    chains: Callable[..., DevChain], tmp_path: Path
) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    port = int(chain.url.rpartition(":")[2])
    async with open_sender(chain.url, tmp_path, key) as sender:
        await set_wei(sender.rpc, key)
        async with trio.open_nursery() as nursery:
            results: list[Sent] = []
            nursery.start_soon(collect, results, sender.send("pay", pay(to)))
            await sender.wait_pooled()
            chain.end()
            chains(port=port)
            await set_wei(sender.rpc, key)
        assert results[0].ok
        assert await sender.balance(to) == 1


async def test_a_chain_restored_from_an_older_state_gets_back_what_it_lost(
    chains: Callable[..., DevChain], tmp_path: Path
) -> None:
    chain, key, to = chains(), make_wallet(), make_wallet().address
    port = int(chain.url.rpartition(":")[2])
    async with open_sender(chain.url, tmp_path, key) as sender:
        await set_wei(sender.rpc, key)
        await sender.send("first", pay(to))
        await sender.send("second", pay(to))
        assert await sender.balance(to) == 2
        chain.end()
        chains(port=port)
        await set_wei(sender.rpc, key)
        await sender.send("third", pay(to))

        async def is_whole() -> bool:
            return await sender.balance(to) == 3

        await wait_until(is_whole)
        assert await sender.nonce() == 3


async def test_waiting_ends_at_the_deadline_and_may_be_taken_up_again(
    chains: Callable[..., DevChain], tmp_path: Path
) -> None:
    chain, key, to = chains("--no-mining"), make_wallet(), make_wallet().address
    async with open_sender(chain.url, tmp_path, key, replace(PACE, deadline_s=0.3)) as sender:
        await set_wei(sender.rpc, key)
        with pytest.raises(Retryable, match="pay is not confirmed after"):
            await sender.send("pay", pay(to))
        await sender.rpc.write("evm_mine")
        assert (await sender.send("pay", pay(to))).ok
        assert await sender.balance(to) == 1


async def test_a_burst_of_twenty_is_mined_within_a_few_blocks(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    chain, key = chains("--block-time", "2"), make_wallet()
    async with open_sender(chain.url, tmp_path, key, replace(PACE, poll_interval_s=0.2)) as sender:
        await set_wei(sender.rpc, key)
        results: list[Sent] = []
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(collect, results, sender.send(f"pay {number}", pay(make_wallet().address)))
        blocks = {sent.block_number for sent in results}
        assert all(sent.ok for sent in results) and len(results) == 20
        # As many as a node promises to hold are on their way at once; the rest follow with the next block.
        assert max(blocks) - min(blocks) <= 2, sorted(blocks)
        assert await sender.nonce() == 20, "one transaction each"


async def test_an_old_backend_that_has_no_receipt_yet_does_not_make_a_second_transaction(bed: Bed) -> None:
    """Behind a load balancer one node shows the count of a mined transaction, and another has no receipt of it."""
    key, to = await bed.new_wallet(), make_wallet().address
    async with open_sender(bed.rpc._url, bed.folder, key) as sender:
        whole = sender.rpc._exchange_once
        lagging, looks = True, 0

        async def lag(questions: Sequence[Question[Any]]) -> list[Any]:
            nonlocal looks
            found = await whole(questions)
            if lagging and questions[-1].method == "eth_getTransactionReceipt":
                looks += 1
                return [found[0] - 1, *(None for _ in found[1:])]
            return found

        sender.rpc._exchange_once = lag  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            results: list[Sent] = []
            nursery.start_soon(collect, results, sender.send("pay", pay(to)))
            await wait_until(lambda: looks >= 2 * LOST_LOOKS)
            assert not results
            lagging = False
        assert len(results) == 1 and await sender.nonce() == 1


@pytest.mark.parametrize("lie", [3, 5_000])
async def test_a_wrong_count_once_does_not_stop_the_key_for_good(bed: Bed, lie: int) -> None:
    """A chain node counts transactions of ours that there are not; afterwards it says the truth."""
    key, to = await bed.new_wallet(), make_wallet().address
    async with open_sender(bed.rpc._url, bed.folder, key) as sender:
        whole, lying = sender.rpc._exchange_once, True

        async def overcount(questions: Sequence[Question[Any]]) -> list[Any]:
            found = await whole(questions)
            if not lying:
                return found
            return [
                one + lie if asked.method == "eth_getTransactionCount" and one == 0 else one
                for asked, one in zip(questions, found, strict=True)
            ]

        sender.rpc._exchange_once = overcount  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            results: list[Sent] = []
            for number in range(2):
                nursery.start_soon(collect, results, sender.send(f"pay {number}", pay(to)))

            async def are_saved() -> bool:
                return len(await sender.journal.load_pending()) == 2

            await wait_until(are_saved)
            lying = False
        assert [one.ok for one in results] == [True, True]
        assert await sender.balance(to) == 2, "each once"
        assert (await sender.send("pay more", pay(to))).ok
