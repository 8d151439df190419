"""Readiness: what a node depends on, checked before new leases are signed and watched afterwards; each problem by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from xnode.backoff import Backoff
from xnode.chain.client import ChainClient
from xnode.challenge.demands import RevealState
from xnode.config.settings import Config
from xnode.console.gas import describe_empty, is_empty
from xnode.errors import Permanent, Retryable
from xnode.loop import Loop
from xnode.monitor.metrics import Measured
from xnode.net.edge import Net
from xnode.peers.chain_watch import ChainWatch
from xnode.rules import make_wanted
from xnode.runtime.host.check import check_host
from xnode.runtime.host.gpu_watch import GpuWatch
from xnode.runtime.podman.engine import PodmanEngine
from xnode.supervisor import Supervisor
from xnode.upkeep.keeper import DiskKeeper

CHECK_RETRY = Backoff(first_s=0.5, most_s=15.0)
"""Between tries of a check that new leases wait for."""

log = structlog.get_logger("xnode.daemon")


class Readiness:
    """The parts are named here as the daemon makes them; one that is not there yet has no problem."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._problems: dict[str, str] = {}
        self._checks = {
            "chain": trio.Event(),
            **({name: trio.Event() for name in ("host", "engine") if config.provider}),
        }
        self.chain_watch: ChainWatch | None = None
        self.supervisor: Supervisor | None = None
        self.net: Net | None = None
        self.gpu_watch: GpuWatch | None = None
        self.disk: DiskKeeper | None = None
        self.loop: Loop | None = None
        self.find_unanswered: Callable[[], str] = lambda: ""
        self.reveals: Callable[[], RevealState] = RevealState
        self.find_standing: Callable[[], dict[str, str]] = dict
        self.find_stuck: Callable[[], str] = lambda: ""
        self.find_clock_step: Callable[[], str] = lambda: ""
        self.find_uncollected: Callable[[], str] = lambda: ""

    @property
    def held(self) -> tuple[trio.Event, ...]:
        """Set when what new leases need was found good."""
        return tuple(self._checks.values())

    async def check_first(self, engine: PodmanEngine | None, chain: ChainClient) -> None:
        """Raises Permanent for what a person has to mend; what may come back is checked again (list_checks)."""
        if engine is not None:
            await self._check_host()
            try:
                await self._check_engine(engine)
            except Retryable as error:
                self._problems["engine"] = str(error)
                log.warning("container engine not ready yet", reason=str(error))
        try:
            await self._check_contracts(chain)
        except Retryable as error:
            self._problems["chain"] = str(error)
            log.warning("chain not reachable yet", reason=str(error))

    async def _check_host(self) -> None:
        """That there is what is offered, and that workloads can be started."""
        config, watch = self._config, self.gpu_watch
        assert config.provider is not None and watch is not None
        wanted = make_wanted(config.provider)
        for one in await trio.to_thread.run_sync(check_host, config.node.data_dir, wanted, watch.survey):
            log.warning("host", what=one.what, reason=one.detail, hint=one.hint)
        self._checks["host"].set()

    async def _check_engine(self, engine: PodmanEngine) -> None:
        log.info("container engine ready", version=await engine.check())
        self._checks["engine"].set()

    async def _check_contracts(self, chain: ChainClient) -> None:
        log.info("chain ready", chain=await chain.check())
        self._checks["chain"].set()

    async def _keep_checking(self, what: str, check: Callable[[], Awaitable[None]], backoff: Backoff) -> None:
        """Until it holds; readiness says why it does not, and no new lease is signed meanwhile."""
        self._problems.setdefault(what, "not checked yet")
        for pause_s in backoff.pauses():
            try:
                await check()
                self._problems.pop(what, None)
                return
            except (Retryable, Permanent) as error:
                self._problems[what] = str(error)
                log.warning("check failed; will be tried again", what=what, reason=str(error))
            await trio.sleep(pause_s)

    def list_checks(self, engine: PodmanEngine) -> dict[str, Callable[[], Awaitable[object]]]:
        """What is still to be checked of a provider's host, as tasks."""
        if self._checks["engine"].is_set():
            return {}
        check = partial(self._check_engine, engine)
        return {
            "engine check": partial(self._keep_checking, "engine", check, CHECK_RETRY),
            "host check": partial(self._keep_checking, "host", self._check_host, CHECK_RETRY),
        }

    async def watch_chain(self, chain: ChainClient, watch: ChainWatch) -> None:
        """Until cancelled; first that the contracts are ours, when that has not been seen yet."""
        if not self._checks["chain"].is_set():
            await self._keep_checking("chain", partial(self._check_contracts, chain), CHECK_RETRY)
        await watch.run()

    # ------------------------------------------------------------------------------------------------------------- now

    def find_problems(self) -> dict[str, str]:
        """What is wrong now, by dependency."""
        watch = self.chain_watch
        chain, fuel = (watch.problem(), watch.fuel) if watch else ("", None)
        disk = self.disk.state.problem if self.disk and self.disk.state else ""
        journal = self.loop.problem if self.loop else ""
        return {
            **self._problems,
            **({"chain": chain} if chain else {}),
            **({"peers": lonely} if (lonely := self.net.find_loneliness() if self.net else "") else {}),
            **({"disk": disk} if disk else {}),
            **({"journal": f"cannot be written, so nothing is acknowledged: {journal}"} if journal else {}),
            **({"gas": describe_empty(fuel)} if self._config.provider and fuel and is_empty(fuel) else {}),
            **self.find_standing(),
            **({"reserve": stuck} if (stuck := self.find_stuck()) else {}),
            **({"compensation": late} if (late := self.find_uncollected()) else {}),
            **({"clock": step} if (step := self.find_clock_step()) else {}),
            **({"silence": unanswered} if (unanswered := self.find_unanswered()) else {}),
            **({"reveals": late} if (late := self.reveals().find_problem()) else {}),
            **(self.supervisor.problems() if self.supervisor else {}),
        }

    def measure(self) -> Measured:
        """What metrics show of it."""
        watch = self.chain_watch
        return Measured(
            self.find_problems().get("chain", ""),
            watch.fuel if watch else None,
            self.disk.state if self.disk else None,
            self.reveals(),
            frozenset(self.find_standing()),
        )
