"""Rig: the adapters of both roles on the simulation's chain, network and containers, one effect at a time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from metering.terms import Opening
from metering.units import NANOS_PER_SECOND, Address, Amount
from scheduler.job import Image
from tests.make.nodes import OWNER, PAYER
from tests.make.records import ESCROW, ESCROW_ID
from tests.make.values import NOW_NS, SEPARATOR, TOKEN, address_of, make_key
from tests.sim.chain import Chain, ChainPort, Wallet
from tests.sim.clockwork import Clockwork, Task
from tests.sim.containers import Behaviour, Containers
from tests.sim.ledger import Ledger
from tests.sim.machine import Archive, KeySigner
from tests.sim.market import SimMarket
from tests.sim.network import Blobs, Handler, NetPort, Network, Outputs, Station
from xnode.effects.dispatch import make_perform
from xnode.effects.provider import ProviderEffects
from xnode.effects.submitter import SubmitterEffects
from xnode.node.changes import Change
from xnode.node.effects import DurableEffect, Slot

SLOT = Slot("id", "lane", 0)


class RecordingContainers(Containers):
    """Remembers the layouts that were imported."""

    def __init__(self, clockwork: Clockwork) -> None:
        super().__init__(clockwork, lambda _subject: Behaviour(), lambda _lease: None)
        self.imported: list[tuple[Image, Path]] = []

    async def import_image(self, image: Image, layout: Path) -> None:
        self.imported.append((image, layout))
        self.images.add(image.digest)


class Layouts:
    """xnode.ports.runtime.ImageStore: names the folder."""

    @asynccontextmanager
    async def open_layout(self, image: Image) -> AsyncIterator[Path]:
        yield Path("/layouts") / image.digest.replace(":", "-")


class Rig:
    """Node `number` in both roles; the payer has a thousand tokens."""

    def __init__(self, number: int = 0, is_provider: bool = True) -> None:
        self.clockwork = Clockwork(NOW_NS)
        self.ledger = Ledger(SEPARATOR)
        self.ledger.deposit(address_of(PAYER), 1000 * TOKEN)
        self.ledger.caps[address_of(PAYER), address_of(0)] = 100 * TOKEN
        chain = Chain(self.clockwork, self.ledger)
        chain.run()
        entropy = random.Random(1)
        self.network = Network(self.clockwork, entropy)
        self.containers = RecordingContainers(self.clockwork)
        self.market = SimMarket(self.clockwork, entropy, SEPARATOR, {})
        self.signed: list[str] = []
        signer = KeySigner(make_key(number), SEPARATOR, lambda name, _value, _signature: self.signed.append(name))
        net = NetPort(self.network, signer.address)
        blobs = self.blobs = Blobs(self.network, self.clockwork, signer.address)
        account = address_of(OWNER + number) if number else address_of(PAYER)
        port = ChainPort(chain, Wallet(chain, account), account)
        ours = ProviderEffects(
            self.containers, Layouts(), blobs, net, port, signer, self.market, Archive(), self,  # type: ignore[arg-type]
        )  # fmt: skip
        theirs = SubmitterEffects(Outputs(blobs), net, port, signer, self.market, self)  # type: ignore[arg-type]
        self._perform = make_perform(ours if is_provider else None, theirs)

    def now_ns(self) -> int:
        """xnode.ports.Clock."""
        return self.clockwork.now_ns

    def add_peer(self, address: Address, **methods: Handler) -> None:
        """A peer that answers these methods (a_b is a.b)."""
        named = {name.replace("_", "."): handler for name, handler in methods.items()}
        self.network.stations[address] = Station(named, lambda coro: Task(self.clockwork, coro, lambda: None))

    def open_escrow(self, amount: int) -> None:
        """The escrow of tests.make.records has this much."""
        opening = Opening(ESCROW_ID, Amount(amount), bytes(32), NOW_NS // NANOS_PER_SECOND + 60)
        funds = self.ledger.find(ESCROW)
        funds.deposited += int(opening.amount)
        self.ledger.escrows[ESCROW_ID] = funds
        self.ledger.free[ESCROW.payer] -= amount

    def perform(self, effect: DurableEffect) -> Change:
        """The change that reports the effect. Raises what the adapter raises."""
        change: Change = self.run(self._perform(effect))  # type: ignore[arg-type]
        return change

    def run(self, coro: Coroutine[Any, None, Any]) -> Any:
        """What it gives, in virtual time."""
        task: Task[Any] = Task(self.clockwork, coro, lambda: None)
        assert self.clockwork.run_until(lambda: task.done.is_done, self.now_ns() + 600 * NANOS_PER_SECOND)
        return task.done.result()
