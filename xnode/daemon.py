"""Daemon: the composition root: every adapter is made here and handed to those who need it."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import trio
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine as Database

from metering.units import Hash32
from scheduler.offer import HardwareProfile
from scheduler.preferences import ExposureBound
from xnode import __version__
from xnode.backoff import Backoff, retry_forever
from xnode.chain.breach_events import ShortfallEvents, SilenceEvents
from xnode.chain.client import ChainClient, open_client
from xnode.chain.deployment.manifest import Manifest, read_manifest
from xnode.challenge.prover import Prover
from xnode.challenge.revealer import Revealer
from xnode.challenge.verifier import Verifier
from xnode.challenge.watch import CapacityWatch
from xnode.clock import SystemClock
from xnode.config.comparison import settings_hash_of
from xnode.config.settings import Config, ProviderConfig
from xnode.console.compensations import find_uncollected
from xnode.console.console import Console, ThisNode
from xnode.console.evidence import EvidenceMaker
from xnode.console.image_list import ImageList
from xnode.console.image_maker import ImageMaker
from xnode.console.job_maker import JobMaker
from xnode.console.method import bind_methods
from xnode.console.node import describe_node
from xnode.console.present import Presenter
from xnode.console.silences import find_unanswered
from xnode.console.standing import find_standing
from xnode.console.stuck import find_stuck
from xnode.control.server import hold_pid_file, serve_control
from xnode.declared import Declared, reload_quietly
from xnode.effects.checked_chain import CheckedChain
from xnode.effects.dispatch import make_perform
from xnode.effects.gpu_watch import watch_gpus
from xnode.effects.layouts import LayoutStore
from xnode.effects.orphans import sweep_orphans
from xnode.effects.provider import ProviderEffects
from xnode.effects.submitter import SubmitterEffects
from xnode.errors import Permanent, Retryable, UserError, real_error_of
from xnode.heap import freeze_start, keep_trimmed
from xnode.home import close_data, making_private_files
from xnode.kept_clock import ClockKeeper, open_clock
from xnode.loop import Loop
from xnode.monitor.metrics import register_metrics
from xnode.net.blobs import BlobStore, serve_blobs
from xnode.net.edge import Net, NetSettings, open_net
from xnode.net.identity import peer_id_text_of
from xnode.net.known_peers import read_known_peers
from xnode.net.multiaddr import name_peer
from xnode.net.outputs import OutputFetcher, serve_outputs
from xnode.node.changes import NodeStarted
from xnode.node.lease import HOLDING
from xnode.node.message import LOGS_FOLLOW, OFFER_GET
from xnode.node.needed import find_needed
from xnode.node.records import ProviderLease
from xnode.node.state import State
from xnode.notify import Notifier, take_notifier
from xnode.peers.chain_watch import ChainWatch
from xnode.peers.compensation_watch import CompensationWatcher
from xnode.peers.escrow_watch import EscrowEvents, EscrowWatcher, find_pause_s
from xnode.peers.experience import Experience
from xnode.peers.funds import SeenFunds
from xnode.peers.job_log import LogArchive
from xnode.peers.known import KnownPeerKeeper
from xnode.peers.log_follower import LogFollower
from xnode.peers.market import Market, make_market
from xnode.peers.output_shelf import OutputShelf
from xnode.peers.output_taker import OutputTaker
from xnode.peers.partners import Partners
from xnode.peers.progress import ProgressReader
from xnode.peers.publish import OfferPublisher, keep_found
from xnode.peers.refused import count_refused
from xnode.peers.serve import PeerService
from xnode.peers.silence_watch import SilenceWatcher
from xnode.ports.store import Pick
from xnode.progress import Board
from xnode.readiness import Readiness
from xnode.rules import make_provider_settings, make_submitter_settings
from xnode.runtime.host.gpu_watch import GpuWatch
from xnode.runtime.host.gpus import Survey, survey_gpus
from xnode.runtime.host.hardware import probe_hardware
from xnode.runtime.podman.engine import PodmanEngine
from xnode.service import Doing, Service, find_doing
from xnode.store.database import migrate_apart, open_database
from xnode.store.deployment import check_deployment_of_store
from xnode.store.inspection import require_known_schema
from xnode.store.journal import Journal
from xnode.store.mark import require_readable, write_mark
from xnode.store.promises import SqlPromises
from xnode.store.pruning import Pruner
from xnode.store.record_reader import RecordReader
from xnode.supervisor import Supervisor
from xnode.text.hex import to_hex
from xnode.upkeep.keeper import DiskKeeper, make_keeping
from xnode.upkeep.stock import Stock
from xnode.wallet.keystore import Keystore
from xnode.wallet.signer import NodeSigner, WalletKey

STOP_AFTER_S = 0.1
"""From the order to stop until we do: long enough for its answer to leave."""

LEAVE_S = 1.0
"""How long a node that stops waits until others know that it does."""

SWEEP_RETRY = Backoff(first_s=5.0, most_s=300.0)
"""Between tries to remove what is left of leases that are over: nothing waits for it."""

log = structlog.get_logger()


def run_daemon(config: Config) -> None:
    """Be the node until SIGTERM, SIGINT or node.stop. Raises UserError, Permanent when it cannot start."""
    notifier = take_notifier()
    if config.provider is not None:
        open_modes()
    try:
        with hold_pid_file(config.home.pid):
            # Before anything is touched: what a newer version left stays as it is for that one.
            require_readable(config.node.data_dir)
            require_known_schema(config.node.database_url)
            close_data(config.node.data_dir)
            # Before the schema is migrated: what this version cannot settle, the one before must still be able to open.
            separator = read_manifest(config.chain.manifest).domain.separator()
            is_busy = check_deployment_of_store(config.node.database_url, separator, str(config.chain.manifest))
            write_mark(config.node.data_dir)
            with making_private_files():
                migrate_apart(config.node.database_url)
            trio.run(_run, config, is_busy, notifier)
    except BaseExceptionGroup as group:
        raise real_error_of(group) from group


def open_modes() -> None:
    """Make files and folders with the modes that are said where they are made. Workloads have users of their own, and reach what
    is theirs through our folders: under an operator's umask of 077 none of them would start."""
    os.umask(0o022)


