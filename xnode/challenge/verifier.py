"""Capacity verifier: judges other providers' hardware when it is drawn: takes the time, draws entropy, signs once."""

from __future__ import annotations

import os
from typing import NamedTuple

import structlog
import trio

from metering.capacity import SignedVerdict, Verdict, answers_hash_of
from metering.codec import decode, encode
from metering.eip712 import Domain
from metering.units import NANOS_PER_SECOND, ZERO_HASH, Address, Hash32
from xnode.capacity import judging, message
from xnode.challenge.evidence import EvidenceKeeper
from xnode.challenge.exchange import Exchange
from xnode.challenge.inquiry import Inquiry
from xnode.challenge.trial import LOOK_S, Caller, Trial
from xnode.errors import Permanent, Retryable, real_error_of
from xnode.faultpoint import reach
from xnode.logs import log_id_of
from xnode.ports.capacity import CapacityChain, Challenge
from xnode.ports.clock import Clock
from xnode.ports.net import Net, RpcHandler
from xnode.ports.store import Promises
from xnode.ports.wallet import Signer

DRAW_STEP_S = 4.0
DRAW_STEP_BLOCKS = 2
"""How long, at least, each wave of verifiers leaves the draw to the one before it: what comes too late costs gas."""

log = structlog.get_logger()


