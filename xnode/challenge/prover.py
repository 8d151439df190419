"""Capacity prover: answers challenges about this host: computes, promises, signs, then shows what verifiers ask to see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
import trio

from metering.capacity import CapacityAnswer, find_opened_rows
from metering.codec import decode, encode
from metering.eip712 import keccak
from metering.units import NANOS_PER_SECOND, Address, Hash32
from xnode.capacity import message
from xnode.capacity.judging import ALLOWANCE_NS, list_declared, make_answers, make_tasks
from xnode.capacity.message import AnsweredDevice, AnswerQuery, Answers, OpenQuery, ProductQuery
from xnode.capacity.products import Products, open_products
from xnode.challenge.failures import FailureKeeper
from xnode.errors import Permanent, Retryable
from xnode.faultpoint import reach
from xnode.logs import log_id_of
from xnode.peers.answer import read_request, refuse
from xnode.ports.capacity import CapacityChain, Challenge, DeclaredClass
from xnode.ports.net import RpcHandler
from xnode.ports.store import Promises
from xnode.ports.wallet import Signer
from xnode.repeated_event import RepeatedEvent

LOOK_S = 1.0
"""Between looks at an open challenge about us: the draw, its end, or another seed after a reorganisation."""

LEAST_LOOK_S = 0.25
"""However often others ask about it."""

WAIT_S = 20.0
"""How long a request may take before the verifier must ask again: well below HANDLER_S."""

KNOW_S = 4.0
"""How long a request waits for us to see on chain what its caller has seen already."""

ASKS_EACH = 64
"""Requests for one device that one verifier may make: it needs five, and as many again after each break of the net."""

_T = TypeVar("_T")

log = structlog.get_logger()


@dataclass(slots=True)
class _ClassAnswers:
    """The answers of one declared class, once they are signed; or why there will be none."""

    answers: Answers | None = None
    failure: Permanent | None = None


@dataclass(slots=True)
class _Caller:
    """What one verifier has asked so far."""

    vector_seed: Hash32 | None = None
    opening_seed: Hash32 | None = None
    asks: int = 0


@dataclass(slots=True)
class _Session:
    """One challenge with one seed."""

    challenge: Challenge
    seed: Hash32
    classes: tuple[_ClassAnswers, ...]
    begun: float = field(default_factory=trio.current_time)
    nodes: tuple[Address, ...] = ()
    products: Products | None = None
    callers: dict[Address, _Caller] = field(default_factory=dict)
    changed: RepeatedEvent = field(default_factory=RepeatedEvent)
    looked_for: RepeatedEvent = field(default_factory=RepeatedEvent)
    """Set when a verifier waits for us to look at the chain."""
    wanted: trio.Event = field(default_factory=trio.Event)
    """Set when the products themselves are asked for; after a restart the answers stand without them."""


class Prover:
    """One for the daemon. take_up() for each challenge about us; methods() for the net."""

    def __init__(self, chain: CapacityChain, promises: Promises, signer: Signer) -> None:
        """signer: in CapacityRegistry's domain."""
        self._chain, self._promises, self._signer = chain, promises, signer
        self.failures = FailureKeeper(promises)
        self._sessions: dict[Hash32, _Session] = {}
        self._arrived = RepeatedEvent()
        self.nudge: Callable[[], None] = lambda: None
        """Asks the watch to look at the chain now: a peer knows of a challenge that we have not seen."""

    def methods(self) -> dict[str, RpcHandler]:
        """RPC methods by name."""
        handlers = {message.ANSWER: self._on_answer, message.PRODUCT: self._on_product, message.OPEN: self._on_open}
        return {method: _bound(handler) for method, handler in handlers.items()}

    # ------------------------------------------------------------------------------------------------------- computing

    async def take_up(self, challenge_id: Hash32) -> None:
        """Answer the challenge; returns when it is over. Raises Retryable, Permanent: then take it up again."""
        while (challenge := await self._wait_drawn(challenge_id)) is not None:
            session = _Session(challenge, challenge.seed, tuple(_ClassAnswers() for _ in challenge.declared))
            try:
                async with trio.open_nursery() as nursery:
                    await self._load(session)
                    self._open_session(session)
                    nursery.start_soon(self._compute, session)
                    await self._wait_other_seed(session)
                    nursery.cancel_scope.cancel()
            finally:
                self._sessions.pop(challenge_id, None)
                session.changed.set()

    async def _wait_drawn(self, challenge_id: Hash32) -> Challenge | None:
        """The challenge once it is drawn, from which block on verifiers count; None when it is over."""
        while True:
            challenge = await self._chain.read_challenge(challenge_id)
            if challenge.stage == "drawn" and not await self._is_overdue(challenge):
                return challenge
            if challenge.stage != "requested":
                return None
            await trio.sleep(LOOK_S)

    async def _is_overdue(self, challenge: Challenge) -> bool:
        return (await self._chain.read_head()).time > challenge.deadline

    def _open_session(self, session: _Session) -> None:
        self._sessions[session.challenge.challenge_id] = session
        self._arrived.set()
        devices = sum(one.count for one in session.challenge.declared)
        log.info("capacity challenge", challenge=log_id_of(session.challenge.challenge_id), devices=devices)

    async def _wait_other_seed(self, session: _Session) -> None:
        """Returns when the challenge is over, or has another seed."""
        while True:
            looked_for = session.looked_for.next()
            try:
                if not await self._look(session):
                    return
            except (Retryable, Permanent) as error:
                # What is computed stays: a chain node that is away says nothing about the challenge.
                log.info("the challenge cannot be looked at", reason=str(error))
            await trio.sleep(LEAST_LOOK_S)
            with trio.move_on_after(LOOK_S - LEAST_LOOK_S):
                await looked_for.wait()

    async def _look(self, session: _Session) -> bool:
        """True while the challenge is open and asks for what we compute."""
        challenge = await self._chain.read_challenge(session.challenge.challenge_id)
        if challenge.stage != "drawn" or challenge.seed != session.seed or await self._is_overdue(challenge):
            return False
        if not session.nodes:
            session.nodes = await self._chain.list_nodes(challenge.panel)
        session.challenge = challenge
        session.changed.set()
        return True

    async def _load(self, session: _Session) -> None:
        """Answers that an earlier life has promised: they stand, and are signed again to the same bytes."""
        for number in range(len(session.classes)):
            kept = await self._promises.find("CapacityAnswers", _make_subject(session, number))
            if kept is not None:
                self._sign(session, number, decode(kept, tuple[CapacityAnswer, ...]))

    async def _compute(self, session: _Session) -> None:
        """Compute all devices at once and answer class by class; keeps the products until cancelled."""
        if all(one.answers for one in session.classes):
            await session.wanted.wait()
        try:
            async with open_products(make_tasks(session.challenge, session.seed)) as products:
                session.products = products
                session.changed.set()
                async with trio.open_nursery() as nursery:
                    for number in range(len(session.classes)):
                        nursery.start_soon(self._answer, session, products, number)
                await trio.sleep_forever()
        except Permanent as error:
            for one in session.classes:
                one.failure = error
            log.warning("capacity challenge cannot be computed", reason=str(error))
            session.changed.set()
            await self.failures.keep(session.challenge, str(error))

    async def _answer(self, session: _Session, products: Products, number: int) -> None:
        listed = list_declared(session.challenge)[number]
        try:
            roots = await products.wait_roots(listed.devices)
            answers = make_answers(session.challenge, session.seed, number, roots)
            reach("answer_before_promise")
            await self._promise(session, number, answers)
            reach("answer_promised")
            self._sign(session, number, answers)
            reason = _find_lateness(session, listed.device_class)
        except Permanent as error:
            session.classes[number].failure = error
            reason = f"class {listed.device_class.name} cannot answer: {error}"
        session.changed.set()
        if reason:
            log.warning("capacity challenge will be failed", reason=reason)
            await self.failures.keep(session.challenge, reason)

    async def _promise(self, session: _Session, number: int, answers: tuple[CapacityAnswer, ...]) -> None:
        while True:
            try:
                return await self._promises.promise("CapacityAnswers", _make_subject(session, number), encode(answers))
            except Retryable as error:
                log.warning("answers cannot be kept yet", reason=str(error))
                await trio.sleep(LOOK_S)

    def _sign(self, session: _Session, number: int, answers: tuple[CapacityAnswer, ...]) -> None:
        """Only what is promised comes here."""
        signed = (AnsweredDevice(one.root, self._signer.sign("CapacityAnswer", one)) for one in answers)
        session.classes[number].answers = Answers(tuple(signed))

    # -------------------------------------------------------------------------------------------------------- answering

    async def _on_answer(self, caller: Address, body: bytes) -> bytes:
        query = read_request(body, AnswerQuery)
        session, _ = await self._find_session(query.challenge_id, caller)
        if query.class_index >= len(session.classes):
            raise refuse("class_unknown", f"the challenge has {len(session.classes)} declared classes")
        asked = session.classes[query.class_index]
        await self._wait(session, lambda: asked.answers is not None or asked.failure is not None)
        if asked.answers is None:
            raise refuse("cannot_compute", "the devices of this class cannot answer")
        return encode(asked.answers)

    async def _on_product(self, caller: Address, body: bytes) -> bytes:
        query = read_request(body, ProductQuery)
        session, asking = await self._find_session(query.challenge_id, caller)
        asking.vector_seed = _hold_to(asking.vector_seed, query.vector_seed)
        products = await self._wait_products(session, asking, query.device)
        return await _show(products.multiply_vector(query.device, query.vector_seed))

    async def _on_open(self, caller: Address, body: bytes) -> bytes:
        query = read_request(body, OpenQuery)
        session, asking = await self._find_session(query.challenge_id, caller)
        asking.opening_seed = _hold_to(asking.opening_seed, query.opening_seed)
        products = await self._wait_products(session, asking, query.device)
        row = find_opened_rows(query.opening_seed, query.device, products.tasks[query.device].n)[query.k]
        return encode(await _show(products.open_row(query.device, row)))

    async def _find_session(self, challenge_id: Hash32, caller: Address) -> tuple[_Session, _Caller]:
        """The challenge, for a caller who sits on its panel."""
        with trio.move_on_after(KNOW_S):
            while challenge_id not in self._sessions:
                self.nudge()
                await self._arrived.wait()
            while (session := self._sessions.get(challenge_id)) and not session.nodes:
                session.looked_for.set()
                await session.changed.wait()
        found = self._sessions.get(challenge_id)
        if found is None:
            raise refuse("challenge_unknown", f"no open challenge {challenge_id.hex()[:16]} of this node")
        if not found.nodes:
            raise refuse("not_ready", "this node has not seen the draw yet; ask again")
        if caller not in found.nodes:
            raise refuse("not_on_panel", "only the challenge's verifiers may ask")
        return found, found.callers.setdefault(caller, _Caller())

    async def _wait_products(self, session: _Session, asking: _Caller, device: int) -> Products:
        """The products, once everything is signed: before that no entropy is accepted."""
        if not 0 <= device < sum(one.count for one in session.challenge.declared):
            raise refuse("device_unknown", f"the challenge has no device {device}")
        if not all(one.answers for one in session.classes):
            raise refuse("not_ready", "not all devices have answered yet")
        asking.asks += 1
        if asking.asks > ASKS_EACH * sum(one.count for one in session.challenge.declared):
            raise refuse("asked_too_often", "this node has shown enough")
        session.wanted.set()
        await self._wait(session, lambda: session.products is not None or session.classes[0].failure is not None)
        if session.products is None:
            raise refuse("cannot_compute", "the products cannot be computed again")
        await _show(session.products.wait_roots((device,)))
        return session.products

    async def _wait(self, session: _Session, is_so: Callable[[], bool]) -> None:
        while not is_so():
            await session.changed.wait()


