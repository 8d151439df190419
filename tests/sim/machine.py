"""Machine: one node's host: its disk, keys, containers and loop; it can lose power and come back."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from metering.eip712 import typed_digest
from metering.signature import address_of_key, sign_digest
from metering.units import NANOS_PER_SECOND, Address, Amount, Hash32
from tests.sim.chain import ChainPort
from tests.sim.clockwork import Clockwork, PowerLost, Task
from tests.sim.containers import Containers
from tests.sim.disk import Disk
from tests.sim.hostclock import HostClock
from tests.sim.market import SimMarket
from tests.sim.network import Blobs, NetPort, Outputs, Station
from tests.sim.nodeloop import NodeLoop
from xnode.effects.dispatch import make_perform
from xnode.effects.provider import ProviderEffects
from xnode.effects.submitter import SubmitterEffects
from xnode.node import effects
from xnode.node.changes import Change, Entry, EscrowSeen, NodeStarted
from xnode.node.records import ProviderEscrow, ProviderSettings, SubmitterEscrow, SubmitterSettings
from xnode.node.state import State, Turn
from xnode.peers.serve import PeerService
from xnode.ports.chain import Spender
from xnode.store.journal import Batch

WATCH_NS = 2 * NANOS_PER_SECOND
"""How often a node reads its escrows from the chain."""

SETTINGS_HASH = Hash32(b"\x5e" * 32)
"""Of the settings of every node."""


class Archive:
    """Stands where LogArchive does; workloads here say nothing."""

    def path(self, lease_id: Hash32) -> Path:
        """Where nothing will be."""
        return Path(lease_id.hex())


@dataclass(frozen=True, slots=True)
class KeySigner:
    """xnode.ports.Signer. check: called with every signature before it is given."""

    key: PrivateKey
    separator: Hash32
    check: Callable[[str, object, bytes], None]

    @property
    def address(self) -> Address:
        return address_of_key(self.key.public_key)

    def sign(self, type_name: str, value: object) -> bytes:
        signature = sign_digest(self.key, typed_digest(self.separator, type_name, value))
        self.check(type_name, value, signature)
        return signature


@dataclass(slots=True)
class Faults:
    """What goes wrong. crash_at: fault points where power is lost, once each; commit_ns, net_up_ns (from the start of a
    life to when peers reach the node): least and most."""

    crash_at: list[str] = field(default_factory=list)
    down_ns: int = 3 * NANOS_PER_SECOND
    commit_ns: tuple[int, int] = (500_000, 3_000_000)
    net_up_ns: tuple[int, int] = (0, 0)
    reached: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Machine:
    """See the module. alter: lets a dishonest provider rewrite its receipts before it signs them."""

    clockwork: Clockwork
    entropy: random.Random
    signer: KeySigner
    net: NetPort
    chain: ChainPort
    market: SimMarket
    containers: Containers
    provider: ProviderSettings | None
    submitter: SubmitterSettings | None
    on_turn_of: Callable[[Machine, State, Entry, Turn], None]
    on_commit_of: Callable[[Machine, Batch], None]
    disk: Disk = field(default_factory=Disk)
    faults: Faults = field(default_factory=Faults)
    alter: Callable[[effects.PushReceipts], effects.PushReceipts] | None = None
    is_dead: bool = False
    lives: int = 0
    impaired_at_ns: int = 0
    loop: NodeLoop | None = None
    tasks: set[Task[Any]] = field(default_factory=set)
    clock: HostClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = HostClock(self.clockwork, self.entropy)
        self.containers.clock = self.clock

    @property
    def address(self) -> Address:
        return self.signer.address

    @property
    def is_up(self) -> bool:
        return self.loop is not None

    # ---------------------------------------------------------------------------------------------------- power on, off

    def start(self) -> None:
        """Begin a life: load the disk, go on with what was under way."""
        if self.is_up or self.is_dead:
            return
        self.lives += 1
        self.impaired_at_ns = self.clock.now_ns
        separator, addrs = self.signer.separator, self.net.multiaddrs()
        start = NodeStarted(self.address, separator, "sim", addrs, self.provider, self.submitter, 0, SETTINGS_HASH)
        self.loop = NodeLoop(self, self.perform, start)
        server = PeerService(self.loop, self, self.signer, None, Archive(), self.disk, funds=self)  # type: ignore[arg-type]
        station = self.net.network.stations[self.address] = Station(server.methods(), self.spawn, clock=self.clock)
        self._bring_up(station)
        self.spawn(self._watch_escrows())

    def _bring_up(self, station: Station) -> None:
        """Peers reach the node once its net is up."""
        most_ns = self.faults.net_up_ns[1]
        if not most_ns:
            return
        station.is_up = False

        def open_door() -> None:
            if self.net.network.stations[self.address] is station and self.is_up:
                station.is_up = True

        self.clock.after(self.entropy.randint(*self.faults.net_up_ns), open_door)

    def crash(self) -> None:
        """Lose power; what is on the disk and in the containers stays."""
        if not self.is_up:
            return
        self.loop = None
        self.clock.forget()
        self.net.network.stations[self.address].is_up = False
        tasks, self.tasks = self.tasks, set()
        for task in tasks:
            task.close()
        if not self.is_dead:
            self.clockwork.at(self.clockwork.now_ns + self.faults.down_ns, self.start)

    def restore(self, backup: Disk) -> None:
        """Lose power, and come back with the disk as it was when the backup was made."""
        self.crash()
        self.disk, self.impaired_at_ns = backup, self.clock.now_ns

    def die(self) -> None:
        """Lose power for good."""
        self.is_dead = True
        self.crash()

    def pause(self, duration_ns: int, with_host: bool = False) -> None:
        """Do not run for so long, as after SIGSTOP: peers find the node up and get no answer, its workloads go on.

        with_host: the host is suspended, and its workloads stand still too.
        """
        if not self.is_up or self.clock.is_paused:
            return
        self.clock.pause()
        if with_host:
            self.containers.stand_still(duration_ns)
        pauses = self.clock.pauses

        def resume() -> None:
            if self.clock.is_paused and self.clock.pauses == pauses:
                self.impaired_at_ns = self.clock.now_ns
                self.clock.resume()

        self.clockwork.at(self.clockwork.now_ns + duration_ns, resume)

    def step_clock(self, by_ns: int) -> None:
        """The host's clock jumps, forth or back; the node reads the new time at once."""
        self.clock.step(by_ns)
        self.impaired_at_ns = self.clock.now_ns

    def tell(self, change: Change) -> None:
        """Bring a change to the loop."""
        assert self.loop is not None
        self.loop.tell(change)

    # -------------------------------------------------------------------------------------------- what its loop stands on

    def now_ns(self) -> int:
        """xnode.ports.Clock."""
        return self.clock.now_ns

    def spawn(self, coro: Coroutine[Any, None, Any]) -> Task[Any]:
        """A task that dies with this life."""
        task: Task[Any] = Task(self.clock, coro, self.crash)
        self.tasks.add(task)
        task.done.on_done(lambda: self.tasks.discard(task))
        return task

    def reach(self, name: str) -> None:
        """A fault point."""
        self.faults.reached.add(name)
        if name in self.faults.crash_at:
            self.faults.crash_at.remove(name)
            raise PowerLost

    def draw_entropy(self) -> bytes:
        return self.entropy.randbytes(32)

    def commit_ns(self) -> int:
        return self.entropy.randint(*self.faults.commit_ns)

    def on_turn(self, before: State, entry: Entry, turn: Turn) -> None:
        self.on_turn_of(self, before, entry, turn)

    def on_commit(self, batch: Batch) -> None:
        self.on_commit_of(self, batch)

    # ------------------------------------------------------------------------------------------------------------ effects

    async def perform(self, effect: effects.DurableEffect) -> Change:
        if self.alter is not None and isinstance(effect, effects.PushReceipts):
            effect = self.alter(effect)
        perform = self._find_performer(effect)
        change: Change = await perform(effect)
        return change

    def _find_performer(self, effect: effects.DurableEffect) -> Callable[[Any], Awaitable[Change]]:
        blobs = Blobs(self.net.network, self.clockwork, self.address)
        ours = ProviderEffects(
            self.containers, None, blobs, self.net, self.chain, self.signer, self.market, Archive(), self,  # type: ignore[arg-type]
        )  # fmt: skip
        theirs = SubmitterEffects(Outputs(blobs), self.net, self.chain, self.signer, self.market, self)  # type: ignore[arg-type]
        return make_perform(ours, theirs)

    async def look(self, spender: Spender, _needed: Amount) -> Amount:
        """Stands where SeenFunds does: every question is asked."""
        return (await self.chain.spendables_of([spender]))[0]

    async def _watch_escrows(self) -> None:
        """Tell the loop of every escrow whose state on chain is not what the loop knows."""
        while True:
            await self.clock.sleep(WATCH_NS)
            assert self.loop is not None
            state = self.loop.state
            for kind in (SubmitterEscrow, ProviderEscrow):
                for known in tuple(state.all(kind)):
                    await self._look_at(known)

    async def _look_at(self, known: Any) -> None:
        funds = self.chain.chain.ledger.escrows.get(known.escrow_id)
        if funds is None or self.chain.chain.is_down:
            return
        seen = (funds.deposited, funds.claimed, funds.thaw_end)
        if seen != (known.deposited, known.claimed, known.thaw_end):
            deposited, claimed = Amount(seen[0]), Amount(seen[1])
            self.tell(EscrowSeen(known.escrow_id, deposited, claimed, seen[2]))
