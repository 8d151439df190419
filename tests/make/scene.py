"""Scene: both nodes of a small market as it stands at one moment, each with a real console over its real records.

The records are those of a simulated market: a job that ran and was paid, one whose provider broke its promise, one that fits
nowhere, one of whose outputs not all came, one that runs while its receipts cannot be delivered, one that waits. Only net,
chain and clock are stood in for.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import trio

from metering.capacity import SignedVerdict, Verdict
from metering.codec import decode
from metering.sla import Promise
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, ZERO_HASH, Address, Amount, Hash32
from scheduler.job import Blob
from scheduler.latency import next_latency
from scheduler.offer import Gpu, SignedOffer
from scheduler.outputs import FileEntry, LeftOut, LinkEntry
from scheduler.preferences import ExposureBound
from tests.make.nodes import OWNER
from tests.make.values import (
    ASSET,
    DOMAIN,
    SEPARATOR,
    TOKEN,
    address_of,
    make_offer,
    make_profile,
    make_resources,
    make_tariff,
    sign_offer,
)
from tests.sim.containers import Behaviour
from tests.sim.machine import Machine
from tests.sim.world import World
from tests.xnode.chain.deployment.test_manifest import MANIFEST
from xnode.chain.deployment.manifest import Asset
from xnode.challenge.demands import RevealState
from xnode.challenge.evidence import EvidenceKeeper
from xnode.challenge.failures import FailureKeeper
from xnode.config.load import load_config
from xnode.console.console import Console, ThisNode
from xnode.console.evidence import EvidenceMaker
from xnode.console.image_list import ImageList
from xnode.console.image_maker import ImageMaker
from xnode.console.job_maker import JobMaker
from xnode.console.present import Presenter
from xnode.declared import Declared
from xnode.errors import Retryable
from xnode.home import Home
from xnode.loop import Loop
from xnode.net.blobs import BlobStore
from xnode.node import effects
from xnode.node.changes import Change, Entry
from xnode.node.needed import find_needed
from xnode.node.records import HeldQuote, Record, SubmitterJob, SubmitterLease
from xnode.node.retention import DiskReading, DiskRules
from xnode.peers.experience import Experience
from xnode.peers.job_log import JobLog
from xnode.peers.market import Market, make_market
from xnode.peers.output_taker import OutputTaker
from xnode.peers.progress import ProgressReader
from xnode.ports.capacity import Challenge
from xnode.ports.chain import Fuel, Spender, Staked
from xnode.ports.net import Peer
from xnode.ports.store import Fetched, FetchProgress
from xnode.progress import Board
from xnode.store.database import open_database
from xnode.store.journal import Batch, Journal
from xnode.store.promises import SqlPromises
from xnode.upkeep.keeper import DiskState

SECOND = NANOS_PER_SECOND
EVIL = "\x1b[31mEU\x1b[0m"
"""A peer's text that would steer a terminal."""

RESULT = b"result\n"
LOG = b"first line\nsecond line\n"
LOG_END = 1_000_000
"""Where it ends at the provider: the first part of it was not kept there."""

STAKE = Amount(250 * TOKEN)
FUNDS = Amount(10 * TOKEN)
OPENX = Asset("OPENX", 18, ASSET)

REGION = "eu-west"

GPU_NODE, STRANGER, LIAR = 2, 3, 4
"""Nodes whose offers are known and which serve nothing: one with GPUs and in default, one not registered, one that signs two
offers."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The world as it stands, and the jobs in it."""

    world: World
    paid: Hash32
    broken: Hash32
    misfit: Hash32
    running: Hash32
    half: Hash32

    @property
    def now_ns(self) -> int:
        return self.world.clockwork.now_ns

    def lease(self, job_hash: Hash32) -> SubmitterLease:
        """The lease by which a job lived."""
        leases = (one for one in self.world.leases(0) if isinstance(one, SubmitterLease))
        return next(one for one in leases if one.job_hash == job_hash)


