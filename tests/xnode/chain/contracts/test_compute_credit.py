"""What a mint adds to the collateral of what is outstanding, as the contract counts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnode.chain.contracts.compute_credit import added_collateral, collateral_of
from xnode.text.amount import OPENX

RATIO = 2 * OPENX
amounts = st.integers(0, 10**30)
ratios = st.integers(10**12, 10**24)


@pytest.mark.parametrize(
    ("amount", "outstanding", "held", "ratio", "added"),
    [
        (10 * OPENX, 0, 0, RATIO, 20 * OPENX),
        (10 * OPENX, -4 * OPENX, 0, RATIO, 12 * OPENX),
        (4 * OPENX, -4 * OPENX, 0, RATIO, 0),
        # Those that are out were minted at twice the ratio of today: they keep it, and so do those that join them.
        (10 * OPENX, 10 * OPENX, 40 * OPENX, RATIO, 40 * OPENX),
        (10 * OPENX, 10 * OPENX, 10 * OPENX, RATIO, 20 * OPENX),
        (1, 0, 0, OPENX // 2, 1),
    ],
)
def test_a_mint_needs_the_ratio_of_the_day_or_that_of_what_is_out(
    amount: int, outstanding: int, held: int, ratio: int, added: int
) -> None:
    assert added_collateral(amount, outstanding, held, ratio) == added


@given(amounts, amounts, ratios, ratios)
def test_a_mint_never_thins_the_collateral_of_those_that_are_out(
    amount: int, outstanding: int, first: int, ratio: int
) -> None:
    held = collateral_of(outstanding, first)
    whole = held + added_collateral(amount, outstanding, held, ratio)
    assert whole * outstanding >= held * (outstanding + amount)
    assert whole >= held + collateral_of(amount, ratio)
