"""A submitter that sends nothing does not hold capacity for long, and neither our absence nor a slow line is judged as that."""

from __future__ import annotations

import pytest

from metering.eip712 import keccak
from metering.units import NANOS_PER_SECOND, Hash32
from scheduler.job import Blob, InputFile
from tests.make.records import LEASE_ID
from tests.make.values import address_of, make_job
from tests.xnode.effects.rig import SLOT, Rig
from xnode.effects.patience import LEAST_BYTES, MAX_LEASES, PATIENCE_NS, STEP_NS, Patience
from xnode.errors import Permanent, Retryable
from xnode.node import effects

SECOND = NANOS_PER_SECOND
JOB = make_job(inputs=(InputFile("data.txt", Blob(keccak(b"never"), 100)),))
FETCH = effects.FetchInputs(LEASE_ID, address_of(0), (), JOB, *SLOT)


def test_a_submitter_that_is_away_holds_a_lease_no_longer_than_a_while() -> None:
    rig = Rig(1)
    begun_ns = rig.clockwork.now_ns
    with pytest.raises(Permanent) as failed:
        while rig.clockwork.now_ns < begun_ns + 2 * PATIENCE_NS:
            with pytest.raises(Retryable):
                rig.perform(FETCH)
            rig.clockwork.run_until(lambda: False, rig.clockwork.now_ns + 5 * SECOND)
    assert failed.value.reason_code == "input"
    assert PATIENCE_NS <= rig.clockwork.now_ns - begun_ns <= PATIENCE_NS + 30 * SECOND


def test_an_absence_of_our_own_counts_as_one_try() -> None:
    patience = Patience()
    patience.begin(LEASE_ID, 0)
    assert not patience.has_ended(LEASE_ID, 3600 * SECOND)
    patience.begin(LEASE_ID, 3600 * SECOND)
    assert not patience.has_ended(LEASE_ID, 7200 * SECOND)
    assert not patience.has_ended(LEASE_ID, 0), "nor does a clock that steps back"
    assert patience.has_ended(LEASE_ID, STEP_NS)


def test_who_sends_on_is_waited_for_and_who_drips_is_not() -> None:
    for step, has_ended in ((LEAST_BYTES, False), (100, True)):
        patience, here = Patience(), 0
        patience.begin(LEASE_ID, 0)
        ends = []
        for minute in range(1, 20):
            here += step
            patience.reach(LEASE_ID, here)
            ends.append(patience.has_ended(LEASE_ID, minute * 60 * SECOND))
        assert any(ends) == has_ended


def test_leases_that_are_remembered_are_bounded() -> None:
    patience = Patience()
    for number in range(MAX_LEASES + 5):
        patience.begin(Hash32(number.to_bytes(32, "big")), 0)
    assert len(patience._leases) == MAX_LEASES
