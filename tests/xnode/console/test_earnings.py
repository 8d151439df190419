"""What a provider has earned stays told, whatever becomes of the leases that it was earned with."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from metering.units import U128_MAX, Address, Amount, Hash32
from tests.make.scene import open_consoles
from tests.xnode.console.asking import ask
from xnode.console.earnings import Period, fold_days
from xnode.node.changes import NodeStarted
from xnode.node.provider.earned import DAY_NS
from xnode.node.records import ProviderEscrow
from xnode.node.state import kind_of
from xnode.node.sums import EarnedDay
from xnode.store.journal import Batch


async def test_earnings_on_contracts_that_were_left_still_count(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        before = await ask(provider, "provider.earnings")
        settings = provider.loop.state.settings
        other = Hash32(b"\7" * 32)
        await provider.loop.tell(NodeStarted(settings.node, other, "test", (), settings.provider, settings.submitter))
        with trio.fail_after(20):
            while provider.loop.state.settings.separator != other:
                await provider.loop.next_change().wait()
        after = await ask(provider, "provider.earnings")
        (was,), (now,) = before.rows, after.rows
        assert was.claimed != "0" and float(was.earned) >= float(was.claimed)
        assert (now.earned, now.claimed, now.leases) == (was.earned, was.claimed, was.leases)
        assert now.vouchered == now.claimed, "nothing can be claimed on contracts that were left"


async def test_a_voucher_over_more_than_its_escrow_counts_as_what_the_escrow_has(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        before = (await ask(provider, "provider.earnings")).rows[0]
        state = provider.loop.state
        escrow = next(one for one in state.all(ProviderEscrow) if one.voucher is not None)
        assert escrow.voucher is not None
        voucher = replace(escrow.voucher.voucher, cumulative=Amount(U128_MAX))
        rich = replace(escrow, voucher=replace(escrow.voucher, voucher=voucher))
        other = replace(rich, escrow_id=Hash32(b"\7" * 32), deposited=Amount(0), claimed=Amount(0))
        provider.loop.state = state.put(rich).put(other)
        after = (await ask(provider, "provider.earnings")).rows[0]
    more = rich.worth - escrow.worth
    assert rich.worth == rich.deposited and other.worth == 0
    assert Decimal(after.vouchered) - Decimal(before.vouchered) == Decimal(more).scaleb(-18)


SYMBOLS = Address(b"\xaa" * 20), Address(b"\xbb" * 20)
MONDAY = 20_787
"""30 November 2026."""


def make_days() -> list[EarnedDay]:
    """Two assets on three days around a Monday that ends a month."""
    return [
        EarnedDay(day, asset, Amount(10 * number), Amount(number), leases=1, settled=1)
        for number, day in enumerate((MONDAY - 1, MONDAY, MONDAY + 1), start=1)
        for asset in SYMBOLS
    ]


@pytest.mark.parametrize(
    ("by", "begins", "earned"),
    [
        ("day", [MONDAY + 1, MONDAY, MONDAY - 1], [30, 20, 10]),
        ("week", [MONDAY, MONDAY - 7], [50, 10]),
        ("month", [MONDAY + 1, MONDAY - 29], [30, 30]),
    ],
)
def test_days_add_up_to_the_periods_that_they_are_in(by: Period, begins: list[int], earned: list[int]) -> None:
    found = fold_days(make_days(), by, 0)
    assert [one.day for one in found[::2]] == begins and [int(one.earned) for one in found[::2]] == earned
    assert {one.asset for one in found} == set(SYMBOLS)
    assert sum(one.earned for one in found) == sum(one.earned for one in make_days())
    assert sum(one.settled for one in found) == len(make_days())


def test_a_period_that_ends_after_the_time_asked_for_is_whole() -> None:
    since_ns = (MONDAY + 1) * DAY_NS + 1
    assert [one.day for one in fold_days(make_days(), "week", since_ns)] == [MONDAY, MONDAY]
    assert [int(one.earned) for one in fold_days(make_days(), "week", since_ns)] == [50, 50]
    assert [one.day for one in fold_days(make_days(), "day", since_ns)] == [MONDAY + 1] * 2


async def test_earnings_are_told_by_period_up_to_a_limit(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        old = EarnedDay(MONDAY, SYMBOLS[0], Amount(7))
        await provider.journal.commit(Batch(records={(kind_of(EarnedDay), old.key): (old, False)}))
        total = await ask(provider, "provider.earnings")
        both = await ask(provider, "provider.earnings", by="day")
        newest = await ask(provider, "provider.earnings", by="month", limit=1)
        recent = await ask(provider, "provider.earnings", since_ns=(MONDAY + 1) * DAY_NS)
    assert total.periods == () and both.rows == newest.rows == total.rows
    assert [one.begins for one in both.periods] == ["2027-01-15", "2026-11-30"]
    assert (len(newest.periods), newest.more_periods, newest.periods[0].begins) == (1, 1, "2027-01-01")
    assert recent.periods == both.periods[:1]
