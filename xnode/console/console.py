"""Console: what control methods work with. They read the loop's state, and change it only by changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from metering.units import NANOS_PER_SECOND
from xnode.challenge.demands import RevealState
from xnode.challenge.evidence import EvidenceKeeper
from xnode.challenge.failures import FailureKeeper
from xnode.console.evidence import EvidenceMaker
from xnode.console.job_maker import JobMaker
from xnode.console.present import Presenter
from xnode.declared import Declared
from xnode.errors import ExitCode, UserError
from xnode.loop import Loop
from xnode.node import changes, effects
from xnode.node.records import ProviderSettings
from xnode.peers.market import Market
from xnode.peers.output_taker import OutputTaker
from xnode.peers.progress import ProgressReader
from xnode.ports.chain import Chain, Fuel
from xnode.ports.clock import Clock
from xnode.store.journal import Journal
from xnode.upkeep.keeper import DiskState

ANSWER_NS = 20 * NANOS_PER_SECOND
"""How long the node may take to take a job in; hashing its files is done before."""


@dataclass(frozen=True, slots=True)
class ThisNode:
    """What the daemon knows of itself, and what it lets be done to it. The callables give what is so now; refusals: requests
    of peers that were refused, by reason; chain_problem: one line, "" when the chain is well; fuel: what the node key has for
    transactions, None before the chain has told; not_lent: what this host has and cannot lend, each with the reason; disk: None
    before it was looked at; look_at_disk: brings it up to date."""

    home: str
    version: str
    chain_id: int
    started_at_ns: int
    log_folder: Path
    multiaddrs: Callable[[], tuple[str, ...]]
    peers: Callable[[], int]
    http: Callable[[], str]
    ready: Callable[[], dict[str, str]]
    refusals: Counter[str]
    stop: Callable[[], None]
    restart_net: Callable[[], None]
    chain_problem: Callable[[], str] = lambda: ""
    fuel: Callable[[], Fuel | None] = lambda: None
    not_lent: Callable[[], tuple[str, ...]] = tuple
    disk: Callable[[], DiskState | None] = lambda: None
    reveals: Callable[[], RevealState] = RevealState
    look_at_disk: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint


@dataclass(frozen=True, slots=True)
class Console:
    """Handed to every control method. capacity_documents, challenge_failures: of a provider; None on other nodes."""

    loop: Loop
    journal: Journal
    clock: Clock
    chain: Chain
    market: Market
    node: ThisNode
    presenter: Presenter
    outputs: OutputTaker
    jobs: JobMaker
    evidence: EvidenceMaker
    progress: ProgressReader
    declared: Declared
    capacity_documents: EvidenceKeeper | None = None
    challenge_failures: FailureKeeper | None = None

    async def ask(self, make_change: Callable[[str], changes.Change]) -> bytes:
        """Bring a change and wait for its durable answer. Raises UserError with the reason of a refusal."""
        reply = await self.loop.ask(make_change, self.clock.now_ns() + ANSWER_NS)
        if isinstance(reply, effects.ReplyRefusal):
            raise UserError(self.presenter.words(str(reply.refusal)), code=ExitCode.REFUSED)
        assert isinstance(reply, effects.ReplyOk)
        return reply.value

    def require_provider(self) -> ProviderSettings:
        """The provider's settings. Raises UserError on a node that is not a provider."""
        provider = self.loop.state.settings.provider
        if provider is None:
            raise UserError("this node is not a provider", hint="run `xnode provider init`")
        return provider
