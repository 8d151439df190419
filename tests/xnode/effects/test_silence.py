"""The effect that answers a claim of silence: signed by the node, sent once, and not at all when there is nothing to answer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from metering.receipt import SignedReceipt, receipt_digest_of
from metering.signature import is_signed_by
from metering.units import NANOS_PER_SECOND
from tests.make.nodes import OWNER
from tests.make.records import LEASE_ID, make_receipt
from tests.make.values import NOW_NS, SEPARATOR, address_of
from tests.sim.ledger import Ledger
from tests.xnode.effects.rig import SLOT, Rig
from xnode.errors import Permanent
from xnode.node import changes, effects
from xnode.ports.chain import Silence

UNTIL_S = NOW_NS // NANOS_PER_SECOND + 86_400
EFFECT = effects.ShowReceipt(LEASE_ID, make_receipt(10), UNTIL_S, *SLOT)
CLAIMED = Silence(address_of(OWNER + 1), 1, 0, UNTIL_S)


def test_the_receipt_is_shown_under_the_nodes_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, shown = Rig(1), list[SignedReceipt]()
    rig.ledger.silences[LEASE_ID] = CLAIMED
    show = Ledger.show_receipt

    def note(ledger: Ledger, now_s: int, newer: SignedReceipt) -> None:
        shown.append(newer)
        show(ledger, now_s, newer)

    monkeypatch.setattr(Ledger, "show_receipt", note)
    told = rig.perform(EFFECT)
    assert isinstance(told, changes.SilenceAnswered) and told.answer_until_s == UNTIL_S
    assert LEASE_ID not in rig.ledger.silences
    assert shown[-1].receipt == EFFECT.receipt
    assert is_signed_by(address_of(1), receipt_digest_of(SEPARATOR, EFFECT.receipt), shown[-1].signature)


def test_nothing_is_signed_or_sent_where_no_claim_or_another_one_stands() -> None:
    rig = Rig(1)
    gone = changes.SilenceSeen(LEASE_ID, EFFECT.receipt, address_of(1))
    assert rig.perform(EFFECT) == gone
    rig.ledger.silences[LEASE_ID] = Silence(CLAIMED.provider, 7, 11, UNTIL_S + 1)
    assert rig.perform(EFFECT) == replace(gone, number=7, late_ns=11, answer_until_s=UNTIL_S + 1)
    assert not rig.signed


def test_an_answer_that_reverts_in_its_block_is_a_failure() -> None:
    rig = Rig(1)
    rig.ledger.silences[LEASE_ID] = CLAIMED
    rig.clockwork.at(rig.now_ns() + NANOS_PER_SECOND, rig.ledger.silences.clear)
    with pytest.raises(Permanent) as failed:
        rig.perform(EFFECT)
    assert failed.value.reason_code == "answer_reverted"
