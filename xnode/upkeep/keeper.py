"""Disk keeper: looks at the disk, tells the core what is left for leases, and takes away what may go; at its own pace."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog
import trio

from metering.units import Hash32
from xnode.config.settings import Config
from xnode.errors import Permanent, Retryable, describe_os_error
from xnode.node.changes import DiskSeen
from xnode.node.needed import Needed
from xnode.node.retention import DiskReading, DiskRules, Kept, Rule, find_removable
from xnode.outage import Outage
from xnode.ports.clock import Clock
from xnode.ports.runtime import ImageShelf
from xnode.text.size import show_size
from xnode.upkeep.stock import IMAGE, Stock, make_rules

LOOK_S = 20.0
"""Between two looks at how full the disk is: a fast one takes some ten gigabytes meanwhile, in files that each look first."""

SWEEP_S = 600.0
"""Between two lists of what may go, while there is room."""

HURRY_S = 60.0
"""And while there is none."""

PRUNE_S = 6 * 3600.0
"""Between two looks through the database."""

FIRST_PRUNE_S = 300.0
"""After the start: leases are taken up first."""

BATCH = 20
"""Files taken away in one go, on the loop's own thread, so that nobody comes to need one meanwhile."""

REST_S = 0.05

STEP_BYTES = 256 << 20
"""What is left for leases is told in such steps, below what the share promises: each change is journalled and announced."""

log = structlog.get_logger()