def find_bootstrap(own: tuple[str, ...], markets: tuple[str, ...], secret: bytes) -> tuple[str, ...]:
    """The peers to start from: the operator's, then the market's; a node that is one of them itself leaves itself out."""
    me = f"/p2p/{peer_id_text_of(secret)}"
    return tuple(one for one in dict.fromkeys((*own, *markets)) if not one.endswith(me))


async def _run(config: Config, is_busy: bool, notifier: Notifier) -> None:
    stop = trio.CancelScope()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            daemon = _Daemon(config, stop.cancel, is_busy, notifier)
            nursery.start_soon(_wait_signal, signals, daemon, stop)
            with stop:
                await daemon.run()
            nursery.cancel_scope.cancel()
    log.info("stopped; workloads go on")


async def _wait_signal(signals: AsyncIterator[int], daemon: _Daemon, stop: trio.CancelScope) -> None:
    async for number in signals:
        # On a terminal that is closed it means what it always has: that who began us has gone.
        if number == signal.SIGHUP and not sys.stderr.isatty():
            await daemon.reload()
            continue
        log.info("stopping", signal=number)
        await daemon.take_leave()
        stop.cancel()


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything else is built on."""

    manifest: Manifest
    key: WalletKey
    signer: NodeSigner
    database: Database
    clock: SystemClock


class _Daemon:
    """is_busy: leases are under way. They are taken up at once, and what only new ones need is checked beside them; without
    any, everything is checked first, and what is wrong ends the start."""

    def __init__(self, config: Config, stop: Callable[[], None], is_busy: bool, notifier: Notifier) -> None:
        self._config, self._stop, self._is_busy = config, stop, is_busy
        self._ready = Readiness(config)
        self._service = Service(notifier, self._find_doing)
        self._refusals: Counter[str] = Counter()
        self._http = ""
        self._publisher: OfferPublisher | None = None
        self._declared: Declared | None = None
        self._known_peers = config.node.data_dir / "peers.json"

    async def run(self) -> None:
        config = self._config
        self._service.start()
        ground = await self._lay_ground()
        profile = engine = None
        if config.provider is not None:
            profile, survey = await trio.to_thread.run_sync(_look_at_host, config.node.data_dir)
            engine = self._make_engine(config.provider, survey)
        async with AsyncExitStack() as stack:
            url = config.chain.rpc_url
            chain = await stack.enter_async_context(
                open_client(ground.manifest, ground.signer, ground.database, rpc_url=url)
            )
            if not self._is_busy:
                await self._ready.check_first(engine, chain)
            net_settings = NetSettings(
                secret=ground.signer.libp2p_secret(),
                listen=config.node.listen,
                separator=ground.manifest.domain.separator(),
                bootstrap=find_bootstrap(
                    config.node.bootstrap, ground.manifest.bootstrap, ground.signer.libp2p_secret()
                ),
                announce=config.node.announce,
                relay=config.node.relay,
                dht=config.node.dht,
                ports=config.node.data_dir / "ports.json",
                known=await trio.to_thread.run_sync(read_known_peers, self._known_peers, ground.clock.now_ns()),
            )
            net = await stack.enter_async_context(open_net(net_settings, ground.clock.now_ns))
            await self._live(ground, engine, profile, chain, net)

    def _stop_soon(self) -> None:
        """Stop once the answer to the request is out."""
        trio.lowlevel.spawn_system_task(self._stop_after)

    async def _stop_after(self) -> None:
        await trio.sleep(STOP_AFTER_S)
        await self.take_leave()
        self._stop()

    async def reload(self) -> None:
        """Take the settings as they are declared now; a node that is not ready yet does so when it is."""
        if self._declared is not None:
            await reload_quietly(self._declared)

    async def take_leave(self) -> None:
        """Take our offer back: until it expires, submitters would go on asking a node that is not there."""
        self._service.stop()
        if self._publisher is not None:
            with trio.move_on_after(2 * LEAVE_S):
                try:
                    await self._publisher.withdraw(LEAVE_S)
                except (Retryable, Permanent) as error:
                    log.info("the offer is not taken back", reason=str(error))

    def _find_doing(self) -> Doing:
        state = self._ready.loop.state if self._ready.loop else State()
        return find_doing(state, self._ready.find_problems())

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
        held = await RecordReader(database).read_page(ProviderLease, Pick(limit=1, statuses=tuple(HOLDING)))
        clock = await trio.to_thread.run_sync(open_clock, config.node.data_dir, bool(held.total))
        return _Ground(manifest, key, NodeSigner(key, manifest.domain), database, clock)

    def _make_engine(self, provider: ProviderConfig, survey: Survey) -> PodmanEngine:
        data = self._config.node.data_dir
        for fault in survey.faults:
            log.warning("GPU cannot be lent", reason=fault)
        watch = self._ready.gpu_watch = GpuWatch(survey, provider.share.gpus)
        place, name = (data / "engine").absolute(), self._config.home.namespace
        return PodmanEngine(
            place, name, provider.oci_runtime, watch.devices, watch.find_lost, registries=provider.registries
        )

    # ------------------------------------------------------------------------------------------------------------- life

    async def _live(
        self,
        ground: _Ground,
        engine: PodmanEngine | None,
        profile: HardwareProfile | None,
        chain: ChainClient,
        net: Net,
    ) -> None:
        config, clock, signer = self._config, ground.clock, ground.signer
        self._ready.net, data = net, config.node.data_dir
        blobs = BlobStore(data / "blobs", net.stream)
        archive = LogArchive(data / "archive")
        journal = Journal(ground.database)
        publisher = self._publisher = OfferPublisher(net, signer, clock)
        experience = Experience(lambda: loop.state)
        bound = ExposureBound(config.submitter.max_exposure_intervals, config.submitter.max_exposure_ns)
        separator = ground.manifest.domain.separator()
        market = make_market(net, signer.address, chain, clock, separator, experience, bound)
        checked = CheckedChain(chain, self._ready.held)
        taker = OutputTaker(blobs, OutputFetcher(blobs, net.stream))
        submitter = SubmitterEffects(taker, net, checked, signer, market.search, clock)
        provider, board = None, Board()
        if engine is not None:
            layouts = LayoutStore(data / "layouts", blobs)
            provider = ProviderEffects(engine, layouts, blobs, net, checked, signer, publisher, archive, clock, board)
        loop = self._ready.loop = Loop(journal, clock, make_perform(provider, submitter))
        declared = Declared(config, ground.manifest, profile, loop, clock)
        net.judge(Partners(loop, clock, market.registrations).standing_of)
        funds = SeenFunds(checked, clock)
        service = PeerService(loop, clock, signer, engine, archive, journal, board, funds)
        for method, handler in service.methods().items():
            net.serve(method, count_refused(self._refusals, method, handler))
        watch = self._serve_capacity(ground, chain, net, loop)
        net.serve(OFFER_GET, publisher.answer_offer)
        net.serve_stream(LOGS_FOLLOW, service.follow_logs)
        serve_blobs(net, blobs, service.may_read_blob)
        serve_outputs(net, blobs, OutputShelf(loop, journal, blobs).find_blobs)
        registry = CollectorRegistry()
        chain_watch = self._ready.chain_watch = ChainWatch(chain, loop.tell)
        register_metrics(registry, loop, net, self._ready.measure)
        console = self._make_console(ground, loop, journal, chain, market, net, blobs, taker, watch, declared)
        keeper = self._ready.disk = self._make_keeper(ground, declared, console.jobs.images, engine)
        declared.listeners.append(keeper.take)
        self._ready.find_stuck = partial(find_stuck, loop, console.presenter.brief)
        self._ready.find_uncollected = partial(find_uncollected, loop, clock)
        clock_keeper = ClockKeeper(
            clock, data, lambda: any(one.status in HOLDING for one in loop.state.all(ProviderLease))
        )
        self._ready.find_clock_step = clock_keeper.find_problem
        news = EscrowEvents(chain, lambda: find_pause_s(loop.state))
        tasks: dict[str, Callable[[], Awaitable[object]]] = {
            "output taker": taker.run,
            "log follower": LogFollower(loop, net, clock, data / "logs").run,
            "escrow watcher": EscrowWatcher(loop, chain, news).run,
            "offer book": market.book.run,
            "funds of those who ask": funds.run,
            "address announcer": partial(keep_found, net, publisher, loop),
            "chain watch": partial(self._ready.watch_chain, chain, chain_watch),
            "known peers": KnownPeerKeeper(net, market, clock, self._known_peers).run,
            "disk keeper": keeper.run,
            "clock keeper": clock_keeper.run,
            "heap": keep_trimmed,
        }
        if config.submitter.payer is not None:
            noted = ShortfallEvents(chain.rpc, ground.manifest)
            tasks["compensation watcher"] = CompensationWatcher(loop, journal, chain, noted).run
        if engine is not None:
            tasks |= self._ready.list_checks(engine)
        if watch is not None:
            tasks["capacity watch"] = watch.run
            self._ready.find_standing = lambda: find_standing(watch.reported)
        if config.provider is not None:
            owner = config.provider.owner
            claims = SilenceEvents(chain.rpc, ground.manifest, owner)
            tasks["silence watcher"] = SilenceWatcher(owner, loop, journal, chain, claims).run
            self._ready.find_unanswered = partial(find_unanswered, loop, clock)
        gpu_watch = self._ready.gpu_watch
        if engine is not None and gpu_watch is not None and gpu_watch.devices:
            tasks["GPU watch"] = partial(watch_gpus, gpu_watch.look, engine, loop)
        if engine is not None:
            sweep = partial(sweep_orphans, engine, loop, journal)
            tasks["orphan sweep"] = partial(retry_forever, "removing orphaned workloads", sweep, SWEEP_RETRY)
        async with trio.open_nursery() as nursery:
            await nursery.start(loop.run, self._make_start(ground, net, profile))
            supervisor = self._ready.supervisor = Supervisor(nursery)
            for name, task in tasks.items():
                supervisor.start(name, task)
            await nursery.start(serve_control, config.home.control, bind_methods(console))
            # What was declared after we had read it, and before we could be told.
            await reload_quietly(declared)
            self._declared = declared
            await self._serve_http(nursery, console, registry)
            freeze_start()
            self._service.ready()
            supervisor.start("service manager's news", self._service.run)
            peer_id = peer_id_text_of(signer.libp2p_secret())
            listen = [f"{one}/p2p/{peer_id}" for one in net.multiaddrs()]
            log.info("node ready", node=to_hex(signer.address), listen=listen, version=__version__)

    def _serve_capacity(self, ground: _Ground, chain: ChainClient, net: Net, loop: Loop) -> CapacityWatch | None:
        """What a provider does about challenges: answers those about itself, and judges others when it is drawn."""
        if self._config.provider is None:
            return None
        me, domain = self._config.provider.owner, ground.manifest.capacity_domain
        signer, promises = NodeSigner(ground.key, domain), SqlPromises(ground.database)
        prover = Prover(chain.capacity, promises, signer)
        verifier = Verifier(me, chain.capacity, net, promises, signer, ground.clock, domain)
        for method, handler in (prover.methods() | verifier.methods()).items():
            net.serve(method, count_refused(self._refusals, method, handler))
        revealer = Revealer(me, chain.capacity, chain.reveals)
        self._ready.reveals = lambda: revealer.state
        return CapacityWatch(me, chain.capacity, prover, verifier, loop.tell, revealer)

    def _make_start(self, ground: _Ground, net: Net, profile: HardwareProfile | None) -> NodeStarted:
        config = self._config
        provider = None
        if config.provider is not None and profile is not None:
            provider = make_provider_settings(config.provider, ground.manifest, profile)
        return NodeStarted(
            node=ground.signer.address,
            separator=ground.manifest.domain.separator(),
            software=f"xnode/{__version__}",
            multiaddrs=net.multiaddrs(),
            provider=provider,
            submitter=make_submitter_settings(config.submitter, ground.manifest),
            settings_hash=Hash32(settings_hash_of(config)),
        )

    def _make_keeper(
        self, ground: _Ground, declared: Declared, images: ImageMaker, engine: PodmanEngine | None
    ) -> DiskKeeper:
        data, loop = self._config.node.data_dir, declared.loop
        return DiskKeeper(
            folder=data,
            stock=Stock(data / "blobs", (data / "archive", data / "logs")),
            keeping=make_keeping(self._config),
            find_needed=lambda: find_needed(loop.state).with_blobs(images.kept_blobs()),
            tell=loop.tell,
            pruning=Pruner(ground.database),
            clock=ground.clock,
            shelf=engine,
            is_busy=images.is_busy,
            forget=lambda: images.forget_unused(declared.running.node.keep_files_ns),
        )

    def _make_console(
        self,
        ground: _Ground,
        loop: Loop,
        journal: Journal,
        chain: ChainClient,
        market: Market,
        net: Net,
        blobs: BlobStore,
        taker: OutputTaker,
        watch: CapacityWatch | None,
        declared: Declared,
    ) -> Console:
        manifest, signer = ground.manifest, ground.signer
        kept = ImageList(self._config.node.data_dir / "images.json")
        images = ImageMaker(blobs, kept, ground.clock, Board(), lambda: find_needed(loop.state).blobs)
        return Console(
            loop=loop,
            journal=journal,
            clock=ground.clock,
            chain=chain,
            market=market,
            node=self._describe_node(ground, net),
            presenter=Presenter({asset.address: asset for asset in manifest.assets}),
            outputs=taker,
            jobs=JobMaker(signer.address, {asset.symbol: asset for asset in manifest.assets}, blobs, images),
            progress=ProgressReader(net, ground.clock),
            evidence=EvidenceMaker(journal, signer, manifest.domain),
            capacity_documents=watch.documents if watch is not None else None,
            challenge_failures=watch.failures if watch is not None else None,
            declared=declared,
        )

    def _describe_node(self, ground: _Ground, net: Net) -> ThisNode:
        peer_id = peer_id_text_of(ground.signer.libp2p_secret())
        return ThisNode(
            home=str(self._config.home.folder),
            version=__version__,
            chain_id=ground.manifest.chain_id,
            started_at_ns=ground.clock.now_ns(),
            log_folder=self._config.node.data_dir / "logs",
            multiaddrs=lambda: tuple(name_peer(one, peer_id) for one in net.multiaddrs()),
            peers=lambda: len(net.peers()),
            http=lambda: self._http,
            ready=self._ready.find_problems,
            chain_problem=lambda: self._ready.find_problems().get("chain", ""),
            fuel=lambda: self._ready.chain_watch.fuel if self._ready.chain_watch else None,
            refusals=self._refusals,
            reveals=lambda: self._ready.reveals(),
            disk=lambda: self._ready.disk.state if self._ready.disk else None,
            look_at_disk=self._look_at_disk,
            stop=self._stop_soon,
            restart_net=net.restart,
            not_lent=lambda: self._ready.gpu_watch.faults if self._ready.gpu_watch else (),
        )

    async def _look_at_disk(self) -> None:
        if self._ready.disk is not None:
            # What cannot be looked at now is as it was at the last look.
            with suppress(Retryable, Permanent, OSError):
                await self._ready.disk.look()

    async def _serve_http(self, nursery: trio.Nursery, console: Console, registry: CollectorRegistry) -> None:
        if self._config.node.http:
            # Only where it is wanted: an HTTP server takes memory, and most submitters have none. In a thread, because the
            # leases' counters are being read meanwhile.
            serve_http = (await trio.to_thread.run_sync(importlib.import_module, "xnode.monitor.http")).serve_http
            host, _, port = self._config.node.http.rpartition(":")
            status = partial(describe_node, console)
            names = self._config.node.http_names
            self._http = await nursery.start(serve_http, host.strip("[]"), int(port), status, registry, names)


def _look_at_host(data: Path) -> tuple[HardwareProfile, Survey]:
    """The hardware and the GPUs of it that can be lent; a driver is asked once, which may take it seconds."""
    survey = survey_gpus()
    return probe_hardware(data, survey=survey), survey