class _Turn(NamedTuple):
    """When a verifier draws a challenge that nobody has drawn: by dice of its own, for whatever order others could work out,
    the one who requests could choose. due_ns: since when it may be drawn."""

    wave: int
    due_ns: int

    def has_come(self, now_ns: int, blocks: int) -> bool:
        """blocks: that came since it may be drawn."""
        waited_s = (now_ns - self.due_ns) / NANOS_PER_SECOND
        return waited_s >= DRAW_STEP_S * self.wave and blocks >= DRAW_STEP_BLOCKS * self.wave


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
        domain: Domain,
    ) -> None:
        """me: our provider's address; signer: in the domain, CapacityRegistry's."""
        self._me, self._chain, self._promises = me, chain, promises
        self._signer, self._clock = signer, clock
        caller, self.documents = Caller(net, clock), EvidenceKeeper(promises, domain)
        self._inquiry = Inquiry(caller, promises, self.documents, clock, domain.separator())
        self._exchange = Exchange(me, chain, caller, self.documents, domain.separator())

    def methods(self) -> dict[str, RpcHandler]:
        """RPC methods by name."""
        return {message.VERDICT: self._exchange.on_verdict}

    async def take_up(self, challenge_id: Hash32) -> None:
        """Judge the challenge when we are drawn for it; returns when it is over. Raises Retryable, Permanent: try again."""
        trial = await self._wait_drawn(challenge_id)
        if trial is None:
            return
        self._exchange.trials[challenge_id] = trial
        log.info("drawn to verify", challenge=log_id_of(challenge_id), provider="0x" + trial.challenge.provider.hex())
        try:
            signed = await self._find_verdict(trial) or await self._judge(trial)
            if signed is not None:
                trial.verdicts[self._me] = signed
                trial.changed.set()
            await self._exchange.settle(trial)
        finally:
            del self._exchange.trials[challenge_id]

    # --------------------------------------------------------------------------------------------------------- the draw

    async def _wait_drawn(self, challenge_id: Hash32) -> Trial | None:
        """The challenge as drawn; None when it is over, or others judge it. Draws it when that is our turn.

        We look on meanwhile: a draw is answered within minutes, and confirmed later than that.
        """
        try:
            async with trio.open_nursery() as drawing:
                trial = await self._look_for_draw(challenge_id, drawing)
                drawing.cancel_scope.cancel()
        except ExceptionGroup as group:
            raise real_error_of(group) from group
        return trial

    async def _look_for_draw(self, challenge_id: Hash32, drawing: trio.Nursery) -> Trial | None:
        watched_ns = self._clock.now_ns()
        turn: _Turn | None = None
        while True:
            challenge = await self._chain.read_challenge(challenge_id)
            if challenge.stage == "drawn":
                return await self._open_trial(challenge, watched_ns) if self._me in challenge.panel else None
            if challenge.stage != "requested":
                return None
            head = await self._chain.read_head()
            if head.number >= challenge.draw_block:
                turn = turn or await self._choose_turn()
                if turn.has_come(self._clock.now_ns(), head.number - challenge.draw_block) and not drawing.child_tasks:
                    drawing.start_soon(self._draw, challenge, head.number == challenge.draw_block)
            await trio.sleep(LOOK_S)

    async def _choose_turn(self) -> _Turn:
        count = len(await self._chain.list_verifiers())
        return _Turn(judging.find_wave(int.from_bytes(os.urandom(8), "big") % max(1, count)), self._clock.now_ns())

    async def _draw(self, challenge: Challenge, at_once: bool) -> None:
        try:
            await self._chain.draw(challenge.challenge_id, at_once=at_once)
        except (Retryable, Permanent) as error:
            log.info("not drawn yet", challenge=log_id_of(challenge.challenge_id), reason=str(error))

    async def _keep_sight(self, challenge: Challenge, seen_ns: int) -> int:
        """When we first saw the draw, over all our lives. Drawn again after a reorganisation, it is another."""
        subject = challenge.challenge_id + challenge.seed
        kept = await self._promises.keep("CapacitySight", subject, seen_ns.to_bytes(8, "big"))
        return int.from_bytes(kept, "big")

    async def _open_trial(self, challenge: Challenge, watched_ns: int) -> Trial:
        head, now_ns = await self._chain.read_head(), self._clock.now_ns()
        late_s = head.time - challenge.drawn_at
        seen_ns = await self._keep_sight(challenge, judging.find_seen_ns(now_ns, late_s))
        nodes = await self._chain.list_nodes((challenge.provider, *challenge.panel))
        members = dict(zip(nodes[1:], challenge.panel, strict=True))
        deadline_ns = now_ns + (challenge.deadline - head.time) * NANOS_PER_SECOND
        return Trial(challenge, nodes[0], members, seen_ns, max(watched_ns, seen_ns), deadline_ns)

    # ------------------------------------------------------------------------------------------------------ the judgement

    async def _find_verdict(self, trial: Trial) -> SignedVerdict | None:
        """The verdict that an earlier life promised, signed again to the same bytes."""
        kept = await self._promises.find("Verdict", trial.challenge_id)
        return self._sign(decode(kept, Verdict)) if kept is not None else None

    async def _judge(self, trial: Trial) -> SignedVerdict | None:
        """Our verdict; None when we abstain."""
        received = await self._inquiry.collect_answers(trial)
        if received is None:
            log.info("abstained: was away for the answers", challenge=log_id_of(trial.challenge_id))
            return None
        if not received:
            return await self._give_verdict(trial, (), ZERO_HASH)
        roots = trial.roots = tuple(device.root for answers in received for device in answers.devices)
        entropy = await self._promises.keep("CapacityEntropy", trial.challenge_id, os.urandom(64))
        vector_seed, opening_seed = Hash32(entropy[:32]), Hash32(entropy[32:])
        fault = await self._inquiry.check_devices(trial, received, vector_seed, opening_seed)
        if fault is not None:
            log.warning("capacity not verified", challenge=log_id_of(trial.challenge_id), reason=str(fault))
        # The verifiers that fail a provider agree on that alone: what each of them saw is its own.
        return await self._give_verdict(trial, () if fault else roots, opening_seed)

    async def _give_verdict(
        self, trial: Trial, roots: tuple[Hash32, ...], opening_seed: Hash32
    ) -> SignedVerdict | None:
        """Passed when there are roots. Signed only once the draw is final, and nothing else was promised."""
        while (challenge := await self._chain.read_challenge(trial.challenge_id, confirmed=True)).stage != "drawn":
            if self._clock.now_ns() > trial.deadline_ns:
                return None
            await trio.sleep(LOOK_S)
        if challenge.seed != trial.challenge.seed:
            raise Retryable("the chain was reorganised: the challenge has another seed")
        verdict = Verdict(trial.challenge_id, answers_hash_of(roots), bool(roots), opening_seed)
        reach("verdict_before_promise")
        await self._promises.promise("Verdict", trial.challenge_id, encode(verdict))
        reach("verdict_promised")
        return self._sign(verdict)

    def _sign(self, verdict: Verdict) -> SignedVerdict:
        """Only what is promised comes here."""
        log.info("verdict", challenge=log_id_of(verdict.challenge_id), passed=verdict.passed)
        return SignedVerdict(verdict, self._signer.sign("Verdict", verdict))