def _bound(handler: RpcHandler) -> RpcHandler:
    """The handler, with an end to all its waiting."""

    async def bound(caller: Address, body: bytes) -> bytes:
        with trio.move_on_after(WAIT_S):
            return await handler(caller, body)
        raise refuse("not_ready", "still computing; ask again")

    return bound


def _find_lateness(session: _Session, device_class: DeclaredClass) -> str:
    """Empty when the answers of the class, ready now, are in time."""
    took_s, limit_s = trio.current_time() - session.begun, device_class.time_limit_ms / 1000
    if took_s <= limit_s + ALLOWANCE_NS / NANOS_PER_SECOND:
        return ""
    return f"class {device_class.name} answered after {took_s:.0f} s, and has {limit_s:g} s"


def _make_subject(session: _Session, number: int) -> bytes:
    """Another seed, after a reorganisation, asks for other answers; these do not contradict each other."""
    return keccak(session.challenge.challenge_id + session.seed + number.to_bytes(4, "big"))


def _hold_to(first: Hash32 | None, sent: Hash32) -> Hash32:
    """A verifier draws its entropy once: else it could have us compute and show without end."""
    if first is not None and first != sent:
        raise refuse("seed_changed", "this verifier has sent another seed before")
    return sent


async def _show(shown: Awaitable[_T]) -> _T:
    try:
        return await shown
    except Permanent as error:
        raise refuse("cannot_compute", str(error)) from None
