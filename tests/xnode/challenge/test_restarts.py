"""Restarts: what a challenged node and a verifier do again, and never do twice, after a restart, a fault or a reorganisation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metering.capacity import (
    Verdict,
)
from metering.codec import decode_strict, encode
from metering.eip712 import keccak
from metering.units import ZERO_HASH
from tests.make.waiting import wait_until
from tests.sim.challenging import (
    CHALLENGE_ID,
    CPU,
    Liar,
    World,
    change_element,
    judges,
    make_entropy,
    make_node,
    prove,
    running,
    wait_promise,
)
from tests.xnode.capacity.test_products import find_workers
from xnode.capacity import message
from xnode.capacity.message import AnswerQuery, Answers, ProductQuery
from xnode.challenge import prover
from xnode.challenge.watch import CapacityWatch
from xnode.errors import Permanent
from xnode.node.changes import CapacityVerified
from xnode.node.credit_term import CreditTerm
from xnode.ports.capacity import Verified

QUERY = encode(AnswerQuery(CHALLENGE_ID, 0))


async def test_a_node_that_restarts_answers_the_same_at_once_and_computes_only_when_asked_to_show(world: World) -> None:
    world.chain.draw_now()
    async with running(prove(world)):
        before = await world.ask(2, message.ANSWER, QUERY)
    async with running(prove(world)):
        assert await world.ask(2, message.ANSWER, QUERY) == before
        assert not find_workers()
        answers = decode_strict(before, Answers)
        entropy = make_entropy()
        await world.ask(2, message.PRODUCT, encode(ProductQuery(CHALLENGE_ID, 0, entropy)))
        assert len(find_workers()) == 2
        assert len(answers.devices) == 2


async def test_answers_that_contradict_a_promise_are_not_signed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.chain.draw_now()
    async with running(prove(world)):
        before = await world.ask(2, message.ANSWER, QUERY)
    monkeypatch.setattr(prover, "open_products", Liar(change_element).open)
    async with running(prove(world)):
        await world.ask(2, message.PRODUCT, encode(ProductQuery(CHALLENGE_ID, 1, make_entropy())))
        assert await world.ask(2, message.ANSWER, QUERY) == before


async def test_a_verifier_that_restarts_draws_no_new_entropy_and_signs_the_same(world: World) -> None:
    async with running(prove(world)):
        first = judges(world)[0]
        async with running(first):
            promised = await wait_promise(world, 2, "Verdict")
        entropy = await world.promises(2).find("CapacityEntropy", CHALLENGE_ID)
        async with running(*judges(world)):
            await wait_until(lambda: world.chain.recorded)
    assert await world.promises(2).find("CapacityEntropy", CHALLENGE_ID) == entropy
    recorded = dict(world.chain.recorded[0])[make_node(2)[0]]
    assert encode(recorded.verdict) == promised
    assert entropy is not None and recorded.verdict.opening_seed == entropy[32:]


async def test_a_verdict_that_contradicts_a_promise_is_not_signed(world: World) -> None:
    other = Verdict(CHALLENGE_ID, ZERO_HASH, False, ZERO_HASH)
    verifier = world.make_verifier(2)
    world.chain.draw_now()
    # As if another life of this key had judged already, after this one had looked.
    async with running(prove(world)):
        trial = await verifier._wait_drawn(CHALLENGE_ID)
        assert trial is not None
        await world.promises(2).promise("Verdict", CHALLENGE_ID, encode(other))
        with pytest.raises(Permanent) as caught:
            await verifier._judge(trial)
    assert caught.value.reason_code == "promised"


async def test_another_seed_after_a_reorganisation_is_answered_anew(world: World) -> None:
    world.chain.draw_now()
    async with running(prove(world)):
        before = await world.ask(2, message.ANSWER, QUERY)
        world.chain.draw_now(keccak(b"another seed"))
        second = keccak(CHALLENGE_ID + keccak(b"another seed") + bytes(4))
        await wait_promise(world, 1, "CapacityAnswers", second)
        assert await world.ask(2, message.ANSWER, QUERY) != before


async def test_the_chain_going_away_interrupts_no_computation(world: World) -> None:
    world.chain.challenge = replace(world.chain.challenge, declared=(replace(CPU, count=1, n=2048),))
    world.chain.draw_now()
    async with running(prove(world)):
        await wait_until(find_workers)
        (worker,) = find_workers()
        await wait_until(lambda: world.served)
        await world.chain.wait_looks(5)
        world.chain.is_away = True
        await world.chain.wait_looks(5)
        assert find_workers() == [worker]
        world.chain.is_away = False
        await world.ask(2, message.ANSWER, QUERY)


async def test_workers_end_with_the_challenge(world: World) -> None:
    world.chain.draw_now()
    async with running(prove(world)):
        await wait_until(find_workers)
        world.chain.challenge = replace(world.chain.challenge, stage="lapsed")
        await wait_until(lambda: not find_workers())


async def test_the_watch_takes_up_what_it_sees_through_faults_of_the_chain(world: World) -> None:
    reported: list[CapacityVerified] = []
    world.chain.verified = Verified(8, 1, CreditTerm(5, 6, 7), in_doubt_until_s=9)

    async def report(change: CapacityVerified) -> None:
        reported.append(change)

    watches = [
        CapacityWatch(make_node(number)[0], world.chain, world.make_prover(number), world.make_verifier(number), report)
        for number in (1, 2, 3, 4)
    ]
    world.chain.is_away = True
    async with running(*(watch.run for watch in watches)):
        await world.chain.wait_looks(3 * len(watches))
        world.chain.is_away = False
        await wait_until(lambda: world.chain.recorded and len(reported) == len(watches))
    assert world.chain.recorded[0][0][1].verdict.passed
    assert set(reported) == {CapacityVerified(8, 1, CreditTerm(5, 6, 7), in_doubt_until_s=9)}
    assert [one.reported for one in watches] == [world.chain.verified] * len(watches)
