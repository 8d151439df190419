"""Amounts in texts: said by who knows no decimals, found again by who does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metering.money_words import find_amounts, replace_addresses, replace_amounts, replace_stakes, say_amount, say_stake
from metering.units import U128_MAX, Address

ASSETS = st.binary(min_size=20, max_size=20).map(Address)


@given(st.lists(st.tuples(st.integers(0, U128_MAX), ASSETS), max_size=4))
def test_every_amount_that_was_said_is_found_again(said: list[tuple[int, Address]]) -> None:
    text = "it may cost " + ", and ".join(say_amount(*one) for one in said) + " here"
    assert find_amounts(text) == said
    assert "base units" not in replace_amounts(text, lambda amount, _asset: f"{amount} X")


def test_what_is_not_known_stays_as_it_was_said() -> None:
    text = f"lacks {say_amount(5, Address(bytes(20)))}"
    assert replace_amounts(text, lambda *_: "") == text == f"lacks 5 base units of 0x{'00' * 20}"
    assert replace_addresses(text, lambda _: "") == text


@given(st.integers(0, U128_MAX))
def test_a_stake_that_was_said_is_found_again(stake: int) -> None:
    assert (
        replace_stakes(f"its stake is {say_stake(stake)}, no more", lambda one: f"<{one}>")
        == f"its stake is <{stake}>, no more"
    )


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(replace_addresses(replace_amounts(text, lambda *_: "x"), lambda _: "y"), str)