class Pruning(Protocol):
    """The database's side: xnode.store.pruning."""

    async def prune(self, keep_history_ns: int, now_ns: int) -> object: ...

    async def give_back(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the operator wants kept. share_bytes: the disk that is sold at most."""

    rules: dict[str, Rule]
    disk: DiskRules
    history_ns: int
    share_bytes: int = 0


def make_keeping(config: Config) -> Keeping:
    """What the settings say. Outputs of others' jobs and of ours lie in one place: of a node with both roles the longer time
    holds for both."""
    node, provider = config.node, config.provider
    files_ns = node.keep_files_ns if provider is None or config.submitter.payer is not None else 0
    return Keeping(
        make_rules(
            max(files_ns, provider.keep_outputs_ns if provider else 0), provider.keep_images_ns if provider else 0
        ),
        DiskRules(node.disk_budget_bytes, node.min_free_bytes),
        node.keep_history_ns,
        provider.share.disk_bytes if provider else 0,
    )


@dataclass(frozen=True, slots=True)
class DiskState:
    """As it was at the last look. own: bytes by kind; freed_bytes, freed: taken away since the start."""

    reading: DiskReading
    rules: DiskRules
    own: dict[str, int]
    freed_bytes: int = 0
    freed: int = 0

    @property
    def problem(self) -> str:
        """One line when no new work is taken; "" when there is room."""
        lacking = self.rules.lacking_bytes(self.reading)
        if not lacking:
            return ""
        free, least = show_size(self.reading.free_bytes), show_size(self.rules.min_free_bytes)
        return (
            f"the disk is nearly full: {free} are free, {least} must be, and no new work is taken until there is room"
        )


@dataclass(slots=True)
class DiskKeeper:
    """find_needed: what must stay, as of now; is_busy: something is being taken in that no record names yet; forget: drops what
    only kept files in case somebody came for them."""

    folder: Path
    stock: Stock
    keeping: Keeping
    find_needed: Callable[[], Needed]
    tell: Callable[[DiskSeen], Awaitable[None]]
    pruning: Pruning
    clock: Clock
    shelf: ImageShelf | None = None
    is_busy: Callable[[], bool] = lambda: False
    forget: Callable[[], None] = lambda: None
    state: DiskState | None = None
    _brought: set[Hash32] = field(default_factory=set)
    _told: DiskSeen | None = None
    _outage: Outage = field(default_factory=lambda: Outage("keeping the disk"))
    _swept_at: float = float("-inf")
    _pruned_at: float = float("-inf")

    async def run(self) -> None:
        """Keep it until cancelled."""
        self._pruned_at = trio.current_time() - PRUNE_S + FIRST_PRUNE_S
        while True:
            try:
                await self.look()
                if self._is_due():
                    await self.sweep()
                    await self.look()
                if trio.current_time() - self._pruned_at >= PRUNE_S:
                    self._pruned_at = trio.current_time()
                    await self.prune()
                self._outage.over()
            except (Retryable, Permanent, OSError) as error:
                self._outage.failed(describe_os_error(error) if isinstance(error, OSError) else str(error))
            await trio.sleep(LOOK_S)

    def take(self, config: Config) -> None:
        """Keep by these settings from the next look on."""
        self.keeping = make_keeping(config)

    async def look(self) -> None:
        """Read the disk, and tell the core when what it may sell has changed."""
        free = (await trio.to_thread.run_sync(shutil.disk_usage, self.folder)).free
        leased = await self.shelf.read_leased_bytes() if self.shelf else 0
        self._note_brought()
        before = self.state
        own = before.own if before else {}
        reading = DiskReading(free, leased, sum(own.values()))
        done = (before.freed_bytes, before.freed) if before else (0, 0)
        self.state = DiskState(reading, self.keeping.disk, own, *done)
        if before is None:
            await self.measure()
        await self._tell()

    async def measure(self) -> tuple[Kept, ...]:
        """What we have on the disk."""
        assert self.state is not None
        self._note_brought()
        needed = self.find_needed().with_brought(frozenset(self._brought))
        stock = (*await trio.to_thread.run_sync(self.stock.list_files, needed), *await self._list_images(needed))
        own: Counter[str] = Counter()
        for one in stock:
            own[one.kind] += one.size_bytes
        reading = DiskReading(self.state.reading.free_bytes, self.state.reading.leased_bytes, own.total())
        self.state = DiskState(reading, self.keeping.disk, dict(own), self.state.freed_bytes, self.state.freed)
        here = {Path(one.name).name for one in stock}
        self._brought = {one for one in self._brought if one.hex() in here}
        return stock

    def _note_brought(self) -> None:
        # The state forgets ended jobs, some hundred at a time; what they brought lies here for hours.
        self._brought |= self.find_needed().brought

    async def sweep(self) -> None:
        """Take away what may go now."""
        self._swept_at = trio.current_time()
        self.forget()
        stock = await self.measure()
        assert self.state is not None
        shortage = self.keeping.disk.shortage_of(self.state.reading)
        gone = find_removable(stock, self.keeping.rules, shortage, self.clock.now_ns())
        for start in range(0, len(gone), BATCH):
            self._remove([one for one in gone[start : start + BATCH] if one.kind != IMAGE])
            await trio.sleep(REST_S)
        await self._remove_images([one for one in gone if one.kind == IMAGE])
        if gone:
            await self.measure()

    async def _remove_images(self, gone: list[Kept]) -> None:
        for one in gone:
            if self.shelf is not None and one.name not in self.find_needed().images:
                # An engine that still has a container of it refuses, which is right.
                with suppress(Retryable, Permanent):
                    await self.shelf.remove_image(one.name)
                    self._note(one)

    async def prune(self) -> None:
        """Have the database forget what is over."""
        pruned = await self.pruning.prune(self.keeping.history_ns, self.clock.now_ns())
        pages = await self.pruning.give_back()
        log.info("database pruned", pruned=str(pruned), pages=pages)

    def _remove(self, batch: list[Kept]) -> None:
        # On trio's thread and without a pause: between the look at what is needed and the last removal nothing changes.
        if not batch or self.is_busy():
            return
        needed = self.find_needed()
        for one in batch:
            if not self.stock.is_needed(one, needed):
                self.stock.remove(one)
                self._note(one)

    def _note(self, one: Kept) -> None:
        assert self.state is not None
        before = self.state
        log.info("removed what nobody needs", kind=one.kind, name=Path(one.name).name, size_bytes=one.size_bytes)
        self.state = DiskState(
            before.reading, before.rules, before.own, before.freed_bytes + one.size_bytes, before.freed + 1
        )

    async def _list_images(self, needed: Needed) -> tuple[Kept, ...]:
        images = await self.shelf.list_images() if self.shelf else ()
        return tuple(
            Kept(IMAGE, one.digest, one.size_bytes, one.used_at_ns, one.digest in needed.images) for one in images
        )

    def _is_due(self) -> bool:
        assert self.state is not None
        pause_s = HURRY_S if self.state.problem else SWEEP_S
        return trio.current_time() - self._swept_at >= pause_s

    async def _tell(self) -> None:
        assert self.state is not None
        left = self.keeping.disk.left_for_leases(self.state.reading)
        share = self.keeping.share_bytes
        told = share if left >= share else left // STEP_BYTES * STEP_BYTES
        seen = DiskSeen(told, bool(self.state.problem))
        if share and seen != self._told:
            await self.tell(seen)
            self._told = seen
