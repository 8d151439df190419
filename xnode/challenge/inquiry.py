"""Capacity inquiry: what a verifier asks of the challenged node: signed answers in time, then rows drawn by its entropy."""

from __future__ import annotations

import os
from functools import partial

import msgspec
import structlog
import trio

from metering.capacity import OPENED_ROWS, CapacityAnswer, SignedAnswer, find_opened_rows
from metering.codec import decode, decode_strict, encode
from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, Hash32
from xnode.capacity import judging, message
from xnode.capacity.judging import WrongElement
from xnode.capacity.message import AnswerQuery, Answers, OpenQuery, ProductQuery
from xnode.capacity.opened_row import OpenedRow
from xnode.capacity.products import DeviceTask, open_worker
from xnode.capacity.worker_request import ExpectedMade
from xnode.challenge.evidence import EvidenceKeeper
from xnode.challenge.trial import Caller, Trial
from xnode.errors import Permanent, Retryable
from xnode.faultpoint import reach
from xnode.logs import log_id_of
from xnode.peers.answer import describe, read_refusal
from xnode.ports.clock import Clock
from xnode.ports.net import RpcRefused
from xnode.ports.store import Promises

ASK_NS = 30 * NANOS_PER_SECOND
"""One request to the challenged node, which itself waits up to 20 s before it says that it is not ready."""

AGAIN_S = 0.3
"""Between tries at a node that broke off or is not ready."""

HAND_IN_S = 30.0
"""Before the deadline: for the verdicts to go around and into a block. At least a third of the time goes to proof."""

NICENESS = 10
"""Checking another host must not slow down the workloads of this one."""

MAX_CHECKS = 4
"""Devices checked at a time: a core each."""

_NEVER = "cannot_compute"
"""A node's own word that there will be no answers."""

_AGAIN = ("not_ready", "busy", "challenge_unknown")
"""Refusals that mean: later."""

log = structlog.get_logger()


class _Received(msgspec.Struct, frozen=True, array_like=True):
    """The signed answers of one declared class, and when they were here."""

    answered_ns: int
    answers: Answers


class Inquiry:
    """One for the daemon."""

    def __init__(
        self, caller: Caller, promises: Promises, documents: EvidenceKeeper, clock: Clock, separator: Hash32
    ) -> None:
        """separator: of CapacityRegistry's domain."""
        self._caller, self._promises, self._documents = caller, promises, documents
        self._clock, self._separator = clock, separator
        self._checks = trio.CapacityLimiter(min(MAX_CHECKS, max(1, (os.cpu_count() or 1) // 2)))

    # -------------------------------------------------------------------------------------------------------- the answers

    async def collect_answers(self, trial: Trial) -> tuple[Answers, ...] | None:
        """The answers of every declared class in order; empty when one came too late or never; None when we cannot tell."""
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

            for number in range(len(trial.challenge.declared)):
                nursery.start_soon(collect, number)
        if "late" in timings:
            return ()
        return None if "unknown" in timings else tuple(received[number] for number in sorted(received))

    async def _wait_answers(self, trial: Trial, number: int) -> tuple[judging.Timing, Answers | None]:
        limit_ns = trial.challenge.declared[number].time_limit_ms * 1_000_000
        subject = trial.challenge_id + number.to_bytes(4, "big")
        judge = partial(judging.judge_time, trial.seen_ns, trial.watched_ns)
        kept = await self._promises.find("CapacityReceived", subject)
        received = decode(kept, _Received) if kept is not None else None
        while received is None:
            timing = judge(None, limit_ns, self._clock.now_ns())
            if timing is not None:
                log.warning("no answers in time", challenge=log_id_of(trial.challenge_id), class_index=number)
                return timing, None
            answers = await self._ask_answers(trial, number)
            if isinstance(answers, Refusal):
                log.warning(
                    "no answers", challenge=log_id_of(trial.challenge_id), class_index=number, code=answers.code
                )
                return "late", None
            if answers is not None:
                fresh = _Received(self._clock.now_ns(), answers)
                received = decode(await self._promises.keep("CapacityReceived", subject, encode(fresh)), _Received)
                reach("answers_received")
        timing = judge(received.answered_ns, limit_ns, self._clock.now_ns())
        assert timing is not None
        took_ms = (received.answered_ns - trial.seen_ns) // 1_000_000
        log.info("answers", challenge=log_id_of(trial.challenge_id), class_index=number, took_ms=took_ms, timing=timing)
        return timing, received.answers

    async def _ask_answers(self, trial: Trial, number: int) -> Answers | Refusal | None:
        """The class's answers when they are there and signed; the refusal of a node that will have none; None to ask again."""
        query = encode(AnswerQuery(trial.challenge_id, number))
        try:
            body = await self._caller.call(trial.node, message.ANSWER, query, ASK_NS)
            answers = decode_strict(body, Answers)
        except (Retryable, Permanent, RpcRefused, ValueError) as error:
            if isinstance(error, RpcRefused) and (refusal := read_refusal(error)).code == _NEVER:
                return refusal
            # For any other reason: the node may recover within its time, and only the time counts here.
            log.debug("no answers yet", class_index=number, reason=describe(error))
            await trio.sleep(AGAIN_S)
            return None
        fault = judging.check_answers(trial.challenge, number, answers, trial.node, self._separator)
        if fault is not None:
            log.info("answers refused", class_index=number, code=fault.code)
            await trio.sleep(AGAIN_S)
            return None
        return answers

    # -------------------------------------------------------------------------------------------------------- the devices

    async def check_devices(
        self, trial: Trial, received: tuple[Answers, ...], vector_seed: Hash32, opening_seed: Hash32
    ) -> Refusal | None:
        """None when all devices' products are right as far as our entropy shows."""
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
        trial: Trial,
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
        trial: Trial,
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
        self, trial: Trial, task: DeviceTask, answer: message.AnsweredDevice, found: WrongElement
    ) -> None:
        signed = SignedAnswer(_make_answer(trial.challenge_id, task, answer), answer.signature)
        await self._documents.keep_answer(signed, found.proof)
        log.warning("a wrong element was signed", challenge=log_id_of(trial.challenge_id), device=task.device)

    async def _insist(self, trial: Trial, method: str, query: msgspec.Struct, until_ns: int) -> bytes | Refusal:
        """The node's answer, asked again and again until it gives one; the refusal, when the time is over or it refuses."""
        reason = "it did not answer"
        while self._clock.now_ns() < until_ns:
            try:
                return await self._caller.call(
                    trial.node, method, encode(query), min(ASK_NS, until_ns - self._clock.now_ns())
                )
            except Retryable as error:
                reason = str(error)
            except RpcRefused as refused:
                refusal = read_refusal(refused)
                if refusal.code not in _AGAIN:
                    return refusal
                reason = refusal.code
            except Permanent as error:
                return Refusal("protocol", str(error))
            await trio.sleep(AGAIN_S)
        return Refusal("not_shown", f"{method} was not answered in time: {reason}")


def _make_answer(challenge_id: Hash32, task: DeviceTask, answer: message.AnsweredDevice) -> CapacityAnswer:
    return CapacityAnswer(challenge_id, task.device, task.n, task.seed, answer.root)
