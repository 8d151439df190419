"""Each effect has one adapter, in one role."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.make.records import LEASE_ID
from tests.xnode.effects.rig import SLOT, Rig
from xnode.effects import provider, submitter
from xnode.errors import Permanent
from xnode.node import effects


def test_every_durable_effect_has_one_adapter() -> None:
    ours, theirs = provider.performs.effects(), submitter.performs.effects()
    assert ours | theirs == set(get_args(effects.DurableEffect))
    assert not ours & theirs


def test_each_role_performs_its_own_effects() -> None:
    assert {effect.__name__ for effect in submitter.performs.effects()} == {
        "SearchOffers", "RequestQuote", "DropQuote", "ReadFunds", "RequestLease", "AskLease", "FetchOutputs",
        "StartThaw", "CloseEscrow", "CollectCompensation",
    }  # fmt: skip


def test_a_second_adapter_for_an_effect_is_a_bug() -> None:
    async def again(_self: submitter.SubmitterEffects, _effect: effects.AskLease) -> None: ...

    with pytest.raises(AssertionError, match="AskLease has an adapter already"):
        submitter.performs(effects.AskLease)(again)  # type: ignore[arg-type]


def test_a_node_that_is_not_a_provider_anymore_fails_what_it_began_as_one() -> None:
    with pytest.raises(Permanent, match="not a provider") as failed:
        Rig(is_provider=False).perform(effects.StopWorkload(LEASE_ID, *SLOT))
    assert failed.value.reason_code == "role"
