"""A wallet with money."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.xnode.chain.devchain import TOKEN, Bed
from tests.xnode.chain.intents.wallets import session_of
from xnode.chain.intents.session import WalletSession


@pytest.fixture
async def session(bed: Bed) -> AsyncIterator[WalletSession]:
    """Of a wallet with 100 OPENX."""
    async with session_of(bed, await bed.new_wallet(openx=100 * TOKEN)) as opened:
        yield opened
