"""A node that moves to other contracts: what is unsettled is known, and what is settled is put away."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from metering.units import ZERO_HASH, Amount, Hash32
from tests.make.records import (
    ESCROW_ID,
    LEASE_ID,
    Node,
    make_provider,
    make_provider_escrow,
    make_running_lease,
    make_submitter,
    make_submitter_escrow,
    make_submitter_job,
    make_submitter_lease,
)
from tests.make.values import SEPARATOR
from xnode.node import changes, effects
from xnode.node.deployment import is_moved, list_unsettled
from xnode.node.lease import LeaseStatus
from xnode.node.records import ProviderEscrow, ProviderLease, SubmitterEscrow, SubmitterJob, SubmitterLease
from xnode.node.state import State

OTHER = Hash32(b"\7" * 32)


def start(node: Node, separator: Hash32) -> list[effects.Effect]:
    settings = node.state.settings
    return node.tell(
        changes.NodeStarted(settings.node, separator, "test", ("/memory/1",), settings.provider, settings.submitter)
    )


def test_a_node_has_moved_when_it_ran_on_other_contracts_and_not_when_it_is_new() -> None:
    node = make_provider()
    assert is_moved(node.state, OTHER) and not is_moved(node.state, node.state.settings.separator)
    assert not is_moved(State(), OTHER) and State().settings.separator == ZERO_HASH


@pytest.mark.parametrize("status", ["requested", "preparing", "running", "ending", "settling"])
def test_a_lease_is_unsettled_until_it_is_paid_on_either_side(status: LeaseStatus) -> None:
    assert list_unsettled(make_provider(make_running_lease(status=status)).state) == (LEASE_ID,)
    assert list_unsettled(make_submitter(make_submitter_lease(status=status)).state) == (LEASE_ID,)


def test_an_escrow_is_unsettled_while_money_of_ours_is_in_it() -> None:
    full = make_submitter_escrow(deposited=Amount(10), claimed=Amount(9))
    assert list_unsettled(make_submitter(make_submitter_lease(status="settled"), full).state) == (ESCROW_ID,)
    assert list_unsettled(make_submitter(replace(full, claimed=Amount(10))).state) == ()


def test_what_is_settled_is_put_away_on_other_contracts_and_the_offer_is_signed_anew() -> None:
    provider = make_provider(make_running_lease(status="settled"), make_provider_escrow())
    start(provider, SEPARATOR)
    number = provider.state.standing_offer.number
    (again,) = start(provider, SEPARATOR)
    assert provider.state.get(ProviderLease, LEASE_ID) and isinstance(again, effects.AnnounceOffer)
    (announce,) = start(provider, OTHER)
    assert isinstance(announce, effects.AnnounceOffer) and announce.offer.number > number
    assert [*provider.state.all(ProviderLease), *provider.state.all(ProviderEscrow)] == []


def test_no_job_is_paid_from_an_escrow_of_contracts_that_were_left() -> None:
    done = make_submitter_job(status="done")
    submitter = make_submitter(done, make_submitter_lease(status="settled"), make_submitter_escrow())
    start(submitter, SEPARATOR)
    assert submitter.state.get(SubmitterEscrow, ESCROW_ID)
    start(submitter, OTHER)
    assert [*submitter.state.all(SubmitterLease), *submitter.state.all(SubmitterEscrow)] == []
    assert submitter.state.get(SubmitterJob, done.key), "the job is still told of"
