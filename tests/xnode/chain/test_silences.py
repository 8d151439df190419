"""Claims of silence on the real contracts: found by a provider's node, answered with its own key, once over every crash."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from metering.receipt import SignedReceipt
from tests.make.silences import SILENCE_ANSWERED
from tests.make.waiting import wait_until
from tests.xnode.chain.devchain import PACE
from tests.xnode.chain.suspect import Broken, pass_time
from xnode.chain import breach_events
from xnode.chain.breach_events import AGAIN_BLOCKS, SilenceEvents
from xnode.chain.client import ChainClient
from xnode.chain.contracts import breach_prover
from xnode.chain.intents.faults import answer_silence, claim_silence
from xnode.chain.node.history import find_block_since
from xnode.chain.node.json_rpc import JsonRpc, NodeRefused, Reverted
from xnode.chain.node.questions import ask_block, ask_head, ask_logs
from xnode.chain.send.transactor import Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, make_engine
from xnode.effects.provider import ProviderEffects
from xnode.errors import Retryable
from xnode.node import changes, effects
from xnode.wallet.signer import NodeSigner

pytestmark = pytest.mark.chain


@asynccontextmanager
async def open_node(broken: Broken) -> AsyncIterator[ChainClient]:
    """The chain as the provider's node sees it: one life of it, on a journal that outlives it."""
    bed, node = broken.suspect.bed, broken.suspect.node
    journal = SqlTxJournal(make_engine(bed.folder / "node.sqlite"), bed.manifest.chain_id, node.address)
    async with trio.open_nursery() as nursery:
        transactor = Transactor(bed.rpc, node, journal, bed.manifest.chain_id, PACE)
        await nursery.start(transactor.run)
        yield ChainClient(bed.rpc, bed.manifest, transactor)
        nursery.cancel_scope.cancel()


def make_perform(broken: Broken, chain: ChainClient) -> Callable[[effects.ShowReceipt], Any]:
    """The provider's effect on this chain, with its node's key."""
    signer = NodeSigner(broken.suspect.node, broken.suspect.bed.manifest.domain)
    unused: Any = None
    provider = ProviderEffects(unused, unused, unused, unused, chain, signer, unused, unused, unused)
    return provider.show_receipt


async def make_effect(broken: Broken, newer: SignedReceipt, name: str = "answer:1") -> effects.ShowReceipt:
    silence = await read_silence(broken)
    return effects.ShowReceipt(broken.document.lease_id, newer.receipt, silence.answer_until, name, name, 0)


async def read_silence(broken: Broken) -> breach_prover.Silence:
    judge = broken.suspect.bed.manifest.contracts.breach_prover
    return await broken.suspect.bed.rpc.view(judge, breach_prover.SILENCE_OF, broken.document.lease_id)


async def count_answers(broken: Broken) -> int:
    bed = broken.suspect.bed
    judge, head = bed.manifest.contracts.breach_prover, await bed.rpc.ask(ask_head())
    event = SILENCE_ANSWERED.topic
    return len(await bed.rpc.ask(ask_logs((judge,), (event, broken.document.lease_id), 0, head)))


async def give_gas(broken: Broken, wei: int = 10**19) -> None:
    await broken.suspect.bed.give(broken.suspect.node.address, wei=wei)


def make_events(broken: Broken) -> SilenceEvents:
    bed = broken.suspect.bed
    return SilenceEvents(bed.rpc, bed.manifest, broken.suspect.provider)


# ------------------------------------------------------------------------------------------------------------ the answer


async def test_the_node_answers_with_its_own_key_and_gas(broken: Broken) -> None:
    await give_gas(broken)
    await claim_silence(broken.payer, "claim", broken.document, broken.sign(8, 5))
    effect = await make_effect(broken, broken.sign(9, 10))
    async with open_node(broken) as chain:
        told = await make_perform(broken, chain)(effect)
    assert isinstance(told, changes.SilenceAnswered)
    assert (told.lease_id, told.answer_until_s) == (effect.lease_id, effect.answer_until_s)
    assert (await read_silence(broken)).answer_until == 0 and await count_answers(broken) == 1


