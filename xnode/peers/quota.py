"""Quota: how much of our disk the questions of one payer may take, over time: each quote is kept, with the job it is about."""

from __future__ import annotations

from collections import OrderedDict

from metering.units import NANOS_PER_SECOND, Address

RATE_BYTES = 4 << 10
"""In a second: some quotes for usual jobs. What is kept of a day of it is a few hundred megabytes."""

BURST_BYTES = 4 << 20
"""And so much at once: thousands of usual jobs, or some dozens of the largest."""

ENTRY_BYTES = 512
"""What is written beside the question itself."""

MAX_PAYERS = 10_000
"""Payers remembered; the longest silent goes first, and has its whole burst again."""


class WriteQuota:
    """A bucket of bytes for each payer. Pure: the time comes in, nanoseconds."""

    def __init__(self) -> None:
        self._written: OrderedDict[Address, tuple[int, float]] = OrderedDict()

    def is_used_up(self, payer: Address, now_ns: int) -> bool:
        """True when nothing more is to be written for it now."""
        return self._read(payer, now_ns) >= BURST_BYTES

    def note(self, payer: Address, size_bytes: int, now_ns: int) -> None:
        """So much was written for it."""
        self._written[payer] = now_ns, self._read(payer, now_ns) + size_bytes + ENTRY_BYTES
        self._written.move_to_end(payer)
        if len(self._written) > MAX_PAYERS:
            self._written.popitem(last=False)

    def _read(self, payer: Address, now_ns: int) -> float:
        then_ns, level = self._written.get(payer, (now_ns, 0.0))
        return max(0.0, level - RATE_BYTES * max(0, now_ns - then_ns) / NANOS_PER_SECOND)
