"""Devnet node: what a devnet has beside its chain: the first peer of everybody's node, and a verifier for their challenges."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from sqlalchemy import Engine

from metering.units import Amount
from xnode.backoff import Backoff, retry_forever
from xnode.chain.capacity import read_verification, read_verifier_settings
from xnode.chain.client import open_client
from xnode.chain.contracts.provider_registry import Role
from xnode.chain.deployment.devnet import Devnet
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.intents.registration import register_provider
from xnode.chain.intents.session import WalletSession, open_session
from xnode.chain.intents.stake import add_stake
from xnode.chain.intents.verification import enlist
from xnode.challenge.prover import Prover
from xnode.challenge.verifier import Verifier
from xnode.challenge.watch import CapacityWatch
from xnode.clock import SystemClock
from xnode.durable import replace_file
from xnode.home import make_private
from xnode.net.edge import Net, NetSettings, open_net
from xnode.net.identity import peer_id_text_of
from xnode.node.changes import CapacityVerified
from xnode.store.database import open_database
from xnode.store.promises import SqlPromises
from xnode.supervisor import Supervisor
from xnode.wallet.signer import NodeSigner, WalletKey

CONSENT_S = 3600
"""How long the node key's consent is good."""

LISTEN = ("/ip4/127.0.0.1/tcp/0",)
"""A devnet is of one machine, like its chain."""

ENLIST_RETRY = Backoff(first_s=1.0, most_s=15.0)


@dataclass(frozen=True, slots=True)
class DevnetNode:
    """address: with /p2p, where its peers reach it; net: for nothing but to be that."""

    address: str
    net: Net
    owner: WalletKey
    key: WalletKey
    folder: Path
    database: Engine

    async def verify(self, devnet: Devnet, ready: trio.Event) -> None:
        """Judge challenges until cancelled; ready is set once it is enlisted."""
        await retry_forever("enlisting the devnet's verifier", lambda: self._enlist(devnet), ENLIST_RETRY)
        ready.set()
        manifest = devnet.manifest
        signer = NodeSigner(self.key, manifest.capacity_domain)
        promises = SqlPromises(self.database)
        async with open_client(manifest, self.key, self.database) as chain, trio.open_nursery() as nursery:
            prover = Prover(chain.capacity, promises, signer)
            verifier = Verifier(
                self.owner.address, chain.capacity, self.net, promises, signer, SystemClock(), manifest.capacity_domain
            )
            for method, handler in (prover.methods() | verifier.methods()).items():
                self.net.serve(method, handler)
            watch = CapacityWatch(self.owner.address, chain.capacity, prover, verifier, _take_note)
            Supervisor(nursery).start("capacity watch", watch.run)

    async def _enlist(self, devnet: Devnet) -> None:
        """A provider with stake that is on every panel. Done again after a crash, only what is missing is done."""
        await devnet.fund([self.owner.address, self.key.address])
        manifest = devnet.manifest
        async with open_session(manifest, self.owner, self.database) as session:
            await self._register(session, manifest)
            if (await read_verification(session.rpc, manifest.contracts, self.owner.address)).is_verifier:
                return
            pledge = (await read_verifier_settings(session.rpc, manifest.contracts)).verifier_stake
            await add_stake(session, _make_intent("stake"), Amount(pledge), Role.VERIFIER)
            await enlist(session, _make_intent("enlist"))

    async def _register(self, session: WalletSession, manifest: Manifest) -> None:
        registration = await session.registration(self.owner.address)
        deadline = await session.chain_time_s() + CONSENT_S
        signer = NodeSigner(self.key, manifest.domain)
        consent = signer.sign_node_key(manifest.registry_domain, self.owner.address, registration.nonce, deadline)
        await register_provider(session, _make_intent("register"), self.key.address, deadline, consent)


@asynccontextmanager
async def open_devnet_node(manifest: Manifest, folder: Path) -> AsyncIterator[DevnetNode]:
    """The node, reachable by its address. folder: its keys and what it promised; nobody else's."""
    make_private(folder)
    owner = await trio.to_thread.run_sync(_ensure_key, folder / "owner.key")
    key = await trio.to_thread.run_sync(_ensure_key, folder / "node.key")
    database = await trio.to_thread.run_sync(open_database, f"sqlite:///{folder / 'node.db'}")
    clock = SystemClock()
    settings = NetSettings(
        secret=key.expose_secret(),
        listen=LISTEN,
        separator=manifest.domain.separator(),
        ports=folder / "ports.json",
    )
    async with open_net(settings, clock.now_ns) as net:
        where = net.multiaddrs()[0]
        yield DevnetNode(f"{where}/p2p/{peer_id_text_of(key.expose_secret())}", net, owner, key, folder, database)


def _ensure_key(path: Path) -> WalletKey:
    """A key of a devnet, whose money is worth nothing: without a password, readable by its owner only."""
    if not path.exists():
        replace_file(path, secrets.token_bytes(32), 0o600)
    return WalletKey(path.read_bytes())


async def _take_note(_change: CapacityVerified) -> None:
    """It sells nothing, so what is verified of it changes nothing."""


def _make_intent(what: str) -> str:
    return f"devnet/{what}/{secrets.token_hex(8)}"
