"""What the store takes can be read again, and what could not is refused, whether it is new or a changed field."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from metering.codec import encode
from tests.make.records import make_submitter_lease
from xnode.node.records import Record, SubmitterLease
from xnode.store.held import NotHeld, hold
from xnode.store.record_reader import decode_record

BAD: dict[str, Any] = {
    "terms": None,
    "multiaddrs": (5,),
    "requested_at_ns": 1 << 64,
    "last": "none",
    "last_digest": "text",
    "status": "lost",
    "heard_at_ns": -(1 << 63) - 1,
    "end_reason": "because",
    "exit_code": "1",
    "asked": 1,
    "refund": -1,
    "wake_at_ns": 0.5,
}


def test_a_changed_record_is_held_as_a_whole() -> None:
    lease = make_submitter_lease()
    changed = replace(lease, heard_at_ns=lease.heard_at_ns + 1, receipts=7, last=replace(lease.last, number=9))
    data = hold(changed, Record, lease)
    assert data == encode(changed) == hold(changed, Record)
    assert decode_record(data) == changed


@pytest.mark.parametrize("name", BAD)
def test_a_field_that_could_not_be_read_again_is_refused_new_and_changed(name: str) -> None:
    lease = make_submitter_lease()
    bad = replace(lease, **{name: BAD[name]})
    for before in (None, lease):
        with pytest.raises(NotHeld, match="SubmitterLease cannot be kept"):
            hold(bad, Record, before)


def test_another_kind_in_its_place_is_checked_whole() -> None:
    lease = make_submitter_lease()
    with pytest.raises(NotHeld):
        hold(replace(lease, status="lost"), Record, lease.terms)
    assert isinstance(decode_record(hold(lease, Record, lease.terms)), SubmitterLease)
