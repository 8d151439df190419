"""NodeLoop: xnode.loop's rules in virtual time: group commit, lanes, versions, retries, deadlines, replies after the commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from metering.units import NANOS_PER_SECOND
from tests.sim.clockwork import Future, Task
from tests.sim.disk import Disk
from tests.sim.hostclock import HostClock
from xnode.errors import Permanent, Retryable
from xnode.loop import RETRY
from xnode.milestones import log_milestones
from xnode.node import effects
from xnode.node.changes import Change, EffectFailed, Entry, NodeResumed, NodeStarted, Woke
from xnode.node.records import Record
from xnode.node.state import State, Turn, make_state
from xnode.node.step import step
from xnode.presence import Presence
from xnode.store.journal import Batch


class Host(Protocol):
    """The machine a loop runs on: time, entropy, fault points, its disk's pace, and tasks that die with it."""

    clock: HostClock
    impaired_at_ns: int
    disk: Disk

    def reach(self, name: str) -> None: ...

    def draw_entropy(self) -> bytes: ...

    def commit_ns(self) -> int: ...

    def spawn(self, coro: Coroutine[Any, None, Any]) -> Task[Any]: ...

    def on_turn(self, before: State, entry: Entry, turn: Turn) -> None: ...

    def on_commit(self, batch: Batch) -> None: ...


@dataclass(slots=True)
class _Lane:
    waiting: deque[str] = field(default_factory=deque)
    working: bool = False


@dataclass(slots=True, eq=False)
class _Pending:
    version: int
    effect: effects.DurableEffect
    away_ns: int


class _Presence(Presence):
    """Looked at as by a beat, without an event for each: a loop that only waits has seen the clock a moment ago."""

    def away_since(self, left_ns: int | None, now_ns: int) -> int:
        """As away_ns, of a loop that only waits and has been there until left_ns (None: until now)."""
        self._seen_ns = now_ns if left_ns is None else left_ns
        return self.away_ns(now_ns)


