"""The loop: change -> step -> journal -> effects -> results as changes. It decides nothing and waits only for the disk."""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

import msgspec
import structlog
import trio

from metering.bounds import MAX_CODE_CHARS, MAX_DETAIL_CHARS, cut
from metering.refusal import Refusal
from xnode.backoff import Backoff
from xnode.errors import Permanent, Retryable, describe_os_error
from xnode.faultpoint import reach
from xnode.logs import log_context
from xnode.milestones import log_milestones
from xnode.node import effects
from xnode.node.changes import Change, EffectFailed, Entry, NodeResumed, NodeStarted, Woke
from xnode.node.state import State, make_state
from xnode.node.step import step
from xnode.node.subject import subject_of
from xnode.outage import Outage
from xnode.ports.clock import Clock
from xnode.presence import PACE_S, Presence
from xnode.repeated_event import RepeatedEvent
from xnode.store.held import NotHeld
from xnode.store.journal import Batch, Journal

if TYPE_CHECKING:
    from trio_typing import TaskStatus

INBOX_MAX = 10_000
"""Changes waiting at most; a caller that brings more waits in line, which slows strangers down before it fills memory."""

BATCH_MAX = 2_000
"""Changes in one commit: enough to fill the disk's pace, few enough that the first does not wait for long."""

ALARMS_MAX = 2_000
"""Alarms at hand before those that are out of date are taken away: an alarm is set anew with each receipt."""

RETRY = Backoff(first_s=0.1, most_s=5.0)
"""Between tries of an effect, and of a commit: most faults pass at once, and none is left alone for long."""

Perform = Callable[[effects.DurableEffect], Awaitable[Change]]
"""Does one effect and gives the change that reports it. Raises Retryable or Permanent."""

MAX_REDOS = 3
"""How often an effect is done again whose result could not be taken in, before it counts as failed."""

WAKE_AGAIN_NS = 10_000_000_000
"""Until an alarm rings again whose record could not be stepped."""

SAY_AGAIN_S = 60.0
"""Between two log lines about changes of one kind that cannot be taken in: a stranger may send thousands a second."""

