"""The effect that collects a compensation: sent once, and not at all where there is nothing to collect."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from metering.units import NANOS_PER_SECOND, Amount
from tests.make.records import LEASE_ID
from tests.make.values import NOW_NS
from tests.xnode.effects.rig import SLOT, Rig
from xnode.errors import Permanent
from xnode.node import changes, effects
from xnode.ports.chain import Shortfall

NOW_S = NOW_NS // NANOS_PER_SECOND
SHORT = Shortfall(Amount(40), NOW_S, NOW_S + 604_800)
EFFECT = effects.CollectCompensation(LEASE_ID, SHORT.payable_until, *SLOT)


def test_what_is_owed_is_collected() -> None:
    rig = Rig()
    rig.ledger.shortfalls[LEASE_ID] = SHORT
    told = rig.perform(EFFECT)
    assert isinstance(told, changes.CompensationCollected)
    assert (told.lease_id, told.payable_until_s, told.left) == (LEASE_ID, SHORT.payable_until, 0)
    assert not rig.ledger.shortfalls


def test_nothing_is_sent_where_nothing_or_something_else_is_owed() -> None:
    rig = Rig()
    assert rig.perform(EFFECT) == changes.CompensationSeen(LEASE_ID)
    later = Shortfall(Amount(90), SHORT.payable_at + 5, SHORT.payable_until + 5)
    rig.ledger.shortfalls[LEASE_ID] = later
    seen = changes.CompensationSeen(LEASE_ID, Amount(90), later.payable_at, later.payable_until)
    assert rig.perform(EFFECT) == seen
    assert rig.ledger.shortfalls == {LEASE_ID: later}


def test_what_cannot_be_had_yet_is_a_failure() -> None:
    rig = Rig()
    rig.ledger.shortfalls[LEASE_ID] = Shortfall(SHORT.amount, NOW_S + 3600, SHORT.payable_until)
    with pytest.raises(Permanent):
        rig.perform(replace(EFFECT))


def test_a_collection_that_reverts_in_its_block_is_a_failure() -> None:
    rig = Rig()
    rig.ledger.shortfalls[LEASE_ID] = SHORT
    rig.clockwork.at(rig.now_ns() + NANOS_PER_SECOND, rig.ledger.shortfalls.clear)
    with pytest.raises(Permanent) as failed:
        rig.perform(EFFECT)
    assert failed.value.reason_code == "collect_reverted"
