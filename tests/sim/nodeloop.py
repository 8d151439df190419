"""NodeLoop: xnode.loop's rules in virtual time: group commit, lanes, versions, retries, deadlines, replies after the commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from metering.units import NANOS_PER_SECOND
from tests.sim.clockwork import Future, Task
from tests.sim.disk import Disk
from tests.sim.hostclock import HostClock
from xnode.errors import Permanent, Retryable
from xnode.loop import RETRY
from xnode.milestones import log_milestones
from xnode.node import effects
from xnode.node.changes import Change, EffectFailed, Entry, Woke
from xnode.node.state import State, Turn, make_state
from xnode.node.step import step
from xnode.store.journal import Batch


class Host(Protocol):
    """The machine a loop runs on: time, entropy, fault points, its disk's pace, and tasks that die with it."""

    clock: HostClock
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


class NodeLoop:
    """One life of one node; a crash throws it away and the next life loads the disk."""

    def __init__(self, host: Host, perform: Callable[[effects.DurableEffect], Awaitable[Change]]) -> None:
        self._host, self._perform = host, perform
        self._inbox: deque[tuple[Change, tuple[str, int] | None]] = deque()
        self._is_busy = False
        self._pending: dict[str, tuple[int, effects.DurableEffect]] = {}
        self._lanes: dict[str, _Lane] = {}
        self._asking: dict[str, Future[effects.Reply]] = {}
        self._asked = 0
        loaded = host.disk.load()
        self._seq = loaded.seq
        self.state: State = make_state(loaded.records)
        for record in loaded.records:
            self._set_alarm(record)
        for version, effect in loaded.effects:
            self._take_effect(version, effect)

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

    async def _work(self) -> None:
        while self._inbox:
            waiting, self._inbox = self._inbox, deque()
            await self._take_batch(waiting)
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
            self._take_effect(version, effect)
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
        self._host.on_commit(batch)
        for name in names:
            self._host.reach(f"after_commit:{name}")

    # --------------------------------------------------------------------------------------------------------- effects

    def _take_effect(self, version: int, effect: effects.DurableEffect) -> None:
        self._pending[effect.id] = (version, effect)
        lane = self._lanes.setdefault(effect.lane, _Lane())
        if effect.id not in lane.waiting:
            lane.waiting.append(effect.id)
        if not lane.working:
            lane.working = True
            self._host.spawn(self._work_lane(effect.lane, lane))

    async def _work_lane(self, name: str, lane: _Lane) -> None:
        while lane.waiting:
            effect_id = lane.waiting.popleft()
            version, effect = self._pending[effect_id]
            change = await self._do(version, effect)
            newest, _ = self._pending.get(effect_id, (version, effect))
            if newest == version:
                self._pending.pop(effect_id, None)
            if change is not None:
                self.tell(change, (effect_id, version))
        lane.working = False
        if self._lanes.get(name) is lane:
            del self._lanes[name]

    async def _do(self, version: int, effect: effects.DurableEffect) -> Change | None:
        name = type(effect).__name__
        for pause_s in RETRY.pauses():
            if self._pending[effect.id][0] != version:
                return None
            self._host.reach(f"before_effect:{name}")
            failure = "not done in time"
            try:
                change = await self._within(effect)
                if change is not None:
                    self._host.reach(f"after_effect:{name}")
                    return change
            except Permanent as error:
                return EffectFailed(effect, error.reason_code, str(error))
            except Retryable as error:
                failure = str(error)
            if self._time_left(effect) == 0:
                return EffectFailed(effect, "deadline", failure)
            left_ns = self._time_left(effect)
            pause_ns = round(pause_s * NANOS_PER_SECOND)
            await self._host.clock.sleep(pause_ns if left_ns is None else min(pause_ns, left_ns))
        raise AssertionError("pauses have no end")

    async def _within(self, effect: effects.DurableEffect) -> Change | None:
        """What performing it gives; None when its deadline came first."""
        task = self._host.spawn(self._perform(effect))  # type: ignore[arg-type]
        left_ns = self._time_left(effect)
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

    def _time_left(self, effect: effects.DurableEffect) -> int | None:
        return max(0, effect.deadline_ns - self._host.clock.now_ns) if effect.deadline_ns else None

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
