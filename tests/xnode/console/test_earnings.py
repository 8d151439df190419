"""What a provider has earned stays told, whatever becomes of the leases that it was earned with."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import trio
from msgspec.structs import replace

from metering.units import U128_MAX, Amount, Hash32
from tests.make.scene import open_consoles
from tests.xnode.console.asking import ask
from xnode.node.changes import NodeStarted
from xnode.node.records import ProviderEscrow
from xnode.node.state import kind_of
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
        assert before.rows[0].claimed != "0" or before.rows[0].vouchered != "0"
        assert after == replace(before, open_leases=after.open_leases)


async def test_a_voucher_over_more_than_its_escrow_counts_as_what_the_escrow_has(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        before = (await ask(provider, "provider.earnings")).rows[0]
        escrow = next(one for one in provider.loop.state.all(ProviderEscrow) if one.voucher is not None)
        assert escrow.voucher is not None
        voucher = replace(escrow.voucher.voucher, cumulative=Amount(U128_MAX))
        rich = replace(escrow, voucher=replace(escrow.voucher, voucher=voucher))
        other = replace(rich, escrow_id=Hash32(b"\7" * 32), deposited=Amount(0), claimed=Amount(0))
        records: dict[tuple[str, bytes], tuple[Any, bool]] = {
            (kind_of(ProviderEscrow), one.key): (one, False) for one in (rich, other)
        }
        await provider.journal.commit(Batch(records=records))
        after = (await ask(provider, "provider.earnings")).rows[0]
    more = rich.worth - escrow.worth
    assert rich.worth == rich.deposited and other.worth == 0
    assert Decimal(after.vouchered) - Decimal(before.vouchered) == Decimal(more).scaleb(-18)
