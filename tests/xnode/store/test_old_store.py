"""A store that an older version left opens: every record, effect and entry, and its open leases go on under their ids.

tests/fixtures/store/0.1.0.msgpack.gz: what the submitter's and the provider's disk held in the middle of their second
lease, as version 0.1.0 wrote it: [[record], [effect], [entry]] of each.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest

from metering.codec import decode
from metering.terms import lease_id_of
from metering.units import NANOS_PER_SECOND
from metering.usage import Counters
from tests.make.values import SEPARATOR
from xnode.node.changes import Entry, UsageRead
from xnode.node.effects import DurableEffect, PushReceipts
from xnode.node.provider.money import unpaid_at
from xnode.node.records import ProviderLease, Record, SubmitterLease
from xnode.node.state import Turn, make_state
from xnode.node.step import step

FILE = Path(__file__).parents[2] / "fixtures" / "store" / "0.1.0.msgpack.gz"
SUBMITTER, PROVIDER = msgspec.msgpack.decode(gzip.decompress(FILE.read_bytes()))


def read_records(disk: list[list[bytes]]) -> list[Any]:
    return [decode(value, Record) for value in disk[0]]  # type: ignore[arg-type]


@pytest.mark.parametrize("disk", [SUBMITTER, PROVIDER], ids=["submitter", "provider"])
def test_everything_in_a_store_of_0_1_0_is_read(disk: list[list[bytes]]) -> None:
    assert read_records(disk)
    assert all(decode(value, DurableEffect) for value in disk[1])  # type: ignore[arg-type]
    assert all(decode(value, Entry).at_ns for value in disk[2])


def test_leases_of_0_1_0_promise_nothing_and_keep_the_id_that_both_signed() -> None:
    leases = [
        one
        for one in read_records(SUBMITTER) + read_records(PROVIDER)
        if isinstance(one, ProviderLease | SubmitterLease)
    ]
    assert len(leases) == 4
    for lease in leases:
        assert (lease.terms.availability_ppm, lease.terms.refund_ppm, lease.terms.exposure_intervals) == (0, 0, 0)
        assert lease.last.lease_id == lease.lease_id != lease_id_of(SEPARATOR, lease.terms)


def test_an_open_lease_of_0_1_0_goes_on_with_its_receipts() -> None:
    state = make_state(read_records(PROVIDER))
    lease = next(one for one in state.all(ProviderLease) if one.status == "running")
    at_ns = lease.last.at_ns + 5 * NANOS_PER_SECOND
    read = UsageRead(lease.lease_id, Counters(lease.last.running_ns + 5 * NANOS_PER_SECOND, lease.last.usage.vcpu_ns))
    turn = step(state, Entry(at_ns, bytes(32), read))
    (push,) = (effect for effect in turn.effects if isinstance(effect, PushReceipts))
    assert push.receipts[-1].lease_id == lease.lease_id and push.receipts[-1].cost > lease.last.cost


@pytest.mark.parametrize("intervals", [2, 5])
def test_unpaid_work_of_a_lease_of_0_1_0_is_limited_by_the_providers_setting_as_when_it_was_signed(
    intervals: int,
) -> None:
    state = make_state(read_records(PROVIDER))
    settings = state.settings
    assert settings.provider is not None
    provider = msgspec.structs.replace(settings.provider, exposure_intervals=intervals)
    lease = next(one for one in state.all(ProviderLease) if one.status == "running")
    turn = Turn(state, lease.last.at_ns, bytes(32))
    turn.put(settings, provider=provider)
    assert unpaid_at(turn, lease) == lease.covered_at_ns + intervals * lease.terms.interval_ns
