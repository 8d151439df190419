"""Confirmed events through reorgs, restarts and outages, against a real node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from metering.codec import decode, encode
from metering.units import Amount
from tests.make.waiting import wait_until
from tests.xnode.chain.devchain import TOKEN, Bed, DevChain, deploy_on, make_wallet
from xnode.chain.contracts import payment_escrow
from xnode.chain.contracts.events import Deposited, OpenerApproved
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.node.logs import MAX_SILENT_BLOCKS, RING_BLOCKS, Cursor, LogBatch, LogPoller
from xnode.text.hex import to_hex

pytestmark = pytest.mark.chain

POLL_S = 0.02


class Contract:
    """A chain of its own with the contracts, on which anvil's own account approves openers: each approval is an event."""

    def __init__(self, bed: Bed) -> None:
        self.bed, self.rpc = bed, bed.rpc
        self.address = bed.manifest.contracts.payment_escrow
        self.start = bed.manifest.deployed_at_block
        self.pauses = 0
        """How often a poller of it has paused."""

    def poll(self, cursor: Cursor | None = None, confirmations: int = 1) -> LogPoller:
        return LogPoller(self.rpc, (self.address,), self.start, confirmations, cursor, self._find_pause_s)

    def _find_pause_s(self) -> float:
        self.pauses += 1
        return POLL_S

    async def approve(self, cap: int) -> None:
        """One OpenerApproved event, in a block of its own."""
        data = payment_escrow.APPROVE_OPENER.encode(b"\x11" * 20, b"\x22" * 20, cap)
        await self.bed.send_as_owner(self.address, data)


async def open_contract(url: str, folder: Path, rpc: JsonRpc) -> Contract:
    return Contract(Bed(await deploy_on(url, folder), rpc, folder))


def caps(batch: LogBatch) -> list[int]:
    return [entry.event.cap for entry in batch.logs if isinstance(entry.event, OpenerApproved)]


async def next_caps(poller: LogPoller) -> tuple[list[int], LogBatch]:
    """The caps of the next batch that has any."""
    with trio.fail_after(20):
        while True:
            batch = await poller.next_batch()
            if caps(batch) or batch.rolled_back_to is not None:
                return caps(batch), batch


async def is_silent(poller: LogPoller) -> bool:
    """True when nothing comes for several polls."""
    with trio.move_on_after(10 * POLL_S) as scope:
        await next_caps(poller)
    return scope.cancelled_caught


async def test_events_come_in_order_with_their_values(bed: Bed) -> None:
    wallet, asset = await bed.new_wallet(), bed.manifest.assets[0].address
    contract = bed.manifest.contracts.payment_escrow
    poller = LogPoller(bed.rpc, (contract,), int(await bed.rpc.read("eth_blockNumber"), 16), 1, None, lambda: POLL_S)
    await bed.approve_as_owner(contract, TOKEN)
    await bed.send_as_owner(contract, payment_escrow.DEPOSIT.encode(wallet.address, asset, TOKEN))
    with trio.fail_after(20):
        entry = (await poller.next_batch()).logs[-1]
    assert entry.event == Deposited(wallet.address, asset, Amount(TOKEN))
    receipt = await bed.rpc.read("eth_getTransactionReceipt", to_hex(entry.tx_hash))
    assert int(receipt["blockNumber"], 16) == entry.block_number
    assert receipt["blockHash"] == to_hex(entry.block_hash)
    assert decode(encode(entry), type(entry)) == entry


