"""Wallets: sessions of wallets on a test's chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.xnode.chain.devchain import PACE, Bed
from xnode.chain.deployment.manifest import Asset
from xnode.chain.intents.session import WalletSession, open_session
from xnode.chain.send.tx_journal import make_engine
from xnode.text.hex import to_hex
from xnode.wallet.signer import WalletKey


@asynccontextmanager
async def session_of(bed: Bed, key: WalletKey) -> AsyncIterator[WalletSession]:
    engine = make_engine(bed.folder / f"{key.address.hex()}.sqlite")
    with trio.fail_after(60):
        async with open_session(bed.manifest, key, engine, pace=PACE) as session:
            yield session


def openx(session: WalletSession) -> Asset:
    return session.manifest.assets[0]


async def sent_by(bed: Bed, session: WalletSession) -> int:
    """How many transactions the wallet has sent."""
    return int(await bed.rpc.read("eth_getTransactionCount", to_hex(session.address), "latest"), 16)
