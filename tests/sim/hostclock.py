"""HostClock: one host's clock and the running of its node: it can be stepped, and the node can be paused under it."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.sim.clockwork import Clockwork, Future

Call = Callable[[], None]


class HostClock:
    """A node's view of time. now_ns is what its clock shows; what comes due in a pause waits for the end of the pause.

    Three kinds of waiting, as on a real host: `at` by what the clock shows (an alarm), `sleep` and `after` by time that
    passes whatever the clock shows (a timeout), `soon` for what arrives (a message, a task that may go on).
    """

    def __init__(self, clockwork: Clockwork, entropy: random.Random) -> None:
        self._clockwork, self._entropy = clockwork, entropy
        self.ahead_ns = 0
        self.is_paused = False
        self.pauses = 0
        self._alarms: dict[int, tuple[int, Call]] = {}
        self._alarms_set = 0
        self._timers: list[Call] = []
        self._arrivals: list[Call] = []
        self.left_ns: int | None = None
        """What the clock showed when an absence began that the node has not looked at yet."""
        self.on_return: Call | None = None
        """Called when the node is back from a pause, or its clock has jumped: what a beat would show it a moment later."""

    @property
    def now_ns(self) -> int:
        """What the host's clock shows."""
        return self._clockwork.now_ns + self.ahead_ns

    # --------------------------------------------------------------------------------------------------------- waiting

    def at(self, at_ns: int, call: Call) -> None:
        """Call this when the clock shows so much, never earlier."""
        self._alarms_set += 1
        number = self._alarms_set
        self._alarms[number] = (at_ns, call)
        self._clockwork.at(at_ns - self.ahead_ns, lambda: self._run_timer(lambda: self._ring(number)))

    def after(self, duration_ns: int, call: Call) -> None:
        """Call this when so much time has passed."""
        self._clockwork.at(self._clockwork.now_ns + max(0, duration_ns), lambda: self._run_timer(call))

    def sleep(self, duration_ns: int) -> Future[None]:
        """Known after this time."""
        future: Future[None] = Future()
        self.after(duration_ns, lambda: future.set(None))
        return future

    def soon(self, call: Call) -> None:
        """Call this once everything has happened that was due before, and the node runs."""
        self._clockwork.soon(lambda: self.arrive(call))

    def arrive(self, call: Call) -> None:
        """Something comes from outside: call this now, or when the node runs again."""
        if self.is_paused:
            self._arrivals.append(call)
        else:
            call()

    def _run_timer(self, call: Call) -> None:
        if self.is_paused:
            self._timers.append(call)
        else:
            call()

    def _ring(self, number: int) -> None:
        at_ns, call = self._alarms.pop(number, (0, None))
        if call is None:
            return
        if at_ns > self.now_ns:
            self.at(at_ns, call)
        else:
            call()

    # ---------------------------------------------------------------------------------------------------- what goes wrong

    def step(self, by_ns: int) -> None:
        """The clock jumps; alarms that it now shows as due ring, and what only waits for time to pass does not notice."""
        self._leave()
        self.ahead_ns += by_ns
        for number in [number for number, (at_ns, _) in self._alarms.items() if at_ns <= self.now_ns]:
            self._clockwork.soon(lambda number=number: self._run_timer(lambda: self._ring(number)))  # type: ignore[misc]
        self._return()

    def pause(self) -> None:
        """The node does not run from now on."""
        self._leave()
        self.is_paused = True
        self.pauses += 1

    def resume(self) -> None:
        """The node runs again: all that came due meanwhile comes at once, the timers or the messages first."""
        self.is_paused = False
        waiting = [self._timers, self._arrivals] if self._entropy.randrange(2) else [self._arrivals, self._timers]
        self._timers, self._arrivals = [], []
        for calls in waiting:
            for call in calls:
                self._clockwork.soon(lambda call=call: self.arrive(call))  # type: ignore[misc]
        self._return()

    def _leave(self) -> None:
        if self.left_ns is None:
            self.left_ns = self.now_ns

    def _return(self) -> None:
        if self.on_return is not None:
            self.soon(self.on_return)

    def forget(self) -> None:
        """The node has died: nothing of this life happens any more, and the next one is not paused."""
        self.is_paused, self.left_ns, self.on_return = False, None, None
        self._timers, self._arrivals, self._alarms = [], [], {}
