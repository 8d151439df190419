"""What is written for the questions of one payer has a limit over time, and no payer uses up what another has."""

from __future__ import annotations

from metering.units import NANOS_PER_SECOND
from tests.make.values import address_of
from xnode.peers.quota import BURST_BYTES, ENTRY_BYTES, MAX_PAYERS, RATE_BYTES, WriteQuota

LARGE = 64 << 10


def test_a_payer_has_no_more_written_than_its_burst_and_its_rate() -> None:
    quota, payer, written = WriteQuota(), address_of(1), 0
    for second in range(3600):
        while not quota.is_used_up(payer, second * NANOS_PER_SECOND):
            quota.note(payer, LARGE, second * NANOS_PER_SECOND)
            written += LARGE + ENTRY_BYTES
    assert 0.9 < written / (BURST_BYTES + 3600 * RATE_BYTES) < 1.1
    assert not quota.is_used_up(address_of(2), 0), "another payer has its own"


def test_a_clock_that_steps_back_gives_nothing_and_payers_are_forgotten_by_number() -> None:
    quota, payer = WriteQuota(), address_of(1)
    quota.note(payer, BURST_BYTES, 60 * NANOS_PER_SECOND)
    assert quota.is_used_up(payer, 0)
    for number in range(MAX_PAYERS + 1):
        quota.note(number.to_bytes(20, "big"), 1, 0)  # type: ignore[arg-type]
    assert len(quota._written) == MAX_PAYERS
