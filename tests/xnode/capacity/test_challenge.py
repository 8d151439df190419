"""A challenged node and its verifiers, through the whole of a challenge: what passes, what fails, who is refused, and what a
restart leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
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
from metering.codec import decode, decode_strict, encode
from metering.eip712 import keccak
from metering.evidence import AnswerDocument, VerdictDocument
from metering.signature import is_signed_by
from metering.units import NANOS_PER_SECOND, ZERO_HASH
from tests.make.waiting import wait_until
from tests.sim.challenging import (
    CHALLENGE_ID,
    CPU,
    Liar,
    World,
    fail,
    make_entropy,
    make_node,
    read_code,
    running,
)
from tests.xnode.capacity.test_products import find_workers
from xnode.backoff import Backoff
from xnode.capacity import message
from xnode.capacity.challenge import device_seed_of
from xnode.capacity.freivalds import make_expected
from xnode.capacity.message import AnswerQuery, Answers, OpenQuery, ProductQuery
from xnode.capacity.product import Product
from xnode.capacity.tree import hash_leaves, make_tree
from xnode.challenge import exchange, inquiry, prover, verifier, watch
from xnode.challenge.watch import CapacityWatch
from xnode.errors import Permanent
from xnode.node.changes import CapacityVerified
from xnode.ports.net import RpcRefused

QUERY = encode(AnswerQuery(CHALLENGE_ID, 0))
TWO_CLASSES = (CPU, replace(CPU, class_id=1, count=1, name="cpu-large", n=512))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for module in (prover, verifier, exchange, watch):
        monkeypatch.setattr(module, "LOOK_S", 0.05)
    monkeypatch.setattr(prover, "LEAST_LOOK_S", 0.02)
    monkeypatch.setattr(watch, "LEAST_LOOK_S", 0.02)
    monkeypatch.setattr(watch, "RETRY", Backoff(0.1, 0.1))
    monkeypatch.setattr(watch, "COUNTS_S", 0.05)
    monkeypatch.setattr(verifier, "DRAW_STEP_S", 0.2)
    monkeypatch.setattr(inquiry, "AGAIN_S", 0.02)
    monkeypatch.setattr(exchange, "RECORD_STEP_S", 0.2)
    made = World.make(tmp_path)
    yield made
    made.close()


def judges(world: World) -> list[Any]:
    """What each member of the panel does."""
    return [partial(world.make_verifier(number).take_up, CHALLENGE_ID) for number in (2, 3, 4)]


def prove(world: World) -> Any:
    """What the challenged node does."""
    return partial(world.make_prover().take_up, CHALLENGE_ID)


async def judge_liar(world: World, monkeypatch: pytest.MonkeyPatch, liar: Liar) -> tuple[SignedVerdict, ...]:
    """What the panel makes of a node that answers like this."""
    monkeypatch.setattr(prover, "open_products", liar.open)
    async with running(prove(world), *judges(world)):
        await wait_until(lambda: world.chain.recorded)
    (verdicts,) = world.chain.recorded
    return tuple(signed for _, signed in verdicts)


# ------------------------------------------------------------------------------------------------------ what is judged


@pytest.mark.parametrize("claims", [(CPU,), TWO_CLASSES], ids=["one class", "two classes"])
async def test_an_honest_node_is_verified_by_all(world: World, claims: Any) -> None:
    world.chain.challenge = replace(world.chain.challenge, claims=claims)
    async with running(prove(world), *judges(world)):
        await wait_until(lambda: world.chain.recorded)
    (verdicts,) = world.chain.recorded
    assert [member for member, _ in verdicts] == [make_node(number)[0] for number in (2, 3, 4)]
    roots = []
    for number in range(len(claims)):
        subject = keccak(CHALLENGE_ID + keccak(b"seed") + number.to_bytes(4, "big"))
        kept = await world.promises(1).find("CapacityAnswers", subject)
        assert kept is not None
        roots += [answer.root for answer in decode(kept, tuple[CapacityAnswer, ...])]
    assert len(roots) == sum(claim.count for claim in claims)
    for _, signed in verdicts:
        assert signed.verdict.passed and signed.verdict.answers_hash == answers_hash_of(roots)
    assert len({signed.verdict.opening_seed for _, signed in verdicts}) == 3
    assert world.chain.draws >= 1
    assert not find_workers()


def change_element(products: dict[int, Product]) -> dict[int, Product]:
    """One wrong element in each row of device 1."""
    found = products[1]
    elements = found.elements.copy()
    elements[:, 7] += 1
    products[1] = Product(found.n, elements, make_tree(hash_leaves(0, elements.tobytes())))
    return products


async def test_wrong_elements_fail_and_leave_evidence_that_convinces_the_contract(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = await judge_liar(world, monkeypatch, Liar(change_element))
    assert [(signed.verdict.passed, signed.verdict.answers_hash) for signed in verdicts] == [(False, ZERO_HASH)] * 3
    documents = [decode(data, AnswerDocument) for data in await world.promises(2).list_values("AnswerDocument")]
    assert documents
    for document in documents:
        answer, opening = document.signed.answer, document.opening
        assert opening is not None and (answer.device, opening.column) == (1, 7)
        # As FaultProver judges it: the signature, the way to the root, and the element anew.
        assert is_signed_by(
            make_node(1)[1].address, answer_digest_of(document.separator, answer), document.signed.signature
        )
        assert opening.find_root() == answer.root
        assert opening.element != element_at(answer.seed, answer.n, *opening.find_place(answer.n))


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


async def test_a_node_that_cannot_compute_fails_without_a_signature(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prover, "open_products", fail("there is no GPU here"))
    async with running(prove(world), *judges(world)):
        await wait_until(lambda: world.chain.challenge.stage == "drawn")
        world.clock.ahead_ns += 26 * NANOS_PER_SECOND
        await wait_until(lambda: world.chain.recorded)
    assert not world.chain.recorded[0][0][1].verdict.passed


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


# ------------------------------------------------------------------------------------------------------- who is refused


async def refusal_of(world: World, number: int, method: str, body: bytes) -> str:
    with pytest.raises(RpcRefused) as caught:
        await world.ask(number, method, body)
    return read_code(caught.value)


async def test_only_the_panel_may_ask(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prover, "KNOW_S", 0.2)
    async with running(prove(world)):
        assert await refusal_of(world, 2, message.ANSWER, QUERY) == "not_ready"
        world.chain.draw_now()
        bodies = {
            message.ANSWER: QUERY,
            message.PRODUCT: encode(ProductQuery(CHALLENGE_ID, 0, make_entropy())),
            message.OPEN: encode(OpenQuery(CHALLENGE_ID, 0, make_entropy(), 0)),
        }
        for method, body in bodies.items():
            assert await refusal_of(world, 9, method, body) == "not_on_panel"
        assert len(decode_strict(await world.ask(2, message.ANSWER, QUERY), Answers).devices) == 2
        other = encode(AnswerQuery(keccak(b"another"), 0))
        assert await refusal_of(world, 2, message.ANSWER, other) == "challenge_unknown"


async def test_entropy_are_thrown_once_and_rows_are_those_of_the_entropy(world: World) -> None:
    world.chain.draw_now()
    async with running(prove(world)):
        await world.ask(2, message.ANSWER, QUERY)
        entropy = make_entropy()
        for _ in range(2):
            await world.ask(2, message.PRODUCT, encode(ProductQuery(CHALLENGE_ID, 0, entropy)))
            await world.ask(2, message.OPEN, encode(OpenQuery(CHALLENGE_ID, 1, entropy, 3)))
        others = {
            message.PRODUCT: encode(ProductQuery(CHALLENGE_ID, 0, make_entropy())),
            message.OPEN: encode(OpenQuery(CHALLENGE_ID, 0, make_entropy(), 0)),
        }
        for method, body in others.items():
            assert await refusal_of(world, 2, method, body) == "seed_changed"
            await world.ask(3, method, body)


async def test_nothing_is_shown_before_everything_is_signed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = replace(CPU, class_id=1, count=1, n=4096)
    world.chain.challenge = replace(world.chain.challenge, claims=(CPU, slow))
    world.chain.draw_now()
    async with running(prove(world)):
        await world.ask(2, message.ANSWER, QUERY)
        body = encode(ProductQuery(CHALLENGE_ID, 0, make_entropy()))
        assert await refusal_of(world, 2, message.PRODUCT, body) == "not_ready"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x92",
        encode([CHALLENGE_ID]),
        encode([CHALLENGE_ID, 8]),
        encode([CHALLENGE_ID, -1]),
        encode([CHALLENGE_ID[:31], 0]),
        encode([CHALLENGE_ID, 0, 0]),
        encode([CHALLENGE_ID.hex(), 0]),
        encode(AnswerQuery(CHALLENGE_ID, 0)) + b"\0",
        bytes(1 << 20),
    ],
)
async def test_a_strangers_bytes_are_refused_as_malformed(world: World, body: bytes) -> None:
    world.chain.draw_now()
    async with running(prove(world)):
        for method in (message.ANSWER, message.PRODUCT, message.OPEN):
            assert await refusal_of(world, 2, method, body) == "malformed"


async def test_a_device_or_claim_that_is_not_there_is_refused(world: World) -> None:
    world.chain.draw_now()
    async with running(prove(world)):
        assert await refusal_of(world, 2, message.ANSWER, encode(AnswerQuery(CHALLENGE_ID, 1))) == "claim_unknown"
        await world.ask(2, message.ANSWER, QUERY)
        entropy = make_entropy()
        for device in (2, 2**32 - 1):
            body = encode(ProductQuery(CHALLENGE_ID, device, entropy))
            assert await refusal_of(world, 2, message.PRODUCT, body) == "device_unknown"


async def test_a_verifier_that_asks_for_ever_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prover, "ASKS_EACH", 2)
    world.chain.draw_now()
    async with running(prove(world)):
        await world.ask(2, message.ANSWER, QUERY)
        body = encode(OpenQuery(CHALLENGE_ID, 0, make_entropy(), 0))
        for _ in range(4):
            await world.ask(2, message.OPEN, body)
        assert await refusal_of(world, 2, message.OPEN, body) == "asked_too_often"


async def test_a_foreign_verdict_is_refused(world: World) -> None:
    world.chain.draw_now()
    async with running(*judges(world)[:1]):
        await wait_promise(world, 2, "CapacitySight", CHALLENGE_ID + (5).to_bytes(8, "big"))
        # The node asks for answers next, and so judges the challenge by now.
        await wait_until(lambda: world.calls)
        verdict = Verdict(CHALLENGE_ID, ZERO_HASH, False, ZERO_HASH)
        mine = make_node(3)[1].sign("Verdict", verdict)
        handler = world.served[make_node(2)[1].address][message.VERDICT]
        for caller, signature in ((9, mine), (3, bytes(65)), (4, mine), (3, mine[:-1])):
            with pytest.raises(RpcRefused) as caught:
                await handler(make_node(caller)[1].address, encode(SignedVerdict(verdict, signature)))
            assert read_code(caught.value) in ("not_on_panel", "verdict_signature")
        with pytest.raises(RpcRefused) as caught:
            await handler(make_node(3)[1].address, encode(SignedVerdict(verdict, mine)))
        assert read_code(caught.value) == "not_ready"


async def test_two_verdicts_of_one_verifier_are_kept_for_whoever_reports_it(world: World) -> None:
    world.chain.draw_now()
    async with running(*judges(world)[:1]):
        await wait_until(lambda: world.calls)
        member = make_node(3)[1]
        handler = world.served[make_node(2)[1].address][message.VERDICT]
        for passed in (True, False):
            verdict = Verdict(CHALLENGE_ID, keccak(b"roots"), passed, ZERO_HASH)
            with pytest.raises(RpcRefused) as caught:
                await handler(member.address, encode(SignedVerdict(verdict, member.sign("Verdict", verdict))))
            assert read_code(caught.value) == "not_ready"
    documents = [decode(data, VerdictDocument) for data in await world.promises(2).list_values("VerdictDocument")]
    assert {document.signed.verdict.passed for document in documents} == {True, False}


# ------------------------------------------------------------------------------------------------- what a restart leaves


async def wait_promise(world: World, number: int, kind: str, subject: bytes = CHALLENGE_ID) -> bytes:
    """What the node has promised, once it has."""
    found = await wait_until(lambda: world.promises(number).find(kind, subject))
    assert found is not None
    return found


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


async def test_a_verifier_that_restarts_throws_no_new_entropy_and_signs_the_same(world: World) -> None:
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
    world.chain.challenge = replace(world.chain.challenge, claims=(replace(CPU, count=1, n=2048),))
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
    async with running(prove(world)):
        await wait_until(find_workers)
        world.chain.challenge = replace(world.chain.challenge, stage="lapsed")
        await wait_until(lambda: not find_workers())


async def test_the_watch_takes_up_what_it_sees_through_faults_of_the_chain(world: World) -> None:
    told: list[CapacityVerified] = []

    async def tell(change: CapacityVerified) -> None:
        told.append(change)

    watches = [
        CapacityWatch(make_node(number)[0], world.chain, world.make_prover(number), world.make_verifier(number), tell)
        for number in (1, 2, 3, 4)
    ]
    world.chain.is_away = True
    async with running(*(watch.run for watch in watches)):
        await world.chain.wait_looks(3 * len(watches))
        world.chain.is_away = False
        await wait_until(lambda: world.chain.recorded and len(told) == len(watches))
    assert world.chain.recorded[0][0][1].verdict.passed
    assert set(told) == {CapacityVerified(*world.chain.counts)}