@lru_cache(maxsize=1)
def make_scene() -> Scene:
    """Always the same one."""
    world = World(seed=7)
    world.add_provider(1, promise=Promise(900_000, 250_000), region=EVIL, allows_network=True)
    world.add_submitter(max_prepay_ns=SECOND)
    world.run_for(1)
    output = FileEntry(
        b"sub/result.txt", Blob(Hash32(hashlib.sha256(RESULT).digest()), len(RESULT)), executable=True, mtime_ns=1
    )
    link = LinkEntry(b"latest.txt", b"sub/result.txt")
    broken = world.submit(name="broken", behaviour=Behaviour(run_ns=600 * SECOND, vanish_ns=10 * SECOND))
    world.wait_running()
    world.run_for(8)
    world.machines[1].faults.down_ns = 34 * SECOND
    world.machines[1].crash()
    world.run_until_settled()
    traffic: dict[str, Any] = {"network": True, "network_bytes": 10**9}
    pipe = LeftOut(b"pipe", "a pipe: only files, links and folders are taken")
    sends = Behaviour(outputs=(link, output), left_out=(pipe,), egress_per_second=10**6)
    paid = world.submit(name="hello", behaviour=sends, command=("sh", "-c", "echo hi"), into="/results", **traffic)
    world.run_until_settled()
    gone = FileEntry(b"gone.bin", Blob(Hash32(hashlib.sha256(b"gone").digest()), 4))
    world.network.lost.add(gone.blob)
    short = Behaviour(outputs=(output, gone), left_out=(pipe,), run_ns=5 * SECOND)
    half = world.submit(name="half", behaviour=short, into="/results")
    world.run_until_settled()
    misfit = world.submit(name="too-large", resources=make_resources(gpus=9, gpu_model="H200"))
    world.run_for(5)
    running = world.submit(name="running", behaviour=Behaviour(run_ns=600 * SECOND), prepay_ns=SECOND)
    world.wait_running()
    world.run_for(12)
    world.submit(name="waiting")
    world.run_until(lambda: any(_list_quotes(world)), 10)
    world.network.cut.add(frozenset((address_of(0), address_of(1))))
    world.run_for(6)
    return Scene(world, paid, broken, misfit, running, half)


def _list_quotes(world: World) -> Iterator[HeldQuote]:
    loop = world.machines[1].loop
    assert loop is not None
    return loop.state.all(HeldQuote)


@dataclass(frozen=True, slots=True)
class FixedClock:
    """xnode.ports.Clock, standing still."""

    at_ns: int

    def now_ns(self) -> int:
        return self.at_ns


@dataclass(frozen=True, slots=True)
class OutputsGone:
    """xnode.ports.OutputFetcher: the provider has nothing any more."""

    blobs: BlobStore

    async def fetch(self, _peer: Peer, _lease_id: Hash32, blobs: Iterable[Blob], _progress: FetchProgress) -> Fetched:
        return Fetched(missing=tuple(blob for blob in blobs if not self.blobs.has(blob)))


class Isolated:
    """xnode.ports.Net of a node whose peers are all out of reach."""

    async def find_providers(self, _tell: object = None) -> tuple[Address, ...]:
        return ()

    async def get_record(self, _address: Address) -> bytes | None:
        return None

    async def call(self, *_request: object) -> NoReturn:
        raise Retryable("nobody is in reach")


@dataclass(slots=True)
class Registry:
    """The reads of xnode.ports.Chain that consoles need. is_away: the chain node does not answer."""

    owners: dict[Address, Address]
    is_away: bool = False
    asked: int = 0
    cap: Amount = FUNDS

    async def provider_of(self, node: Address) -> Address | None:
        self._ask()
        return self.owners.get(node)

    async def providers_of(self, nodes: Sequence[Address]) -> tuple[Address | None, ...]:
        self._ask()
        return tuple(self.owners.get(node) for node in nodes)

    async def spendables_of(self, spenders: Sequence[Spender]) -> tuple[Amount, ...]:
        self._ask()
        return tuple(min(FUNDS, self.cap) for _ in spenders)

    async def stakes_of(self, providers: Sequence[Address]) -> tuple[Staked, ...]:
        self._ask()
        return tuple(Staked(STAKE, one == address_of(OWNER + GPU_NODE)) for one in providers)

    async def free_balance(self, _payer: Address, _asset: Address) -> Amount:
        self._ask()
        return FUNDS

    async def opener_cap(self, _payer: Address, _opener: Address, _asset: Address) -> Amount:
        self._ask()
        return self.cap

    def _ask(self) -> None:
        self.asked += 1
        if self.is_away:
            raise Retryable("the chain node does not answer")