BEAT: tuple[Change, None] = (NodeResumed(0), None)
"""What only wakes the loop; it is never journalled."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Question:
    """A caller that waits for a durable answer."""

    answered: trio.Event = field(default_factory=trio.Event)
    reply: effects.Reply | None = None


@dataclass(slots=True)
class _Pending:
    """An effect under way. away_ns: our absences before it was taken; later ones are not counted against it; redone: how
    often its result could not be taken in, which is why it waits a moment first."""

    version: int
    effect: effects.DurableEffect
    away_ns: int
    redone: int = 0

    @property
    def done(self) -> tuple[str, int]:
        """What its result takes off the list."""
        return self.effect.id, self.version


@dataclass(slots=True)
class _Lane:
    """Effects that must be done one after the other."""

    waiting: deque[str] = field(default_factory=deque)
    working: bool = False


class Loop:
    """One node's loop. `state` is what is durable; everything else is on its way."""

    def __init__(self, journal: Journal, clock: Clock, perform: Perform) -> None:
        self._journal = journal
        self._clock = clock
        self._perform = perform
        self._send, self._receive = trio.open_memory_channel[tuple[Change, _Pending | None]](INBOX_MAX)
        self._seq = 0
        self._pending: dict[str, _Pending] = {}
        self._listed: dict[str, int] = {}
        self._say_at: dict[str, float] = {}
        self._outages: dict[str, Outage] = {}
        self._stuck = Outage("writing the journal")
        self._presence = Presence(clock.now_ns())
        self._lanes: dict[str, _Lane] = {}
        self._asking: dict[str, _Question] = {}
        self._asked = 0
        self._alarms: list[tuple[int, str, bytes]] = []
        self._alarms_max = ALARMS_MAX
        self._alarm_set = RepeatedEvent()
        self._changed = RepeatedEvent()
        self.state = State()
        self.commits = 0
        self.entries = 0
        self.left_out = 0
        """Changes that could not be taken in: a bug, or what the store cannot hold."""

    # -------------------------------------------------------------------------------------------------- for the daemon

    async def run(
        self, start: NodeStarted | None = None, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Load, resume what was under way, and work until cancelled.

        start: the first change, durable before an alarm rings or an effect's result is taken: what was due while we were
        away is judged by none of them.
        """
        loaded = await self._journal.load()
        self._seq = loaded.seq
        self.state = make_state(loaded.records)
        now_ns = self._clock.now_ns()
        away_ns = now_ns - loaded.last_at_ns if loaded.last_at_ns else 0
        self._presence = Presence(now_ns, away_ns)
        for record in loaded.records:
            self._set_alarm(record)
        async with trio.open_nursery() as nursery:
            if start is not None:
                self._send.send_nowait((msgspec.structs.replace(start, away_ns=away_ns), None))
            for version, effect in loaded.effects:
                self._take_effect(nursery, _Pending(version, effect, away_ns=0))
            if start is not None:
                await self._take_batch(nursery)
            nursery.start_soon(self._ring_alarms)
            nursery.start_soon(self._beat)
            task_status.started()
            while True:
                await self._take_batch(nursery)

    @property
    def problem(self) -> str:
        """Why nothing is journalled, and so acknowledged, now; "" when all is well."""
        return self._stuck.reason

    def trouble_of(self, effect_id: str) -> str:
        """Why an effect could not be done so far, "" when it has not failed."""
        outage = self._outages.get(effect_id)
        return outage.reason if outage is not None else ""

    async def tell(self, change: Change) -> None:
        """Bring a change; returns when it is in line, not when it is durable."""
        await self._send.send((change, None))

    async def ask(self, make_change: Callable[[str], Change], deadline_ns: int) -> effects.Reply:
        """Bring a change that will be answered, and wait for the answer (durable before it is given).

        Raises Retryable when the deadline passes.
        """
        self._asked += 1
        reply_to = f"{self._asked}:{os.getpid()}"
        question = self._asking[reply_to] = _Question()
        try:
            with trio.move_on_after(max(0, deadline_ns - self._clock.now_ns()) / 1e9):
                await self._put_in_line(make_change(reply_to))
                await question.answered.wait()
        finally:
            self._asking.pop(reply_to, None)
        if question.reply is None:
            raise Retryable("the node did not answer in time")
        return question.reply

    async def _put_in_line(self, change: Change) -> None:
        try:
            # The caller is about to wait anyway: no need to let the others run first.
            self._send.send_nowait((change, None))
        except trio.WouldBlock:
            await self._send.send((change, None))

    async def wait_change(self) -> None:
        """Returns after the next commit."""
        await self._changed.wait()

    def next_change(self) -> trio.Event:
        """Is set by the next commit. Taken before the state is read, it misses none, whatever is awaited in between."""
        return self._changed.next()

    # ------------------------------------------------------------------------------------------------------- one batch

    async def _take_batch(self, nursery: trio.Nursery) -> None:
        waiting = [await self._receive.receive()]
        while len(waiting) < BATCH_MAX:
            try:
                waiting.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                break
        waiting = [one for one in waiting if one is not BEAT]
        gap_ns = self._presence.look(self._clock.now_ns())
        if gap_ns:
            # Before what waits, whichever came first: an alarm that rang is no proof that the other side was silent.
            waiting.insert(0, (NodeResumed(gap_ns), None))
        if not waiting:
            return
        batch = Batch()
        replies: list[effects.Reply] = []
        state = self.state
        for change, result_of in waiting:
            state, answers = self._take(nursery, batch, state, change, result_of)
            replies += answers
        if batch:
            await self._commit(batch)
        log_milestones(self.state, [record for record, _ in batch.records.values()])
        self.state = state
        self._follow(nursery, batch, replies)

    def _follow(self, nursery: trio.Nursery, batch: Batch, replies: list[effects.Reply]) -> None:
        """Do what the batch asks for, now that it is durable."""
        for effect_id, version in batch.done:
            if self._listed.get(effect_id) == version:
                del self._listed[effect_id]
        for version, effect in batch.effects.values():
            away_ns = self._presence.away_ns(self._clock.now_ns())
            self._take_effect(nursery, _Pending(version, effect, away_ns))
        for reply in replies:
            self._answer(reply)
        for record, is_live in batch.records.values():
            if is_live:
                self._set_alarm(record)
        self._changed.set()

    def _take(
        self, nursery: trio.Nursery, batch: Batch, state: State, change: Change, result_of: _Pending | None
    ) -> tuple[State, list[effects.Reply]]:
        """The state after the change and the replies that are due. What cannot be taken in leaves no trace in the batch."""
        entry = Entry(self._clock.now_ns(), os.urandom(32), change, result_of.done if result_of else None)
        try:
            turn = step(state, entry)
            self._seq, answers = batch.add(self._seq, entry, turn)
            return turn.state, answers
        except Exception as error:
            # A bug, and maybe one that a stranger has found: it costs this one change, and not every lease of the node.
            if isinstance(change, NodeStarted):
                raise
            self._note_left_out(change, error)
            self._answer_left_out(change, error)
        if result_of is None:
            if isinstance(change, Woke):
                # Without its alarm a record would sleep until our next start.
                self._ring_at(self._clock.now_ns() + WAKE_AGAIN_NS, change.kind, change.key)
        elif result_of.redone >= MAX_REDOS and not isinstance(change, EffectFailed):
            failed = EffectFailed(result_of.effect, "internal", "what came of it cannot be taken in")
            return self._take(nursery, batch, state, failed, result_of)
        elif self._listed.get(result_of.effect.id) == result_of.version and result_of.effect.id not in self._pending:
            self._take_effect(nursery, replace(result_of, redone=result_of.redone + 1))
        return state, []

    def _note_left_out(self, change: Change, error: Exception) -> None:
        self.left_out += 1
        name, now = type(change).__name__, trio.current_time()
        if now >= self._say_at.get(name, -inf):
            self._say_at[name] = now + SAY_AGAIN_S
            trace = None if isinstance(error, NotHeld) else error
            reason = str(error)[:500]
            log.error("a change is left out", change=name, reason=reason, left_out=self.left_out, exc_info=trace)

    def _answer_left_out(self, change: Change, error: Exception) -> None:
        """Who asked for what cannot be kept would only ask again; what a bug did to a question says nothing about it."""
        reply_to = getattr(change, "reply_to", "")
        if reply_to and isinstance(error, NotHeld):
            self._answer(effects.ReplyRefusal(reply_to, Refusal("not_kept", str(error))))

    async def _commit(self, batch: Batch) -> None:
        names = [type(entry.change).__name__ for _, entry in batch.entries]
        for name in names:
            reach(f"before_commit:{name}")
        for pause_s in RETRY.pauses():
            try:
                await self._journal.commit(batch)
                break
            except Retryable as error:
                # Nothing was acknowledged and nothing done, so waiting for the disk loses nothing.
                self._stuck.failed(str(error))
            await trio.sleep(pause_s)
        self._stuck.over()
        self.commits += 1
        self.entries += len(names)
        for name in names:
            reach(f"after_commit:{name}")

    def _answer(self, reply: effects.Reply) -> None:
        question = self._asking.get(reply.reply_to)
        # Answered already, or gone: an answer is never owed twice.
        if question is not None and question.reply is None:
            question.reply = reply
            question.answered.set()

    # --------------------------------------------------------------------------------------------------------- effects

    def _take_effect(self, nursery: trio.Nursery, pending: _Pending) -> None:
        effect = pending.effect
        self._pending[effect.id] = pending
        self._listed[effect.id] = pending.version
        lane = self._lanes.setdefault(effect.lane, _Lane())
        if effect.id not in lane.waiting:
            lane.waiting.append(effect.id)
        if not lane.working:
            lane.working = True
            nursery.start_soon(self._work_lane, effect.lane, lane)

    async def _work_lane(self, name: str, lane: _Lane) -> None:
        while lane.waiting:
            effect_id = lane.waiting.popleft()
            pending = self._pending[effect_id]
            subject = subject_of(self.state, pending.effect)
            with log_context(job=subject.job_hash, lease=subject.lease_id, escrow=subject.escrow_id):
                change = await self._do(pending)
            if self._pending.get(effect_id) is pending:
                self._pending.pop(effect_id, None)
            if change is None:
                continue
            await self._send.send((change, pending))
        lane.working = False
        if self._lanes.get(name) is lane:
            del self._lanes[name]

    async def _do(self, pending: _Pending) -> Change | None:
        """The change that reports how it went; None when a newer effect has taken this one's place."""
        effect = pending.effect
        name, failure = type(effect).__name__, ""
        # By id: receipts that wait for a peer that is away are a new effect every interval, and one trouble.
        outage = self._outages.setdefault(effect.id, Outage(f"effect {name}", id=effect.id))
        if pending.redone:
            await trio.sleep(next(islice(RETRY.pauses(), min(pending.redone, 8) - 1, None)))
        for pause_s in RETRY.pauses():
            if self._pending[effect.id] is not pending:
                return None
            reach(f"before_effect:{name}")
            try:
                with trio.move_on_after(self._time_left(pending)):
                    change = await self._perform(effect)
                    reach(f"after_effect:{name}")
                    outage.over()
                    self._outages.pop(effect.id, None)
                    return change
            except Permanent as error:
                self._outages.pop(effect.id, None)
                return _make_failed(effect, error.reason_code, str(error))
            except Retryable as error:
                failure = str(error)
            except OSError as error:
                # The disk is full or failing: no bug, and it may be well again.
                failure = describe_os_error(error)
            except Exception as error:
                # The supervisor's edge: a bug in one adapter must stop one effect, not every lease of the node.
                log.exception("an effect hit a bug", effect=name, id=effect.id)
                failure = f"internal error: {type(error).__name__}"
            if self._time_left(pending) <= 0:
                # The last try was cut off or never made: why the one before it failed says more.
                self._outages.pop(effect.id, None)
                return _make_failed(effect, "deadline", failure or "not done in time")
            outage.failed(failure)
            await trio.sleep(min(pause_s, self._time_left(pending)))
        raise AssertionError("pauses have no end")

    def _time_left(self, pending: _Pending) -> float:
        """Seconds of our own presence: what the other side answered while we were away was not heard."""
        if not pending.effect.deadline_ns:
            return inf
        now_ns = self._clock.now_ns()
        present_ns = now_ns - (self._presence.away_ns(now_ns) - pending.away_ns)
        # Never below zero: trio takes no negative times, and a deadline may pass between any two lines.
        return max(0.0, (pending.effect.deadline_ns - present_ns) / 1e9)

    async def _beat(self) -> None:
        """Have the loop look at the clock, also while nothing else happens. It goes through the line, so that a loop that
        waits for its disk is away as well."""
        while True:
            with suppress(trio.WouldBlock):
                self._send.send_nowait(BEAT)
            await trio.sleep(PACE_S)

    # ---------------------------------------------------------------------------------------------------------- alarms

    def _set_alarm(self, record: object) -> None:
        wake_at_ns = getattr(record, "wake_at_ns", None)
        if wake_at_ns is not None:
            self._ring_at(wake_at_ns, str(record.__struct_config__.tag), record.key)  # type: ignore[attr-defined]

    def _ring_at(self, wake_at_ns: int, kind: str, key: bytes) -> None:
        heapq.heappush(self._alarms, (wake_at_ns, kind, key))
        if len(self._alarms) > self._alarms_max:
            self._drop_late_news()
        self._alarm_set.set()

    def _drop_late_news(self) -> None:
        """Alarms of records that have changed or left since would only ring for nothing, some of them in a day."""
        due = {
            (wake_at_ns, str(one.__struct_config__.tag), one.key)
            for one in self.state.records()
            if (wake_at_ns := getattr(one, "wake_at_ns", None)) is not None
        }
        self._alarms = sorted(due.intersection(self._alarms))
        self._alarms_max = max(ALARMS_MAX, 2 * len(self._alarms))

    async def _ring_alarms(self) -> None:
        while True:
            alarm_set = self._alarm_set.next()
            while self._alarms and self._alarms[0][0] <= self._clock.now_ns():
                _, kind, key = heapq.heappop(self._alarms)
                await self._send.send((Woke(kind, key), None))
            with trio.move_on_after(self._time_to_alarm()):
                await alarm_set.wait()

    def _time_to_alarm(self) -> float:
        return max(0.0, (self._alarms[0][0] - self._clock.now_ns()) / 1e9) if self._alarms else inf


def _make_failed(effect: effects.DurableEffect, code: str, detail: str) -> EffectFailed:
    # What it says may be a program's or a peer's, as long as it likes.
    return EffectFailed(effect, cut(code, MAX_CODE_CHARS), cut(detail, MAX_DETAIL_CHARS))
