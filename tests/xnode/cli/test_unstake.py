"""`xnode provider unstake` while something thaws: there is one thaw, and what is added makes all of it wait again."""

from __future__ import annotations

import pytest

from metering.units import Amount
from xnode.chain.contracts.provider_registry import Announced, Role, StakeDetails
from xnode.chain.provider_record import Compartment
from xnode.cli.stake.stake import YES_RESTART, check_restart
from xnode.errors import ExitCode, UserError
from xnode.text.amount import OPENX

THAW_S = 14 * 86_400


def make_thawing(thawing: int, thaw_end: int) -> Compartment:
    details = StakeDetails(Amount(100 * OPENX), Amount(thawing * OPENX), thaw_end)
    return Compartment(details, Amount(0), Announced(Amount(0), 0))


def test_a_thaw_is_not_begun_anew_by_mistake() -> None:
    check_restart(make_thawing(0, 0), 1_000, THAW_S, Role.PROVIDER)
    with pytest.raises(UserError) as caught:
        check_restart(make_thawing(501, 2_000_000_000), 1_999_999_000, THAW_S, Role.PROVIDER)
    assert "501 OPENX thaw until 2033-05-18" in str(caught.value) and "14d" in caught.value.what
    assert YES_RESTART in caught.value.hint and caught.value.code is ExitCode.CONFLICT


def test_what_has_thawed_is_taken_out_first() -> None:
    with pytest.raises(UserError) as caught:
        check_restart(make_thawing(501, 1_000), 1_000, THAW_S, Role.VERIFIER)
    assert caught.value.hint.endswith("xnode provider unstake --withdraw --pledge")
