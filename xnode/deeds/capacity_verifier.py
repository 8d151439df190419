"""Capacity verifier: judges other providers' hardware when it is drawn: takes the time, throws the dice, signs once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import msgspec
import structlog
import trio

from metering.capacity import (
    OPENED_ROWS,
    CapacityAnswer,
    SignedAnswer,
    SignedVerdict,
    Verdict,
    find_opened_rows,
    make_answers_hash,
)
from metering.codec import decode, decode_strict, encode
from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, ZERO_HASH, Address, Hash32
from xnode.capacity import judging, message
from xnode.capacity.errand import ExpectedMade
from xnode.capacity.judging import WrongElement
from xnode.capacity.message import AnswerQuery, Answers, OpenQuery, ProductQuery
from xnode.capacity.opening import OpenedRow
from xnode.capacity.products import DeviceTask, open_worker
from xnode.errors import Permanent, Retryable
from xnode.faultpoint import reach
from xnode.logs import make_log_id
from xnode.ports import CapacityChain, Challenge, Clock, Net, Peer, Promises, RpcHandler, RpcRefused, Signer

LOOK_S = 1.0
"""Between looks at a challenge that is open: no more than this is lost of anybody's time limit."""

DRAW_STEP_S = 4.0
"""How long each verifier leaves the draw to the one before it: two blocks or so, and a transaction costs all of them gas."""

RECORD_STEP_S = 4.0
"""The same for handing in the verdicts."""

ASK_NS = 30 * NANOS_PER_SECOND
"""One request to the challenged node, which itself waits up to 20 s before it says that it is not ready."""

TELL_NS = 5 * NANOS_PER_SECOND
"""One exchange of verdicts."""

AGAIN_S = 0.3
"""Between tries at a node that broke off or is not ready."""

HAND_IN_S = 30.0
"""Before the deadline: for the verdicts to go around and into a block. At least a third of the time goes to opening."""

NICENESS = 10
"""Checking another host must not slow down the workloads of this one."""

MAX_CHECKS = 4
"""Devices checked at a time: a core each."""

_AGAIN = ("not_ready", "busy", "challenge_unknown")
"""Refusals that mean: later."""

T = TypeVar("T")

log = structlog.get_logger()


class _Received(msgspec.Struct, frozen=True, array_like=True):
    """A claim's signed answers, and when they were here."""

    answered_ns: int
    answers: Answers


@dataclass(slots=True)
class _Trial:
    """A challenge that this verifier judges. seen_ns: when the draw was; watched_ns: since when this process looks."""

    challenge: Challenge
    peer: Peer
    nodes: dict[Address, Address]
    """Panel member by node key."""
    seen_ns: int
    watched_ns: int
    deadline_ns: int
    """On our clock; the chain's own may go differently, so it is read anew for each challenge."""
    verdicts: dict[Address, SignedVerdict] = field(default_factory=dict)
    changed: trio.Event = field(default_factory=trio.Event)

    @property
    def challenge_id(self) -> Hash32:
        return self.challenge.challenge_id

    def tell(self) -> None:
        """Wake who waits for verdicts."""
        changed, self.changed = self.changed, trio.Event()
        changed.set()


