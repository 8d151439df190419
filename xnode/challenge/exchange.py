"""Capacity exchange: verdicts between the members of a panel, until a quorum's are on chain."""

from __future__ import annotations

import structlog
import trio

from metering.capacity import SignedVerdict, answers_hash_of
from metering.codec import decode_strict, encode
from metering.units import NANOS_PER_SECOND, Address, Hash32
from xnode.capacity import judging, message
from xnode.challenge.evidence import EvidenceKeeper
from xnode.challenge.trial import LOOK_S, Caller, Trial
from xnode.errors import Permanent, Retryable
from xnode.logs import log_id_of
from xnode.peers.answer import describe, read_request, refuse
from xnode.ports.capacity import CapacityChain
from xnode.ports.net import RpcRefused

RECORD_STEP_S = 4.0
"""How long each verifier leaves it to the one before it to hand the verdicts in: two blocks or so, and each that sends
needlessly pays for it."""

SHOW_S = 15
"""Before the deadline: our verdict is shown to the chain then, where no quorum has taken it up."""

SHOWN_FROM_MISSES = 4
"""Challenges in a row for which no verdict of ours came on chain; at eight a verifier may be struck off. Fewer are no harm, and
each transaction costs gas that no fee pays."""

VERDICT_WAIT_NS = 5 * NANOS_PER_SECOND
"""One exchange of verdicts."""

log = structlog.get_logger()


class Exchange:
    """One for the daemon. trials: those under way."""

    def __init__(
        self, me: Address, chain: CapacityChain, caller: Caller, documents: EvidenceKeeper, separator: Hash32
    ) -> None:
        """me: our provider's address; separator: of CapacityRegistry's domain."""
        self._me, self._chain, self._caller, self._documents = me, chain, caller, documents
        self._separator = separator
        self.trials: dict[Hash32, Trial] = {}

    async def settle(self, trial: Trial) -> None:
        """Exchange verdicts and hand in a quorum's, each in turn; returns when the challenge is over."""
        rank = judging.find_rank(trial.challenge_id, trial.challenge.panel, self._me)
        decided_at: float | None = None
        is_shown = False
        while True:
            await self._exchange(trial)
            chosen = judging.choose_verdicts(trial.challenge, trial.verdicts)
            if chosen is not None:
                decided_at = trio.current_time() if decided_at is None else decided_at
                if trio.current_time() - decided_at >= RECORD_STEP_S * rank:
                    await self._record(trial, chosen)
            challenge = await self._chain.read_challenge(trial.challenge_id)
            left_s = challenge.deadline - (await self._chain.read_head()).time
            is_decided = challenge.stage in ("passed", "failed")
            if not is_shown and left_s >= 0 and (is_decided or left_s <= SHOW_S):
                is_shown = await self._show(trial)
            if challenge.stage != "drawn" or left_s < 0:
                log.info("challenge is over", challenge=log_id_of(trial.challenge_id), stage=challenge.stage)
                return
            with trio.move_on_after(LOOK_S):
                await trial.changed.wait()

    async def _record(self, trial: Trial, chosen: tuple[tuple[Address, SignedVerdict], ...]) -> None:
        verdict = chosen[0][1].verdict
        roots = trial.roots if verdict.passed else ()
        if verdict.passed and answers_hash_of(roots) != verdict.answers_hash:
            # Who has not seen the answers, or saw others, leaves it to those who judged them.
            return
        try:
            await self._chain.record(trial.challenge_id, roots, chosen)
        except (Retryable, Permanent) as error:
            log.warning("verdicts not recorded", challenge=log_id_of(trial.challenge_id), reason=str(error))

    async def _show(self, trial: Trial) -> bool:
        """Show the chain our verdict where we have missed many, so that one who judges is not struck off for being slow. True
        when that is done, or not needed."""
        mine = trial.verdicts.get(self._me)
        try:
            if mine is None or await self._chain.count_misses(self._me) < SHOWN_FROM_MISSES:
                return True
            await self._chain.show(trial.challenge_id, self._me, mine)
        except (Retryable, Permanent) as error:
            log.warning("verdict not shown", challenge=log_id_of(trial.challenge_id), reason=str(error))
            return False
        return True

    async def _exchange(self, trial: Trial) -> None:
        """Send every other member our verdict, and take theirs."""
        mine = trial.verdicts.get(self._me)
        if mine is None:
            return
        async with trio.open_nursery() as nursery:
            for node, member in trial.nodes.items():
                if member not in trial.verdicts:
                    nursery.start_soon(self._exchange_with, trial, node, member, mine)

    async def _exchange_with(self, trial: Trial, node: Address, member: Address, mine: SignedVerdict) -> None:
        try:
            body = await self._caller.call(node, message.VERDICT, encode(mine), VERDICT_WAIT_NS)
            await self._take_in(trial, node, member, decode_strict(body, SignedVerdict))
        except (Retryable, Permanent, RpcRefused, ValueError) as error:
            log.debug("no verdict yet", member="0x" + member.hex(), reason=describe(error))

    async def _take_in(self, trial: Trial, node: Address, member: Address, signed: SignedVerdict) -> None:
        """Keep a member's verdict when it is one. Raises RpcRefused."""
        refusal = judging.check_verdict(trial.challenge, signed, node, self._separator)
        if refusal is not None:
            raise RpcRefused(encode(refusal))
        first = trial.verdicts.get(member)
        if first is None:
            trial.verdicts[member] = signed
            trial.changed.set()
        elif first.verdict != signed.verdict:
            log.warning("two verdicts of one verifier", member="0x" + member.hex())
            await self._documents.keep_verdict(first)
            await self._documents.keep_verdict(signed)

    async def on_verdict(self, caller: Address, body: bytes) -> bytes:
        """capacity.verdict: take a member's verdict, and answer with ours."""
        signed = read_request(body, SignedVerdict)
        trial = self.trials.get(signed.verdict.challenge_id)
        if trial is None:
            raise refuse("challenge_unknown", "this node judges no such challenge, or not yet")
        member = trial.nodes.get(caller)
        if member is None:
            raise refuse("not_on_panel", "only the challenge's verifiers exchange verdicts")
        await self._take_in(trial, caller, member, signed)
        mine = trial.verdicts.get(self._me)
        if mine is None:
            raise refuse("not_ready", "this verifier has not judged yet")
        return encode(mine)