async def test_one_answer_is_one_transaction_however_often_it_is_done(broken: Broken) -> None:
    await give_gas(broken)
    await claim_silence(broken.payer, "claim", broken.document, broken.sign(8, 5))
    effect = await make_effect(broken, broken.sign(9, 10))
    bed, node = broken.suspect.bed, broken.suspect.node.address
    # Killed after it was sent and before it was mined: the next life takes the same transaction up again.
    await bed.rpc.write("evm_setAutomine", False)
    try:
        async with open_node(broken) as chain, trio.open_nursery() as nursery:
            nursery.start_soon(make_perform(broken, chain), effect)
            await wait_sent(broken)
            nursery.cancel_scope.cancel()
    finally:
        await bed.rpc.write("evm_setAutomine", True)
    async with open_node(broken) as chain:
        first, second = [await make_perform(broken, chain)(effect) for _ in range(2)]
    assert isinstance(first, (changes.SilenceAnswered, changes.SilenceSeen))
    assert isinstance(second, changes.SilenceSeen) and second.answer_until_s == 0
    assert await bed.rpc.read("eth_getTransactionCount", "0x" + node.hex(), "latest") == "0x1"
    assert await count_answers(broken) == 1


async def wait_sent(broken: Broken) -> None:
    """Returns when the chain node has a transaction of the node's key."""
    node = "0x" + broken.suspect.node.address.hex()

    async def look() -> bool:
        count: str = await broken.suspect.bed.rpc.read("eth_getTransactionCount", node, "pending")
        return count == "0x1"

    await wait_until(look)


async def test_what_somebody_else_answered_costs_the_node_nothing(broken: Broken) -> None:
    await give_gas(broken)
    await claim_silence(broken.payer, "claim", broken.document, broken.sign(8, 5))
    effect = await make_effect(broken, broken.sign(9, 10))
    await answer_silence(broken.suspect.reporter, "answer", broken.sign(9, 10))
    async with open_node(broken) as chain:
        told = await make_perform(broken, chain)(effect)
    assert isinstance(told, changes.SilenceSeen) and told.answer_until_s == 0
    node = "0x" + broken.suspect.node.address.hex()
    assert await broken.suspect.bed.rpc.read("eth_getTransactionCount", node, "latest") == "0x0"


async def test_another_claim_than_the_one_that_was_to_be_answered_is_told(broken: Broken) -> None:
    await claim_silence(broken.payer, "claim", broken.document, broken.sign(8, 5))
    effect = await make_effect(broken, broken.sign(9, 10))
    await answer_silence(broken.suspect.reporter, "answer", broken.sign(9, 10))
    await pass_time(broken.suspect.bed, 2 * 3600)
    await claim_silence(broken.payer, "claim again", broken.document, broken.sign(9, 10))
    silence = await read_silence(broken)
    async with open_node(broken) as chain:
        told = await make_perform(broken, chain)(effect)
    assert isinstance(told, changes.SilenceSeen)
    assert (told.number, told.late_ns, told.answer_until_s) == (9, silence.late_ns, silence.answer_until)


async def test_without_gas_the_answer_waits_and_says_so(broken: Broken) -> None:
    await claim_silence(broken.payer, "claim", broken.document, broken.sign(8, 5))
    effect = await make_effect(broken, broken.sign(9, 10))
    async with open_node(broken) as chain:
        with pytest.raises(Retryable, match="0 wei"):
            await make_perform(broken, chain)(effect)
        await give_gas(broken)
        assert isinstance(await make_perform(broken, chain)(effect), changes.SilenceAnswered)


async def test_what_the_contract_refuses_is_not_sent(broken: Broken) -> None:
    await give_gas(broken)
    await claim_silence(broken.payer, "claim", broken.document, broken.sign(8, 5))
    effect = await make_effect(broken, broken.sign(9, 6))
    async with open_node(broken) as chain:
        with pytest.raises(Reverted, match="NotAnAnswer"):
            await make_perform(broken, chain)(effect)
    assert (await read_silence(broken)).number == 8