FULL_DISK = DiskState(DiskReading(1 << 30, 4 << 30, 3 << 30), DiskRules(20 << 30, 2 << 30), {"image": 3 << 30}, 7, 1)
"""Of the provider: half of what must be free is."""


def make_registry() -> Registry:
    """All are registered but the stranger."""
    return Registry({address_of(node): address_of(OWNER + node) for node in (1, GPU_NODE, LIAR)})


def make_offers(scene: Scene) -> tuple[SignedOffer, ...]:
    """What the provider offers, and three others: the cheapest without GPUs first."""
    until_ns = scene.now_ns + NANOS_PER_HOUR
    gpus = tuple(Gpu("nvidia", "NVIDIA H200", 141 << 30) for _ in range(8))
    large = make_resources(
        vcpu_milli=64_000, memory_bytes=512 << 30, disk_bytes=2 << 40, gpus=8, gpu_model="NVIDIA H200"
    )
    gpu_offer = make_offer(
        GPU_NODE, 1, until_ns, region="us", profile=make_profile(gpus=gpus), capacity=large, free=large,
        tariff=make_tariff(2 * TOKEN, ingress_gb=TOKEN // 100),
    )  # fmt: skip
    stranger = make_offer(STRANGER, 1, until_ns)
    return (
        *scene.world.market.board.values(),
        sign_offer(gpu_offer, GPU_NODE),
        sign_offer(stranger, STRANGER),
        *(sign_offer(make_offer(LIAR, 1, until_ns + late), LIAR) for late in (0, 1)),
    )


@asynccontextmanager
async def open_consoles(folder: Path, registry: Registry | None = None) -> AsyncIterator[tuple[Console, Console]]:
    """The submitter's and the provider's console, each over a store of its own in the folder."""
    scene = make_scene()
    registry = registry or make_registry()
    async with trio.open_nursery() as nursery:
        submitter = await _open_console(nursery, scene, scene.world.machines[0], folder / "submitter", registry)
        provider = await _open_console(nursery, scene, scene.world.machines[1], folder / "provider", registry)
        yield submitter, provider
        nursery.cancel_scope.cancel()


async def _open_console(
    nursery: trio.Nursery, scene: Scene, machine: Machine, folder: Path, registry: Registry
) -> Console:
    folder.mkdir(parents=True)  # noqa: ASYNC240 (at the start, where nothing waits)
    database = open_database(f"sqlite:///{folder}/node.db")
    journal, clock = Journal(database), FixedClock(scene.now_ns)
    await journal.commit(_read_disk(machine))
    loop = Loop(journal, clock, _never)
    await nursery.start(loop.run)
    net: Any = Isolated()
    experience = Experience(lambda: loop.state)
    market = make_market(net, machine.address, registry, clock, SEPARATOR, experience, ExposureBound())  # type: ignore[arg-type]
    _fill_book(market, scene)
    blobs = BlobStore(folder / "blobs", net.call)
    for data in (RESULT, *scene.world.network.blobs.values()):
        blobs.path(Hash32(hashlib.sha256(data).digest())).write_bytes(data)
    _write_log(loop, scene, folder / "logs")
    taker = OutputTaker(blobs, OutputsGone(blobs))
    nursery.start_soon(taker.run)
    images = ImageMaker(blobs, ImageList(folder / "images.json"), clock, Board(), lambda: find_needed(loop.state).blobs)
    return Console(
        loop=loop,
        journal=journal,
        clock=clock,
        chain=registry,  # type: ignore[arg-type]
        market=market,
        node=_make_node(folder, scene.now_ns, peers=0 if machine.provider else 2),
        presenter=Presenter({ASSET: OPENX}),
        outputs=taker,
        jobs=JobMaker(machine.address, {"OPENX": OPENX}, blobs, images),
        progress=ProgressReader(net, clock),
        evidence=EvidenceMaker(journal, machine.signer, DOMAIN),
        declared=make_declared(folder, machine, loop, clock),
        capacity_documents=await _keep_verdict(SqlPromises(database)),
        challenge_failures=await _keep_failures(SqlPromises(database)),
    )


def make_declared(folder: Path, machine: Machine, loop: Loop, clock: FixedClock) -> Declared:
    """The machine's settings as its config.toml declares them."""
    home = Home(folder)
    home.config.write_text(f'[chain]\nmanifest = "chain.toml"\n{_make_role(machine)}')
    manifest = msgspec.structs.replace(MANIFEST, assets=(OPENX,))
    return Declared(load_config(home), manifest, make_profile() if machine.provider else None, loop, clock)


def _make_role(machine: Machine) -> str:
    if machine.provider is None:
        return ""
    return f"""
[provider]
owner = "0x{machine.provider.owner.hex()}"
region = "{REGION}"

[provider.prices]
vcpu_hour = "0.02"
memory_gib_hour = "0.005"

[provider.share]
vcpus = 8
memory = "16GiB"
disk = "100GiB"
"""


async def _keep_failures(promises: SqlPromises) -> FailureKeeper:
    """Of two challenges, the later one drawn last."""
    keeper = FailureKeeper(promises)
    for number, drawn_at, reason in ((1, 1_700_000_100, "a later one"), (2, 1_700_000_000, EVIL)):
        challenge = Challenge(
            Hash32(bytes([number]) * 32), Address(bytes(20)), "drawn", 0, 0, ZERO_HASH, (), 1, (), drawn_at
        )
        await keeper.keep(challenge, reason)
    return keeper


def _make_node(folder: Path, now_ns: int, peers: int) -> ThisNode:
    return ThisNode(
        home=str(folder),
        version="0.1.0",
        chain_id=31337,
        started_at_ns=now_ns - NANOS_PER_HOUR,
        log_folder=folder / "logs",
        multiaddrs=lambda: ("/ip4/127.0.0.1/tcp/4001", "/ip4/192.0.2.1/tcp/4001"),
        peers=lambda: peers,
        http=lambda: "http://127.0.0.1:4002",
        ready=lambda: {"chain": "", "engine": "podman is not installed"},
        refusals=Counter({"quote_capacity": 3, EVIL: 9}),
        stop=lambda: None,
        restart_net=lambda: None,
        chain_problem=lambda: "the chain at http://127.0.0.1:8545 has made no block for 3 min",
        fuel=lambda: Fuel(5 * 10**15, 7),
        reveals=lambda: RevealState(3, True, 1_800_000_000, 1, "the device is at work"),
        not_lent=lambda: ("NVIDIA GPU 3: GPU is lost",),
        disk=lambda: FULL_DISK if not peers else None,
    )


def _fill_book(market: Market, scene: Scene) -> None:
    for signed in make_offers(scene):
        market.book.offers.add(signed, scene.now_ns)
    for node, rtt_us in ((1, 1_500), (GPU_NODE, 80_200)):
        market.book.latencies[address_of(node)] = next_latency(None, rtt_us, scene.now_ns)
        market.book.note_answer(address_of(node))
    market.book.note_silence(address_of(LIAR))


def _write_log(loop: Loop, scene: Scene, folder: Path) -> None:
    job = loop.state.get(SubmitterJob, scene.paid)
    if job is not None:
        assert job.lease_id is not None
        JobLog(folder, job.lease_id).append(LOG_END, LOG, ended=True)


async def _keep_verdict(promises: SqlPromises) -> EvidenceKeeper:
    keeper = EvidenceKeeper(promises, DOMAIN)
    await keeper.keep_verdict(SignedVerdict(Verdict(ZERO_HASH, ZERO_HASH, False, ZERO_HASH), b"\1" * 65))
    return keeper


def _read_disk(machine: Machine) -> Batch:
    disk, batch = machine.disk, Batch()
    batch.entries = [(seq, decode(data, Entry)) for seq, data in disk.entries]
    batch.records = {key: (decode(data, Record), is_live) for key, (data, is_live) in disk.records.items()}  # type: ignore[arg-type]
    return batch


async def _never(_effect: effects.DurableEffect) -> Change:
    """Every effect takes forever: the scene stands still."""
    await trio.sleep_forever()
    raise AssertionError