async def test_an_approval_without_limit_fits_an_amount(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    async with JsonRpc(chains().url, 31337) as rpc:
        contract = await open_contract(rpc._url, tmp_path, rpc)
        await contract.approve(2**256 - 1)
        found, _ = await next_caps(contract.poll())
        assert found == [2**128 - 1]


async def test_nothing_comes_before_its_confirmations(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    async with JsonRpc(chains().url, 31337) as rpc:
        contract = await open_contract(rpc._url, tmp_path, rpc)
        poller = contract.poll(confirmations=3)
        await contract.approve(1)
        assert await is_silent(poller)
        await rpc.write("anvil_mine", "0x1")
        assert await is_silent(poller)
        await rpc.write("anvil_mine", "0x1")
        found, batch = await next_caps(poller)
        assert found == [1]
        assert batch.logs[0].block_number == batch.last_block


async def test_a_restart_goes_on_from_the_saved_cursor(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    async with JsonRpc(chains().url, 31337) as rpc:
        contract = await open_contract(rpc._url, tmp_path, rpc)
        await contract.approve(1)
        _, first = await next_caps(contract.poll())
        saved = encode(first.cursor)
        await contract.approve(2)
        found, second = await next_caps(contract.poll(decode(saved, Cursor)))
        assert found == [2]
        assert second.first_block == first.last_block + 1
        assert second.rolled_back_to is None


async def test_a_reorg_above_the_confirmations_is_not_seen(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    async with JsonRpc(chains().url, 31337) as rpc:
        contract = await open_contract(rpc._url, tmp_path, rpc)
        poller = contract.poll(confirmations=4)
        await contract.approve(1)
        await rpc.write("anvil_reorg", 1, [])
        await contract.approve(2)
        await rpc.write("anvil_mine", "0x3")
        found, batch = await next_caps(poller)
        assert (found, batch.rolled_back_to) == ([2], None)


async def test_a_reorg_of_what_was_given_says_back_to_where(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    async with JsonRpc(chains().url, 31337) as rpc:
        contract = await open_contract(rpc._url, tmp_path, rpc)
        poller = contract.poll()
        for cap in (1, 2, 3):
            await contract.approve(cap)
            found, batch = await next_caps(poller)
            assert found == [cap]
        await rpc.write("anvil_reorg", 2, [])
        await contract.approve(4)
        found, after = await next_caps(poller)
        if not found:
            found, _ = await next_caps(poller)
        assert found == [4]
        assert after.rolled_back_to == batch.last_block - 2
        assert after.first_block == batch.last_block - 1


async def test_a_reorg_while_we_were_down_is_seen_by_the_cursor(
    chains: Callable[..., DevChain], tmp_path: Path
) -> None:
    async with JsonRpc(chains().url, 31337) as rpc:
        contract = await open_contract(rpc._url, tmp_path, rpc)
        poller = contract.poll()
        await contract.approve(1)
        _, kept = await next_caps(poller)
        await contract.approve(2)
        _, lost = await next_caps(poller)
        await rpc.write("anvil_reorg", 1, [])
        await contract.approve(3)
        found, after = await next_caps(contract.poll(lost.cursor))
        assert (found, after.rolled_back_to) == ([3], kept.last_block)


async def test_the_node_may_be_away_for_a_while(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    chain = chains()
    port, state = int(chain.url.rpartition(":")[2]), tmp_path / "state.json"
    async with JsonRpc(chain.url, 31337, deadline_s=1) as rpc:
        contract = await open_contract(chain.url, tmp_path, rpc)
        poller = contract.poll()
        await contract.approve(1)
        assert (await next_caps(poller))[0] == [1]
        await save_state(rpc, state)
        chain.end()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(restart_and_approve, chains, port, state, contract)
            found, batch = await next_caps(poller)
        assert (found, batch.rolled_back_to) == ([2], None)


async def save_state(rpc: JsonRpc, path: Path) -> None:
    import gzip

    packed = await rpc.read("anvil_dumpState")
    await trio.Path(path).write_bytes(gzip.decompress(bytes.fromhex(packed[2:])))


async def restart_and_approve(chains: Callable[..., DevChain], port: int, state: Path, contract: Contract) -> None:
    before = contract.pauses
    # Several polls must fail first: their failing is what this is about.
    await wait_until(lambda: contract.pauses >= before + 5)
    chains("--load-state", str(state), port=port)
    await contract.approve(2)


async def test_a_chain_begun_again_is_read_from_its_start(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    chain = chains()
    port = int(chain.url.rpartition(":")[2])
    async with JsonRpc(chain.url, 31337, deadline_s=1) as rpc:
        contract = await open_contract(chain.url, tmp_path, rpc)
        await rpc.write("anvil_mine", hex(2 * RING_BLOCKS))
        await contract.approve(1)
        _, batch = await next_caps(contract.poll())
        chain.end()
        chains(port=port)
        again = tmp_path / "again"
        again.mkdir()
        contract = await open_contract(chain.url, again, rpc)
        await contract.approve(2)
        found, after = await next_caps(contract.poll(batch.cursor))
        assert (found, after.rolled_back_to) == ([2], contract.start - 1)


async def test_long_silence_still_moves_the_cursor(chains: Callable[..., DevChain], tmp_path: Path) -> None:
    async with JsonRpc(chains().url, 31337) as rpc:
        contract = await open_contract(rpc._url, tmp_path, rpc)
        poller = contract.poll()
        await contract.approve(1)
        await next_caps(poller)
        await rpc.write("anvil_mine", hex(MAX_SILENT_BLOCKS))
        with trio.fail_after(20):
            batch = await poller.next_batch()
        assert batch.logs == ()
        assert len(batch.cursor.ring) <= RING_BLOCKS


async def test_events_of_other_contracts_are_not_ours(bed: Bed) -> None:
    start = int(await bed.rpc.read("eth_blockNumber"), 16) + 1
    poller = LogPoller(bed.rpc, (bed.manifest.contracts.payment_escrow,), start, 1, None, lambda: POLL_S)
    await bed.give(make_wallet().address, openx=5)
    assert await is_silent(poller)