class NodeLoop:
    """One life of one node; a crash throws it away and the next life loads the disk."""

    def __init__(
        self, host: Host, perform: Callable[[effects.DurableEffect], Awaitable[Change]], start: NodeStarted
    ) -> None:
        self._host, self._perform = host, perform
        self._inbox: deque[tuple[Change, tuple[str, int] | None]] = deque()
        self._is_busy = False
        self._pending: dict[str, _Pending] = {}
        self._lanes: dict[str, _Lane] = {}
        self._asking: dict[str, Future[effects.Reply]] = {}
        self._asked = 0
        loaded = host.disk.load()
        self._seq = loaded.seq
        self.state: State = make_state(loaded.records)
        now_ns = host.clock.now_ns
        away_ns = now_ns - loaded.last_at_ns if loaded.last_at_ns else 0
        self._presence = _Presence(now_ns, away_ns)
        host.clock.on_return = self._beat
        self.tell(msgspec.structs.replace(start, away_ns=away_ns))
        for version, effect in loaded.effects:
            self._take_effect(version, effect, 0)
        self._loaded: tuple[Record, ...] = loaded.records

    @property
    def is_busy(self) -> bool:
        """True while a batch is on its way to the disk."""
        return self._is_busy

    def effects_under_way(self) -> tuple[effects.DurableEffect, ...]:
        """What has still to be done, or is being done."""
        return tuple(one.effect for one in self._pending.values())

    # ------------------------------------------------------------------------------------------------- what it is told

    def tell(self, change: Change, done: tuple[str, int] | None = None) -> None:
        """Bring a change."""
        self._inbox.append((change, done))
        if not self._is_busy:
            self._is_busy = True
            self._host.spawn(self._work())

    async def ask(self, make_change: Callable[[str], Change], deadline_ns: int) -> effects.Reply:
        """Bring a change that will be answered, and wait for the durable answer. Raises Retryable at the deadline."""
        self._asked += 1
        reply_to = str(self._asked)
        future = self._asking[reply_to] = Future()
        clock = self._host.clock
        late = Retryable("the node did not answer in time")
        clock.after(deadline_ns - clock.now_ns, lambda: future.fail(late))
        self.tell(make_change(reply_to))
        try:
            return await future
        finally:
            self._asking.pop(reply_to, None)

    # ------------------------------------------------------------------------------------------------------- one batch

    def _beat(self) -> None:
        if not self._is_busy:
            self._is_busy = True
            self._host.spawn(self._work())

    async def _work(self) -> None:
        self._away_since()
        while True:
            waiting, self._inbox = self._inbox, deque()
            gap_ns = self._presence.look(self._host.clock.now_ns)
            self._host.clock.left_ns = None
            if gap_ns:
                waiting.appendleft((NodeResumed(gap_ns), None))
            if not waiting:
                break
            await self._take_batch(waiting)
            for record in self._loaded:
                # Only now do they ring: see xnode.loop.
                self._set_alarm(record)
            self._loaded = ()
        self._is_busy = False

    async def _take_batch(self, waiting: deque[tuple[Change, tuple[str, int] | None]]) -> None:
        batch, state = Batch(), self.state
        replies: list[effects.Reply] = []
        for change, done in waiting:
            entry = Entry(self._host.clock.now_ns, self._host.draw_entropy(), change, done)
            turn = step(state, entry)
            self._host.on_turn(state, entry, turn)
            state = turn.state
            self._seq, answers = batch.add(self._seq, entry, turn)
            replies += answers
        if batch:
            await self._commit(batch)
        log_milestones(self.state, [record for record, _ in batch.records.values()])
        self.state = state
        for version, effect in batch.effects.values():
            self._take_effect(version, effect, self._away_ns())
        for reply in replies:
            asking = self._asking.get(reply.reply_to)
            if asking is not None:
                asking.set(reply)
        for record, is_live in batch.records.values():
            if is_live:
                self._set_alarm(record)

    async def _commit(self, batch: Batch) -> None:
        names = [type(entry.change).__name__ for _, entry in batch.entries]
        for name in names:
            self._host.reach(f"before_commit:{name}")
        for pause_s in RETRY.pauses():
            await self._host.clock.sleep(self._host.commit_ns())
            try:
                self._host.disk.commit(batch)
                break
            except Retryable:
                await self._host.clock.sleep(round(pause_s * NANOS_PER_SECOND))
                self._host.impaired_at_ns = self._host.clock.now_ns
        self._host.on_commit(batch)
        for name in names:
            self._host.reach(f"after_commit:{name}")

    # --------------------------------------------------------------------------------------------------------- effects

    def _take_effect(self, version: int, effect: effects.DurableEffect, away_ns: int) -> None:
        self._pending[effect.id] = _Pending(version, effect, away_ns)
        lane = self._lanes.setdefault(effect.lane, _Lane())
        if effect.id not in lane.waiting:
            lane.waiting.append(effect.id)
        if not lane.working:
            lane.working = True
            self._host.spawn(self._work_lane(effect.lane, lane))

    async def _work_lane(self, name: str, lane: _Lane) -> None:
        while lane.waiting:
            effect_id = lane.waiting.popleft()
            pending = self._pending[effect_id]
            change = await self._do(pending)
            if self._pending.get(effect_id) is pending:
                self._pending.pop(effect_id, None)
            if change is not None:
                self.tell(change, (effect_id, pending.version))
        lane.working = False
        if self._lanes.get(name) is lane:
            del self._lanes[name]

    async def _do(self, pending: _Pending) -> Change | None:
        effect = pending.effect
        name = type(effect).__name__
        for pause_s in RETRY.pauses():
            if self._pending[effect.id] is not pending:
                return None
            self._host.reach(f"before_effect:{name}")
            failure = "not done in time"
            try:
                change = await self._within(pending)
                if change is not None:
                    self._host.reach(f"after_effect:{name}")
                    return change
            except Permanent as error:
                return EffectFailed(effect, error.reason_code, str(error))
            except Retryable as error:
                failure = str(error)
            if self._time_left(pending) == 0:
                return EffectFailed(effect, "deadline", failure)
            left_ns = self._time_left(pending)
            pause_ns = round(pause_s * NANOS_PER_SECOND)
            await self._host.clock.sleep(pause_ns if left_ns is None else min(pause_ns, left_ns))
        raise AssertionError("pauses have no end")

    async def _within(self, pending: _Pending) -> Change | None:
        """What performing it gives; None when its deadline came first."""
        task = self._host.spawn(self._perform(pending.effect))  # type: ignore[arg-type]
        left_ns = self._time_left(pending)
        if left_ns is None:
            result: Change = await task.done
            return result
        ended: Future[None] = Future()
        task.done.on_done(lambda: ended.set(None))
        self._host.clock.after(left_ns, lambda: ended.set(None))
        await ended
        if task.done.is_done:
            return task.done.result()  # type: ignore[no-any-return]
        task.close()
        return None

    def _time_left(self, pending: _Pending) -> int | None:
        if not pending.effect.deadline_ns:
            return None
        present_ns = self._host.clock.now_ns - (self._away_ns() - pending.away_ns)
        return max(0, pending.effect.deadline_ns - present_ns)

    def _away_ns(self) -> int:
        return self._presence.away_ns(self._host.clock.now_ns) if self._is_busy else self._away_since()

    def _away_since(self) -> int:
        return self._presence.away_since(self._host.clock.left_ns, self._host.clock.now_ns)

    # ---------------------------------------------------------------------------------------------------------- alarms

    def _set_alarm(self, record: object) -> None:
        wake_at_ns = getattr(record, "wake_at_ns", None)
        if wake_at_ns is not None:
            woke = Woke(str(record.__struct_config__.tag), record.key)  # type: ignore[attr-defined]
            self._host.clock.at(wake_at_ns, lambda: self._ring(woke))

    def _ring(self, woke: Woke) -> None:
        if self._host_is_ours():
            self.tell(woke)

    def _host_is_ours(self) -> bool:
        return getattr(self._host, "loop", None) is self
