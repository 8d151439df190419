"""What a provider has earned stays told, whatever becomes of the leases that it was earned with."""

from __future__ import annotations

from pathlib import Path

import trio
from msgspec.structs import replace

from metering.units import Hash32
from tests.make.scene import open_consoles
from tests.xnode.console.asking import ask
from xnode.node.changes import NodeStarted


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
