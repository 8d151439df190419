"""Daemon: the composition root: every adapter is made here and handed to those who need it."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from math import inf

import structlog
import trio
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine as Database

from metering.codec import decode
from metering.refusal import Refusal
from metering.units import Address
from scheduler.preferences import ExposureBound
from xnode import __version__
from xnode.backoff import Backoff, retry_forever
from xnode.chain.client import ChainClient, open_client
from xnode.chain.deployment.manifest import Manifest, read_manifest
from xnode.challenge.prover import Prover
from xnode.challenge.verifier import Verifier
from xnode.challenge.watch import CapacityWatch
from xnode.clock import SystemClock
from xnode.config.settings import Config, ProviderConfig
from xnode.console.console import Console
from xnode.console.evidence import EvidenceMaker
from xnode.console.jobs import JobMaker
from xnode.console.present import Presenter
from xnode.control.server import hold_pid_file, serve_control
from xnode.effects.dispatch import make_perform
from xnode.effects.layouts import LayoutStore
from xnode.effects.orphans import sweep_orphans
from xnode.effects.provider import ProviderEffects
from xnode.effects.submitter import SubmitterEffects
from xnode.errors import Permanent, Retryable, UserError, real_error_of
from xnode.heap import freeze_start
from xnode.loop import Loop
from xnode.monitor.metrics import register_metrics
from xnode.net.blobs import BlobStore, serve_blobs
from xnode.net.edge import Net, NetSettings, open_net
from xnode.net.identity import peer_id_text_of
from xnode.node.changes import AddressesChanged, NodeStarted
from xnode.node.message import LOGS_FOLLOW, OFFER_GET
from xnode.peers.follow import LogFollower
from xnode.peers.job_log import LogArchive
from xnode.peers.market import Market
from xnode.peers.serve import Server
from xnode.peers.settle import ChainNews, EscrowWatcher, find_pause_s
from xnode.ports.net import RpcHandler, RpcRefused
from xnode.rules import make_provider_settings, make_submitter_settings
from xnode.runtime.host.gpus import make_device_names
from xnode.runtime.host.hardware import probe_hardware
from xnode.runtime.podman.engine import PodmanEngine
from xnode.store.database import migrate_apart, open_database
from xnode.store.journal import Journal
from xnode.store.promises import SqlPromises
from xnode.wallet.keystore import Keystore
from xnode.wallet.signer import NodeSigner, WalletKey

CHAIN_CHECK_S = 15.0
"""How often readiness asks whether the chain is there and is ours."""

ADDRESS_LOOK_S = 3.0
"""How often we look whether we are reached elsewhere now: a relay is found a moment after the start."""

STOP_AFTER_S = 0.1
"""From the order to stop until we do: long enough for its answer to leave."""

RECORD_EVERY_S = 600.0
"""How often a node without an offer says where it is."""

SWEEP_RETRY = Backoff(first_s=5.0, most_s=300.0)
"""Between tries to remove what is left of leases that are over: nothing waits for it."""

log = structlog.get_logger()


def run_daemon(config: Config) -> None:
    """Be the node until SIGTERM, SIGINT or node.stop. Raises UserError, Permanent when it cannot start."""
    try:
        with hold_pid_file(config.home.pid):
            config.node.data_dir.mkdir(parents=True, exist_ok=True)
            migrate_apart(config.node.database_url)
            trio.run(_run, config)
    except BaseExceptionGroup as group:
        raise real_error_of(group) from group


async def _run(config: Config) -> None:
    stop = trio.CancelScope()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_wait_signal, signals, stop)
            with stop:
                await _Daemon(config, stop.cancel).run()
            nursery.cancel_scope.cancel()
    log.info("stopped; workloads go on")


async def _wait_signal(signals: AsyncIterator[int], stop: trio.CancelScope) -> None:
    async for number in signals:
        log.info("stopping", signal=number)
        stop.cancel()


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything else stands on."""

    manifest: Manifest
    key: WalletKey
    signer: NodeSigner
    database: Database
    clock: SystemClock


