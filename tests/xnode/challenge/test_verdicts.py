"""Verdicts: what a challenged node's answers are judged to be: what passes, what fails, who abstains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metering.capacity import (
    CapacityAnswer,
    SignedVerdict,
    Verdict,
    answer_digest_of,
    answers_hash_of,
    element_at,
)
from metering.codec import decode
from metering.eip712 import keccak
from metering.evidence import AnswerDocument
from metering.signature import is_signed_by
from metering.units import NANOS_PER_SECOND, ZERO_HASH
from tests.make.waiting import wait_until
from tests.sim.challenging import (
    ANSWER_TIME_S,
    CHALLENGE_ID,
    CPU,
    Liar,
    World,
    change_element,
    fail,
    judges,
    make_node,
    prove,
    running,
    wait_promise,
)
from tests.xnode.capacity.test_products import find_workers
from xnode.capacity import message
from xnode.capacity.challenge import device_seed_of
from xnode.capacity.freivalds import make_expected
from xnode.capacity.product import Product
from xnode.capacity.tree import hash_leaves, make_tree
from xnode.challenge import prover
from xnode.challenge.exchange import SHOW_S
from xnode.challenge.failures import ChallengeFailure, FailureKeeper
from xnode.challenge.trial import Trial

TWO_CLASSES = (CPU, replace(CPU, class_id=1, count=1, name="cpu-large", n=512))


async def judge_liar(world: World, monkeypatch: pytest.MonkeyPatch, liar: Liar) -> tuple[SignedVerdict, ...]:
    """What the panel makes of a node that answers like this."""
    monkeypatch.setattr(prover, "open_products", liar.open)
    async with running(prove(world), *judges(world)):
        await wait_until(lambda: world.chain.recorded)
    (verdicts,) = world.chain.recorded
    return tuple(signed for _, signed in verdicts)


@pytest.mark.parametrize("declared", [(CPU,), TWO_CLASSES], ids=["one class", "two classes"])
async def test_an_honest_node_is_verified_by_all(world: World, declared: Any) -> None:
    world.chain.challenge = replace(world.chain.challenge, declared=declared)
    async with running(prove(world), *judges(world)):
        await wait_until(lambda: world.chain.recorded)
    (verdicts,) = world.chain.recorded
    assert [member for member, _ in verdicts] == [make_node(number)[0] for number in (2, 3, 4)]
    roots = []
    for number in range(len(declared)):
        subject = keccak(CHALLENGE_ID + keccak(b"seed") + number.to_bytes(4, "big"))
        kept = await world.promises(1).find("CapacityAnswers", subject)
        assert kept is not None
        roots += [answer.root for answer in decode(kept, tuple[CapacityAnswer, ...])]
    assert len(roots) == sum(one.count for one in declared)
    for _, signed in verdicts:
        assert signed.verdict.passed and signed.verdict.answers_hash == answers_hash_of(roots)
    assert len({signed.verdict.opening_seed for _, signed in verdicts}) == 3
    assert world.chain.draws >= 1
    assert not find_workers()


async def test_wrong_elements_fail_and_leave_evidence_that_convinces_the_contract(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = await judge_liar(world, monkeypatch, Liar(change_element))
    assert [(signed.verdict.passed, signed.verdict.answers_hash) for signed in verdicts] == [(False, ZERO_HASH)] * 3
    documents = [decode(data, AnswerDocument) for data in await world.promises(2).list_values("AnswerDocument")]
    assert documents
    for document in documents:
        answer, proof = document.signed.answer, document.proof
        assert proof is not None and (answer.device, proof.column) == (1, 7)
        # As FaultProver judges it: the signature, the way to the root, and the element anew.
        assert is_signed_by(
            make_node(1)[1].address, answer_digest_of(document.separator, answer), document.signed.signature
        )
        assert proof.find_root() == answer.root
        assert proof.element != element_at(answer.seed, answer.n, *proof.find_place(answer.n))


async def test_one_wrong_element_of_all_fails_with_every_verifier(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(products: dict[int, Product]) -> dict[int, Product]:
        found = products[1]
        elements = found.elements.copy()
        elements[100, 200] ^= 1 << 30
        return {**products, 1: Product(found.n, elements, make_tree(hash_leaves(0, elements.tobytes())))}

    verdicts = await judge_liar(world, monkeypatch, Liar(lie))
    # Few of them open that row, if any: it is the product with the random vector that tells.
    assert [signed.verdict.passed for signed in verdicts] == [False] * 3


class Knowing(Product):
    """A wrong product whose owner says the right vector product all the same: A x (B x vector) is quickly made."""

    def multiply_vector(self, vector: bytes) -> bytes:
        seed = device_seed_of(keccak(b"seed"), 1)
        return make_expected(seed, self.n, vector, ()).vector_product


async def test_a_lie_that_knows_the_vector_product_fails_by_its_rows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(products: dict[int, Product]) -> dict[int, Product]:
        broken = change_element(products)[1]
        return {**products, 1: Knowing(broken.n, broken.elements, broken.tree)}

    verdicts = await judge_liar(world, monkeypatch, Liar(lie))
    assert not any(signed.verdict.passed for signed in verdicts)


async def test_one_devices_work_does_not_pass_for_two(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = await judge_liar(world, monkeypatch, Liar(lambda products: dict.fromkeys(products, products[0])))
    assert not any(signed.verdict.passed for signed in verdicts)


async def test_a_node_that_never_answers_fails_when_its_time_is_over(world: World) -> None:
    async with running(*judges(world)):
        await wait_until(lambda: world.chain.challenge.stage == "drawn")
        await wait_until(lambda: world.calls.count(message.ANSWER) >= 9)
        assert not world.chain.recorded
        world.clock.ahead_ns += 26 * NANOS_PER_SECOND
        await wait_until(lambda: world.chain.recorded)
    (verdicts,) = world.chain.recorded
    assert {(one.verdict.passed, one.verdict.answers_hash) for _, one in verdicts} == {(False, ZERO_HASH)}


async def test_answers_that_come_late_fail(world: World) -> None:
    async with running(*judges(world)):
        await wait_until(lambda: world.chain.challenge.stage == "drawn")
        await wait_until(lambda: world.calls.count(message.ANSWER) >= 9)
        # Within the deadline, beyond the limit; and the prover answers before anyone has looked at the clock again.
        world.clock.ahead_ns += 24 * NANOS_PER_SECOND
        async with running(prove(world)):
            world.clock.ahead_ns += 2 * NANOS_PER_SECOND
            await wait_until(lambda: world.chain.recorded)
    assert not world.chain.recorded[0][0][1].verdict.passed


async def test_a_node_that_cannot_compute_fails_at_once_and_keeps_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prover, "open_products", fail("there is no GPU here"))
    world.chain.draw_now()
    async with running(prove(world)):
        keeper = FailureKeeper(world.promises(1))
        await wait_until(lambda: keeper.find_last())
        # The clock stands: no time limit is over.
        async with running(*judges(world)):
            await wait_until(lambda: world.chain.recorded)
    assert not world.chain.recorded[0][0][1].verdict.passed
    assert world.calls.count(message.ANSWER) == 3, "each verifier asks once"
    found = await keeper.find_last()
    assert found == ChallengeFailure(CHALLENGE_ID, world.chain.challenge.drawn_at, "there is no GPU here")


async def test_an_answer_beyond_its_limit_is_a_reason_that_the_node_keeps(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prover, "ALLOWANCE_NS", -CPU.time_limit_ms * 1_000_000)
    world.chain.draw_now()
    async with running(prove(world)):
        keeper = FailureKeeper(world.promises(1))
        found = await wait_until(lambda: keeper.find_last())
    assert found is not None and "class cpu answered after" in found.reason and "has 20 s" in found.reason


async def test_a_node_that_answers_and_then_shows_nothing_fails(world: World) -> None:
    async with running(*judges(world)), running(prove(world)):
        served = world.served[make_node(1)[1].address]
        del served[message.OPEN]
        await wait_until(lambda: world.chain.challenge.stage == "drawn")
        await wait_until(lambda: world.calls.count(message.OPEN) > 3 * 3)
        assert not world.chain.recorded
        world.clock.ahead_ns += 40 * NANOS_PER_SECOND
        await wait_until(lambda: world.chain.recorded)
    assert not world.chain.recorded[0][0][1].verdict.passed


async def test_a_verifier_that_was_away_for_the_answers_abstains(world: World) -> None:
    world.chain.draw_now()
    world.clock.ahead_ns += 30 * NANOS_PER_SECOND
    async with running(prove(world), *judges(world)):
        await wait_promise(world, 1, "CapacityAnswers", keccak(CHALLENGE_ID + keccak(b"seed") + bytes(4)))
        await world.chain.wait_looks(100)
        assert not world.chain.recorded
    assert await world.promises(2).find("Verdict", CHALLENGE_ID) is None


@pytest.mark.parametrize(("misses", "shown"), [(3, 0), (4, 1)])
async def test_a_verifier_that_has_missed_many_shows_its_verdict_where_no_quorum_took_it_up(
    world: World, misses: int, shown: int
) -> None:
    world.chain.misses = misses
    async with running(prove(world), judges(world)[0]):
        await wait_promise(world, 2, "Verdict")
        world.clock.ahead_ns += (ANSWER_TIME_S - SHOW_S + 5) * NANOS_PER_SECOND
        world.chain.looks = 0
        await world.chain.wait_looks(10)
    assert len(world.chain.shown) == shown and not world.chain.recorded


async def test_who_is_slower_than_the_quorum_shows_its_verdict_too(world: World) -> None:
    world.chain.misses = 4
    async with running(prove(world), judges(world)[0]):
        await wait_promise(world, 2, "Verdict")
        world.chain.challenge = replace(world.chain.challenge, stage="passed")
        await wait_until(lambda: world.chain.shown)
    (verdict,) = world.chain.shown.values()
    assert verdict.verdict.passed


async def test_a_quorum_is_recorded_only_by_who_has_the_answers_that_it_passed(world: World) -> None:
    """The world's chain holds the roots to the verdicts."""
    world.chain.draw_now()
    verifier = world.make_verifier(2)
    exchange = verifier._exchange
    verdicts = {}
    for number in (2, 3, 4):
        owner, signer = make_node(number)
        said = Verdict(CHALLENGE_ID, answers_hash_of([keccak(b"root")]), True, keccak(owner))
        verdicts[owner] = SignedVerdict(said, signer.sign("Verdict", said))
    chosen = tuple(sorted(verdicts.items()))
    trial = Trial(world.chain.challenge, make_node(1)[1].address, {}, 0, 0, 0)
    await exchange._record(trial, chosen)
    assert not world.chain.recorded, "it never saw the answers"
    trial.roots = (keccak(b"root"),)
    await exchange._record(trial, chosen)
    assert world.chain.recorded
