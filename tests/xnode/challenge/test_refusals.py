"""Refusals: which requests of a challenge a node and a verifier answer, and which they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metering.capacity import (
    SignedVerdict,
    Verdict,
)
from metering.codec import decode, decode_strict, encode
from metering.eip712 import keccak
from metering.evidence import VerdictDocument
from metering.units import ZERO_HASH
from tests.make.waiting import wait_until
from tests.sim.challenging import (
    CHALLENGE_ID,
    CPU,
    World,
    judges,
    make_entropy,
    make_node,
    prove,
    read_code,
    running,
    wait_promise,
)
from xnode.capacity import message
from xnode.capacity.message import AnswerQuery, Answers, OpenQuery, ProductQuery
from xnode.challenge import prover
from xnode.ports.net import RpcRefused

QUERY = encode(AnswerQuery(CHALLENGE_ID, 0))


async def refusal_of(world: World, number: int, method: str, body: bytes) -> str:
    with pytest.raises(RpcRefused) as caught:
        await world.ask(number, method, body)
    return read_code(caught.value)


async def test_only_the_panel_may_ask(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prover, "KNOW_S", 0.2)
    async with running(prove(world)):
        assert await refusal_of(world, 2, message.ANSWER, QUERY) == "challenge_unknown", "before the draw nobody asks"
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


async def test_entropy_is_drawn_once_and_the_rows_follow_from_it(world: World) -> None:
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
    world.chain.challenge = replace(world.chain.challenge, declared=(CPU, slow))
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


async def test_a_device_or_class_that_is_not_there_is_refused(world: World) -> None:
    world.chain.draw_now()
    async with running(prove(world)):
        assert await refusal_of(world, 2, message.ANSWER, encode(AnswerQuery(CHALLENGE_ID, 1))) == "class_unknown"
        await world.ask(2, message.ANSWER, QUERY)
        entropy = make_entropy()
        for device in (2, 2**32 - 1):
            body = encode(ProductQuery(CHALLENGE_ID, device, entropy))
            assert await refusal_of(world, 2, message.PRODUCT, body) == "device_unknown"


async def test_a_verifier_that_asks_without_end_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
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
        await wait_promise(world, 2, "CapacitySight", CHALLENGE_ID + keccak(b"seed"))
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


async def test_two_verdicts_of_one_verifier_are_kept_for_a_reporter(world: World) -> None:
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
