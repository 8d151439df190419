"""What transactions offer for gas."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xnode.chain.node.answers import FeeHistory
from xnode.chain.node.fees import Fees, make_fees, raise_fees

CAP = 10**12

wei = st.integers(1, CAP)


def make_history(base: int, *tips: int) -> FeeHistory:
    return FeeHistory(base, tips)


def test_offer_is_twice_the_base_fee_and_the_median_tip() -> None:
    assert make_fees(make_history(100, 7, 1, 3), CAP) == Fees(203, 3)


def test_a_chain_without_tips_gets_one_wei() -> None:
    assert make_fees(make_history(100), CAP) == Fees(201, 1)
    assert make_fees(make_history(0, 0), CAP) == Fees(1, 1)


@given(base=wei, tips=st.lists(wei, min_size=1, max_size=5), cap=wei)
def test_offer_never_passes_the_cap(base: int, tips: list[int], cap: int) -> None:
    fees = make_fees(make_history(base, *tips), cap)
    assert fees.max_priority_fee <= fees.max_fee <= cap


@given(max_fee=wei, tip=wei, market_fee=wei, market_tip=wei, cap=wei)
def test_raise_is_an_eighth_at_least_and_within_the_cap(
    max_fee: int, tip: int, market_fee: int, market_tip: int, cap: int
) -> None:
    before, market = Fees(max(max_fee, tip), tip), Fees(max(market_fee, market_tip), market_tip)
    raised = raise_fees(before, market, cap)
    if raised is None:
        assert max(before.max_fee * 9 // 8 + 1, market.max_fee) > cap
        return
    assert raised.max_fee * 8 >= before.max_fee * 9
    assert raised.max_priority_fee * 8 >= before.max_priority_fee * 9
    assert market.max_fee <= raised.max_fee <= cap
    assert raised.max_priority_fee <= raised.max_fee