# ------------------------------------------------------------------------------------------------------------- the claims


async def test_a_claim_is_found_whenever_it_was_made_in_the_time_to_answer_it(broken: Broken) -> None:
    lease_id, early = broken.document.lease_id, make_events(broken)
    assert lease_id not in await early.read_claimed()
    await claim_silence(broken.payer, "claim", broken.document, broken.sign(8, 5))
    assert lease_id in await early.read_claimed()
    await broken.suspect.bed.rpc.write("anvil_mine", hex(2 * AGAIN_BLOCKS))
    assert lease_id in await early.read_claimed(), "a reorganisation may have moved it"
    assert lease_id not in await early.read_claimed()
    assert lease_id in await make_events(broken).read_claimed(), "a node that starts finds what came while it was down"
    await pass_time(broken.suspect.bed, breach_prover.ANSWER_TIME_S + 2 * breach_events.MARGIN_S)
    assert lease_id not in await make_events(broken).read_claimed(), (
        "what cannot be answered any more is not looked for"
    )


async def test_claims_against_others_are_not_given(broken: Broken) -> None:
    await claim_silence(broken.payer, "claim", broken.document, broken.sign(8, 5))
    bed = broken.suspect.bed
    other = SilenceEvents(bed.rpc, bed.manifest, broken.suspect.reporter.address)
    assert not await other.read_claimed()


async def test_a_node_that_takes_few_blocks_at_once_is_asked_for_few(
    broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    await claim_silence(broken.payer, "claim", broken.document, broken.sign(8, 5))
    await broken.suspect.bed.rpc.write("anvil_mine", hex(20))
    ask, spans = JsonRpc.ask, []

    async def ask_few(self: JsonRpc, question: Any) -> Any:
        if question.method == "eth_getLogs":
            (wanted,) = question.params
            span = int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1
            spans.append(span)
            if span > 3:
                raise NodeRefused("eth_getLogs", "here", -32600, "range too large")
        return await ask(self, question)

    monkeypatch.setattr(JsonRpc, "ask", ask_few)
    assert broken.document.lease_id in await make_events(broken).read_claimed()
    assert spans.count(3) > 1 or spans.count(2) > 1


async def test_a_look_that_fails_in_its_middle_loses_nothing(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breach_events, "MAX_SPAN_BLOCKS", 2)
    await claim_silence(broken.payer, "claim", broken.document, broken.sign(8, 5))
    await broken.suspect.bed.rpc.write("anvil_mine", hex(AGAIN_BLOCKS + 8))
    events, ask, left = make_events(broken), JsonRpc.ask, [10**6]
    head = await broken.suspect.bed.rpc.ask(ask_head())

    async def ask_or_fail(self: JsonRpc, question: Any) -> Any:
        # The last question of the look.
        if question.method == "eth_getLogs" and int(question.params[0]["toBlock"], 16) >= head and left.pop():
            left.append(0)
            raise Retryable("the chain node is away")
        return await ask(self, question)

    monkeypatch.setattr(JsonRpc, "ask", ask_or_fail)
    with pytest.raises(Retryable):
        await events.read_claimed()
    assert broken.document.lease_id in await events.read_claimed()


async def test_the_block_of_a_time_is_found(broken: Broken) -> None:
    rpc = broken.suspect.bed.rpc
    head = await rpc.ask(ask_head())
    times = [block.timestamp for number in range(head + 1) if (block := await rpc.ask(ask_block(number)))]
    for wanted in (times[0], times[head // 2], times[head // 2] + 1, times[-1]):
        found = await find_block_since(rpc, wanted, 0, head)
        assert times[found] >= wanted and (found == 0 or times[found - 1] < wanted)
    assert await find_block_since(rpc, times[-1] + 1, 0, head) == head