class _Daemon:
    def __init__(self, config: Config, stop: Callable[[], None]) -> None:
        self._config, self._stop = config, stop
        self._problems: dict[str, str] = {}
        self._refusals: Counter[str] = Counter()
        self._http = ""

    async def run(self) -> None:
        config = self._config
        ground = await self._lay_ground()
        engine = await self._make_engine(config.provider) if config.provider else None
        async with AsyncExitStack() as stack:
            chain = await stack.enter_async_context(self._open_chain(ground))
            net_settings = NetSettings(
                secret=ground.signer.libp2p_secret(),
                listen=config.node.listen,
                separator=ground.manifest.domain.separator(),
                bootstrap=config.node.bootstrap,
                announce=config.node.announce,
                relay=config.node.relay,
                dht=config.node.dht,
            )
            net = await stack.enter_async_context(open_net(net_settings, ground.clock.now_ns))
            await self._live(ground, engine, chain, net)

    def _stop_soon(self) -> None:
        """Stop once the answer to who asked is out."""
        trio.lowlevel.spawn_system_task(self._stop_after)

    async def _stop_after(self) -> None:
        await trio.sleep(STOP_AFTER_S)
        self._stop()

    # ------------------------------------------------------------------------------------------------------------ parts

    async def _lay_ground(self) -> _Ground:
        config = self._config
        manifest = read_manifest(config.chain.manifest)
        try:
            password = config.node.password_file.read_text().rstrip("\r\n")
        except OSError as error:
            raise UserError(
                f"cannot read the node key's password: {error.strerror}", where=str(config.node.password_file)
            ) from error
        key = await Keystore(config.home.node_key).load("", password)
        database = await trio.to_thread.run_sync(open_database, config.node.database_url)
        return _Ground(manifest, key, NodeSigner(key, manifest.domain), database, SystemClock())

    async def _make_engine(self, provider: ProviderConfig) -> PodmanEngine:
        data = self._config.node.data_dir
        profile = await trio.to_thread.run_sync(probe_hardware, data)
        devices = make_device_names(profile.gpus)[: provider.share.gpus]
        engine = PodmanEngine((data / "engine").absolute(), self._config.home.namespace, provider.oci_runtime, devices)
        version = await engine.check()
        log.info("container engine ready", version=version)
        return engine

    @asynccontextmanager
    async def _open_chain(self, ground: _Ground) -> AsyncIterator[ChainClient]:
        url = self._config.chain.rpc_url
        async with open_client(ground.manifest, ground.signer, ground.database, rpc_url=url) as chain:
            try:
                log.info("chain ready", chain=await chain.check())
            except Retryable as error:
                # A chain node that is away now may come back: leases under way must not wait for it.
                self._problems["chain"] = str(error)
                log.warning("chain not reachable yet", reason=str(error))
            yield chain

    # ------------------------------------------------------------------------------------------------------------- life

    async def _live(self, ground: _Ground, engine: PodmanEngine | None, chain: ChainClient, net: Net) -> None:
        config, clock, signer = self._config, ground.clock, ground.signer
        data = config.node.data_dir
        blobs = BlobStore(data / "blobs", net.stream)
        archive = LogArchive(data / "archive")
        bound = ExposureBound(config.submitter.max_exposure_intervals, config.submitter.max_exposure_ns)
        market = Market(net, signer, chain, clock, ground.manifest.domain.separator(), bound)
        submitter = SubmitterEffects(blobs, net, chain, signer, market, clock)
        provider = None
        if engine is not None:
            layouts = LayoutStore(data / "layouts", blobs)
            provider = ProviderEffects(engine, layouts, blobs, net, chain, signer, market, archive, clock)
        journal = Journal(ground.database)
        loop = Loop(journal, clock, make_perform(provider, submitter))
        server = Server(loop, clock, signer, engine, archive)
        for method, handler in server.methods().items():
            net.serve(method, self._count(method, handler))
        watch = self._serve_capacity(ground, chain, net, loop)
        net.serve(OFFER_GET, market.answer_offer)
        net.serve_stream(LOGS_FOLLOW, server.follow_logs)
        serve_blobs(net, blobs, server.may_read_blob)
        registry = CollectorRegistry()
        register_metrics(registry, loop, net)
        console = self._make_console(ground, loop, journal, market, chain, net, blobs)
        async with trio.open_nursery() as nursery:
            await nursery.start(loop.run)
            await loop.tell(await self._make_start(ground, net))
            nursery.start_soon(LogFollower(loop, net, data / "logs").run)
            nursery.start_soon(EscrowWatcher(loop, chain, ChainNews(chain, lambda: find_pause_s(loop.state))).run)
            nursery.start_soon(market.run)
            nursery.start_soon(self._keep_found, net, market, loop)
            nursery.start_soon(self._check_chain, chain)
            if watch is not None:
                nursery.start_soon(watch.run)
            if engine is not None:
                sweep = partial(sweep_orphans, engine, loop, journal)
                nursery.start_soon(retry_forever, "removing orphaned workloads", sweep, SWEEP_RETRY)
            await self._serve_http(nursery, console, registry)
            documents = {"provider.documents": watch.documents.show} if watch is not None else {}
            await nursery.start(serve_control, config.home.control, {**console.methods(), **documents})
            freeze_start()
            log.info("node ready", node="0x" + signer.address.hex(), listen=net.multiaddrs(), version=__version__)

    def _serve_capacity(self, ground: _Ground, chain: ChainClient, net: Net, loop: Loop) -> CapacityWatch | None:
        """What a provider does about challenges: answers those about itself, and judges others when it is drawn."""
        if self._config.provider is None:
            return None
        me, domain = self._config.provider.owner, ground.manifest.capacity_domain
        signer, promises = NodeSigner(ground.key, domain), SqlPromises(ground.database)
        prover = Prover(chain.capacity, promises, signer)
        verifier = Verifier(me, chain.capacity, net, promises, signer, ground.clock, domain)
        for method, handler in (prover.methods() | verifier.methods()).items():
            net.serve(method, self._count(method, handler))
        return CapacityWatch(me, chain.capacity, prover, verifier, loop.tell)

    async def _make_start(self, ground: _Ground, net: Net) -> NodeStarted:
        config = self._config
        provider = None
        if config.provider is not None:
            profile = await trio.to_thread.run_sync(probe_hardware, config.node.data_dir)
            provider = make_provider_settings(config.provider, ground.manifest, profile)
        return NodeStarted(
            node=ground.signer.address,
            separator=ground.manifest.domain.separator(),
            software=f"xnode/{__version__}",
            multiaddrs=net.multiaddrs(),
            provider=provider,
            submitter=make_submitter_settings(config.submitter),
        )

    def _make_console(
        self,
        ground: _Ground,
        loop: Loop,
        journal: Journal,
        market: Market,
        chain: ChainClient,
        net: Net,
        blobs: BlobStore,
    ) -> Console:
        assets = {asset.address: asset for asset in ground.manifest.assets}
        peer_id = peer_id_text_of(ground.signer.libp2p_secret())
        return Console(
            loop=loop,
            journal=journal,
            clock=ground.clock,
            market=market,
            chain=chain,
            maker=JobMaker(ground.signer.address, {a.symbol: a for a in ground.manifest.assets}, blobs),
            presenter=Presenter(assets, blobs),
            evidence=EvidenceMaker(journal, ground.signer, ground.manifest.domain),
            log_folder=self._config.node.data_dir / "logs",
            home=str(self._config.home.folder),
            version=__version__,
            stop=self._stop_soon,
            restart_net=net.restart,
            ready=lambda: dict(self._problems),
            peers=lambda: len(net.peers()),
            multiaddrs=lambda: tuple(f"{one}/p2p/{peer_id}" for one in net.multiaddrs()),
            chain_id=ground.manifest.chain_id,
            http=lambda: self._http,
            started_at_ns=ground.clock.now_ns(),
            refusals=self._refusals,
        )

    def _count(self, method: str, handler: RpcHandler) -> RpcHandler:
        """The handler, with every no counted by method and reason."""

        async def counted(caller: Address, body: bytes) -> bytes:
            try:
                return await handler(caller, body)
            except RpcRefused as refused:
                code = decode(refused.body, Refusal).code
                self._refusals[code] += 1
                log.info("refused", method=method, peer="0x" + caller.hex(), code=code)
                raise

        return counted

    async def _serve_http(self, nursery: trio.Nursery, console: Console, registry: CollectorRegistry) -> None:
        if self._config.node.http:
            # Only where it is wanted: an HTTP server takes memory, and most submitters have none.
            from xnode.monitor.http import serve_http

            host, _, port = self._config.node.http.rpartition(":")
            status = partial(console.node_status, {})
            self._http = await nursery.start(serve_http, host.strip("[]"), int(port), status, registry)

    async def _keep_found(self, net: Net, market: Market, loop: Loop) -> None:
        """Others find us where we are: with our offer when we have one, else with our addresses alone."""
        published, published_at = net.multiaddrs(), -inf
        while True:
            moved = net.multiaddrs() != published
            if moved:
                await loop.tell(AddressesChanged(net.multiaddrs()))
            if loop.state.settings.provider is None and (moved or trio.current_time() - published_at > RECORD_EVERY_S):
                try:
                    await market.publish(None)
                    published_at = trio.current_time()
                except (Retryable, Permanent) as error:
                    log.info("our addresses are not published", reason=str(error))
            published = net.multiaddrs()
            await trio.sleep(ADDRESS_LOOK_S)

    async def _check_chain(self, chain: ChainClient) -> None:
        while True:
            try:
                # Contracts cannot change under an address, so all of it is checked again only after a fault.
                await (chain.check() if "chain" in self._problems else chain.check_is_there())
                self._problems.pop("chain", None)
            except (Retryable, Permanent) as error:
                self._problems["chain"] = str(error)
            await trio.sleep(CHAIN_CHECK_S)