class Verifier:
    """One for the daemon. take_up() for each challenge that is requested; methods() for the net."""

    def __init__(
        self,
        me: Address,
        chain: CapacityChain,
        net: Net,
        promises: Promises,
        signer: Signer,
        clock: Clock,
        separator: Hash32,
    ) -> None:
        """me: our provider's address; signer, separator: of CapacityRegistry's domain."""
        self._me, self._chain, self._net = me, chain, net
        self._promises, self._signer, self._clock = promises, signer, clock
        self._separator = separator
        self._trials: dict[Hash32, _Trial] = {}
        self._checks = trio.CapacityLimiter(min(MAX_CHECKS, max(1, (os.cpu_count() or 1) // 2)))

    def methods(self) -> dict[str, RpcHandler]:
        """RPC methods by name."""
        return {message.VERDICT: self._on_verdict}

    async def take_up(self, challenge_id: Hash32) -> None:
        """Judge the challenge when we are drawn for it; returns when it is over. Raises Retryable, Permanent: try again."""
        trial = await self._wait_drawn(challenge_id)
        if trial is None:
            return
        self._trials[challenge_id] = trial
        log.info("drawn to verify", challenge=make_log_id(challenge_id), provider="0x" + trial.challenge.provider.hex())
        try:
            signed = await self._find_verdict(trial) or await self._judge(trial)
            if signed is not None:
                trial.verdicts[self._me] = signed
                trial.tell()
            await self._settle(trial)
        finally:
            del self._trials[challenge_id]

    # --------------------------------------------------------------------------------------------------------- the draw

    async def _wait_drawn(self, challenge_id: Hash32) -> _Trial | None:
        """The challenge as drawn; None when it is over, or others judge it. Draws it when that is our turn."""
        watched_ns = self._clock.now_ns()
        while True:
            challenge = await self._chain.read_challenge(challenge_id)
            if challenge.stage == "drawn":
                return await self._open_trial(challenge, watched_ns) if self._me in challenge.panel else None
            if challenge.stage != "requested":
                return None
            head = await self._chain.read_head()
            if head.number >= challenge.draw_block:
                seen_ns = await self._keep_sight(challenge, self._clock.now_ns())
                await self._draw_in_turn(challenge, (self._clock.now_ns() - seen_ns) / NANOS_PER_SECOND)
            await trio.sleep(LOOK_S)

    async def _draw_in_turn(self, challenge: Challenge, waited_s: float) -> None:
        verifiers = await self._chain.list_verifiers()
        if waited_s < DRAW_STEP_S * judging.find_rank(challenge.challenge_id, verifiers, self._me):
            return
        try:
            await self._chain.draw(challenge.challenge_id)
        except (Retryable, Permanent) as error:
            log.info("not drawn yet", challenge=make_log_id(challenge.challenge_id), reason=str(error))

    async def _keep_sight(self, challenge: Challenge, seen_ns: int) -> int:
        """When we first saw that the block of the draw was there, over all our lives."""
        subject = challenge.challenge_id + challenge.draw_block.to_bytes(8, "big")
        kept = await self._promises.keep("CapacitySight", subject, seen_ns.to_bytes(8, "big"))
        return int.from_bytes(kept, "big")

    async def _open_trial(self, challenge: Challenge, watched_ns: int) -> _Trial:
        head, now_ns = await self._chain.read_head(), self._clock.now_ns()
        late_s = head.time - await self._chain.read_block_time(challenge.draw_block)
        seen_ns = await self._keep_sight(challenge, judging.find_seen_ns(now_ns, late_s))
        nodes = await self._chain.list_nodes((challenge.provider, *challenge.panel))
        members = dict(zip(nodes[1:], challenge.panel, strict=True))
        deadline_ns = now_ns + (challenge.deadline - head.time) * NANOS_PER_SECOND
        return _Trial(challenge, Peer(nodes[0]), members, seen_ns, max(watched_ns, seen_ns), deadline_ns)

    # ------------------------------------------------------------------------------------------------------ the judgement

    async def _find_verdict(self, trial: _Trial) -> SignedVerdict | None:
        """The verdict that an earlier life promised, signed again to the same bytes."""
        kept = await self._promises.find("Verdict", trial.challenge_id)
        return self._sign(decode(kept, Verdict)) if kept is not None else None

    async def _judge(self, trial: _Trial) -> SignedVerdict | None:
        """Our verdict; None when we abstain."""
        received = await self._collect_answers(trial)
        if received is None:
            log.info("abstained: was away for the answers", challenge=make_log_id(trial.challenge_id))
            return None
        if not received:
            return await self._give_verdict(trial, (), ZERO_HASH)
        roots = tuple(device.root for answers in received for device in answers.devices)
        dice = await self._promises.keep("CapacityDice", trial.challenge_id, os.urandom(64))
        vector_seed, opening_seed = Hash32(dice[:32]), Hash32(dice[32:])
        fault = await self._check_devices(trial, received, vector_seed, opening_seed)
        if fault is not None:
            log.warning("capacity not verified", challenge=make_log_id(trial.challenge_id), reason=str(fault))
        # The verifiers that fail a provider agree on that alone: what each of them saw is its own.
        return await self._give_verdict(trial, () if fault else roots, opening_seed)

    async def _give_verdict(
        self, trial: _Trial, roots: tuple[Hash32, ...], opening_seed: Hash32
    ) -> SignedVerdict | None:
        """Passed when there are roots. Signed only once the draw is final, and nothing else was promised."""
        while (challenge := await self._chain.read_challenge(trial.challenge_id, confirmed=True)).stage != "drawn":
            if self._clock.now_ns() > trial.deadline_ns:
                return None
            await trio.sleep(LOOK_S)
        if challenge.seed != trial.challenge.seed:
            raise Retryable("the chain was reorganised: the challenge has another seed")
        verdict = Verdict(trial.challenge_id, make_answers_hash(roots), bool(roots), opening_seed)
        reach("verdict_before_promise")
        await self._promises.promise("Verdict", trial.challenge_id, encode(verdict))
        reach("verdict_promised")
        return self._sign(verdict)

    def _sign(self, verdict: Verdict) -> SignedVerdict:
        """Only what is promised comes here."""
        log.info("verdict", challenge=make_log_id(verdict.challenge_id), passed=verdict.passed)
        return SignedVerdict(verdict, self._signer.sign("Verdict", verdict))

    # -------------------------------------------------------------------------------------------------------- the answers

    async def _collect_answers(self, trial: _Trial) -> tuple[Answers, ...] | None:
        """Every claim's answers in order; empty when one came too late or never; None when we cannot tell."""
        received: dict[int, Answers] = {}
        timings: set[judging.Timing] = set()
        async with trio.open_nursery() as nursery:

            async def collect(number: int) -> None:
                timing, answers = await self._wait_answers(trial, number)
                timings.add(timing)
                if timing == "in_time" and answers is not None:
                    received[number] = answers
                else:
                    nursery.cancel_scope.cancel()

            for number in range(len(trial.challenge.claims)):
                nursery.start_soon(collect, number)
        if "late" in timings:
            return ()
        return None if "unknown" in timings else tuple(received[number] for number in sorted(received))

    async def _wait_answers(self, trial: _Trial, number: int) -> tuple[judging.Timing, Answers | None]:
        limit_ns = trial.challenge.claims[number].time_limit_ms * 1_000_000
        subject = trial.challenge_id + number.to_bytes(4, "big")
        judge = partial(judging.judge_time, trial.seen_ns, trial.watched_ns)
        kept = await self._promises.find("CapacityReceived", subject)
        received = decode(kept, _Received) if kept is not None else None
        while received is None:
            timing = judge(None, limit_ns, self._clock.now_ns())
            if timing is not None:
                log.warning("no answers in time", challenge=make_log_id(trial.challenge_id), claim=number)
                return timing, None
            answers = await self._ask_answers(trial, number)
            if answers is not None:
                fresh = _Received(self._clock.now_ns(), answers)
                received = decode(await self._promises.keep("CapacityReceived", subject, encode(fresh)), _Received)
                reach("answers_received")
        timing = judge(received.answered_ns, limit_ns, self._clock.now_ns())
        assert timing is not None
        took_ms = (received.answered_ns - trial.seen_ns) // 1_000_000
        log.info("answers", challenge=make_log_id(trial.challenge_id), claim=number, took_ms=took_ms, timing=timing)
        return timing, received.answers

    async def _ask_answers(self, trial: _Trial, number: int) -> Answers | None:
        """The claim's answers when they are there and signed; None to ask again."""
        query = encode(AnswerQuery(trial.challenge_id, number))
        try:
            body = await self._call(trial.peer, message.ANSWER, query, ASK_NS)
            answers = decode_strict(body, Answers)
        except (Retryable, Permanent, RpcRefused, ValueError) as error:
            # Whatever it is, the node may come right within its time; nothing but the time judges here.
            log.debug("no answers yet", claim=number, reason=_describe(error))
            await trio.sleep(AGAIN_S)
            return None
        refusal = judging.check_answers(trial.challenge, number, answers, trial.peer.address, self._separator)
        if refusal is not None:
            log.info("answers refused", claim=number, code=refusal.code)
            await trio.sleep(AGAIN_S)
            return None
        return answers

    # -------------------------------------------------------------------------------------------------------- the devices

    async def _check_devices(
        self, trial: _Trial, received: tuple[Answers, ...], vector_seed: Hash32, opening_seed: Hash32
    ) -> Refusal | None:
        """None when all devices' products are right as far as our dice see."""
        found: list[Refusal] = []
        tasks = judging.make_tasks(trial.challenge, trial.challenge.seed)
        answered = [device for answers in received for device in answers.devices]
        async with trio.open_nursery() as nursery:

            async def check(task: DeviceTask, answer: message.AnsweredDevice) -> None:
                async with self._checks:
                    refusal = await self._check_device(trial, task, answer, vector_seed, opening_seed)
                if refusal is not None:
                    found.append(refusal)
                    nursery.cancel_scope.cancel()

            for task, answer in zip(tasks, answered, strict=True):
                nursery.start_soon(check, task, answer)
        return found[0] if found else None

    async def _check_device(
        self,
        trial: _Trial,
        task: DeviceTask,
        answer: message.AnsweredDevice,
        vector_seed: Hash32,
        opening_seed: Hash32,
    ) -> Refusal | None:
        left_ns = trial.deadline_ns - self._clock.now_ns()
        until_ns = trial.deadline_ns - min(int(HAND_IN_S * NANOS_PER_SECOND), 2 * left_ns // 3)
        async with open_worker(niceness=NICENESS) as worker:
            expected = await worker.do(judging.make_expect(task, vector_seed, opening_seed))
        assert isinstance(expected, ExpectedMade)
        product = await self._insist(
            trial, message.PRODUCT, ProductQuery(trial.challenge_id, task.device, vector_seed), until_ns
        )
        if isinstance(product, Refusal):
            return product
        refusal = judging.judge_product(task, product, expected)
        if refusal is not None:
            # The rows may still hold the evidence that the product alone is not.
            await self._check_rows(trial, task, answer, expected, opening_seed, until_ns)
            return refusal
        return await self._check_rows(trial, task, answer, expected, opening_seed, until_ns)

    async def _check_rows(
        self,
        trial: _Trial,
        task: DeviceTask,
        answer: message.AnsweredDevice,
        expected: ExpectedMade,
        opening_seed: Hash32,
        until_ns: int,
    ) -> Refusal | None:
        rows = find_opened_rows(opening_seed, task.device, task.n)
        for k in range(OPENED_ROWS):
            query = OpenQuery(trial.challenge_id, task.device, opening_seed, k)
            body = await self._insist(trial, message.OPEN, query, until_ns)
            if isinstance(body, Refusal):
                return body
            try:
                opened = decode_strict(body, OpenedRow)
            except ValueError as error:
                return Refusal("row_malformed", f"device {task.device}: {str(error)[:200]}")
            found = judging.judge_row(task, answer.root, rows[k], opened, expected.rows[k])
            if isinstance(found, WrongElement):
                await self._keep_evidence(trial, task, answer, found)
                return Refusal("wrong_element", f"device {task.device}: an element of row {rows[k]} is wrong")
            if found is not None:
                return found
        return None

    async def _keep_evidence(
        self, trial: _Trial, task: DeviceTask, answer: message.AnsweredDevice, found: WrongElement
    ) -> None:
        """What FaultProver.proveWrongElement takes: anyone who has it can have the provider slashed."""
        signed = SignedAnswer(_make_answer(trial.challenge_id, task, answer), answer.signature)
        subject = trial.challenge_id + task.device.to_bytes(4, "big")
        await self._promises.keep("WrongElement", subject, encode((signed, found.opening)))
        log.warning("a wrong element was signed", challenge=make_log_id(trial.challenge_id), device=task.device)

    async def _insist(self, trial: _Trial, method: str, query: msgspec.Struct, until_ns: int) -> bytes | Refusal:
        """The node's answer, asked again and again until it gives one; why not, when the time is over or it says no."""
        reason = "it did not answer"
        while self._clock.now_ns() < until_ns:
            try:
                return await self._call(trial.peer, method, encode(query), min(ASK_NS, until_ns - self._clock.now_ns()))
            except Retryable as error:
                reason = str(error)
            except RpcRefused as refused:
                refusal = _read_refusal(refused)
                if refusal.code not in _AGAIN:
                    return refusal
                reason = refusal.code
            except Permanent as error:
                return Refusal("protocol", str(error))
            await trio.sleep(AGAIN_S)
        return Refusal("not_shown", f"{method} was not answered in time: {reason}")

    async def _call(self, peer: Peer, method: str, body: bytes, wait_ns: int) -> bytes:
        return await self._net.call(peer, method, body, self._clock.now_ns() + wait_ns)

    # ------------------------------------------------------------------------------------------------------- the verdicts

    async def _settle(self, trial: _Trial) -> None:
        """Exchange verdicts and hand in a quorum's, each in turn; returns when the challenge is over."""
        rank = judging.find_rank(trial.challenge_id, trial.challenge.panel, self._me)
        decided_at: float | None = None
        while True:
            await self._exchange(trial)
            chosen = judging.choose_verdicts(trial.challenge, trial.verdicts)
            if chosen is not None:
                decided_at = trio.current_time() if decided_at is None else decided_at
                if trio.current_time() - decided_at >= RECORD_STEP_S * rank:
                    await self._record(trial, chosen)
            challenge = await self._chain.read_challenge(trial.challenge_id)
            if challenge.stage != "drawn" or (await self._chain.read_head()).time > challenge.deadline:
                log.info("challenge is over", challenge=make_log_id(trial.challenge_id), stage=challenge.stage)
                return
            with trio.move_on_after(LOOK_S):
                await trial.changed.wait()

    async def _record(self, trial: _Trial, chosen: tuple[tuple[Address, SignedVerdict], ...]) -> None:
        try:
            await self._chain.record(trial.challenge_id, chosen)
        except (Retryable, Permanent) as error:
            log.warning("verdicts not recorded", challenge=make_log_id(trial.challenge_id), reason=str(error))

    async def _exchange(self, trial: _Trial) -> None:
        """Tell every other member our verdict, and hear theirs."""
        mine = trial.verdicts.get(self._me)
        if mine is None:
            return
        async with trio.open_nursery() as nursery:
            for node, member in trial.nodes.items():
                if member not in trial.verdicts:
                    nursery.start_soon(self._exchange_with, trial, node, member, mine)

    async def _exchange_with(self, trial: _Trial, node: Address, member: Address, mine: SignedVerdict) -> None:
        try:
            body = await self._call(Peer(node), message.VERDICT, encode(mine), TELL_NS)
            self._take_in(trial, node, member, decode_strict(body, SignedVerdict))
        except (Retryable, Permanent, RpcRefused, ValueError) as error:
            log.debug("no verdict yet", member="0x" + member.hex(), reason=_describe(error))

    def _take_in(self, trial: _Trial, node: Address, member: Address, signed: SignedVerdict) -> None:
        """Keep a member's verdict when it is one. Raises RpcRefused."""
        refusal = judging.check_verdict(trial.challenge, signed, node, self._separator)
        if refusal is not None:
            raise RpcRefused(encode(refusal))
        first = trial.verdicts.get(member)
        if first is None:
            trial.verdicts[member] = signed
            trial.tell()
        elif first.verdict != signed.verdict:
            log.warning("two verdicts of one verifier", member="0x" + member.hex(), first=encode(first).hex())

    async def _on_verdict(self, caller: Address, body: bytes) -> bytes:
        try:
            signed = decode_strict(body, SignedVerdict)
        except ValueError as error:
            raise _refuse("malformed", f"the request is not a SignedVerdict: {str(error)[:200]}") from None
        trial = self._trials.get(signed.verdict.challenge_id)
        if trial is None:
            raise _refuse("challenge_unknown", "this node judges no such challenge, or not yet")
        member = trial.nodes.get(caller)
        if member is None:
            raise _refuse("not_on_panel", "only the challenge's verifiers exchange verdicts")
        self._take_in(trial, caller, member, signed)
        mine = trial.verdicts.get(self._me)
        if mine is None:
            raise _refuse("not_ready", "this verifier has not judged yet")
        return encode(mine)


def _make_answer(challenge_id: Hash32, task: DeviceTask, answer: message.AnsweredDevice) -> CapacityAnswer:
    return CapacityAnswer(challenge_id, task.device, task.n, task.seed, answer.root)


def _read_refusal(refused: RpcRefused) -> Refusal:
    try:
        return decode_strict(refused.body, Refusal)
    except ValueError:
        return Refusal("malformed_refusal", "the node's no cannot be read")


def _describe(error: Exception) -> str:
    return _read_refusal(error).code if isinstance(error, RpcRefused) else str(error)[:200]


def _refuse(code: str, detail: str) -> RpcRefused:
    return RpcRefused(encode(Refusal(code, detail)))
