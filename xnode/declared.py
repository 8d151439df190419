"""Declared: what the daemon runs with, what is declared now, and the way from the one to the other without a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import structlog
import trio

from metering.units import NANOS_PER_SECOND, Hash32
from scheduler.offer import HardwareProfile
from xnode.chain.deployment.manifest import Manifest
from xnode.config.comparison import Difference, find_differences, settings_hash_of
from xnode.config.load import load_config
from xnode.config.settings import Config, Written
from xnode.errors import ExitCode, Retryable, UserError
from xnode.logs import set_log_level
from xnode.loop import Loop
from xnode.node.changes import SettingsChanged
from xnode.ports.clock import Clock
from xnode.rules import make_provider_settings, make_submitter_settings

JOURNAL_NS = 20 * NANOS_PER_SECOND
"""How long the journal may take to note new settings: a command waits for it."""

COMMAND = "command"
"""Where a price comes from that was set while the daemon runs."""

log = structlog.get_logger()


@dataclass(slots=True)
class Declared:
    """running: the settings in force, always one whole declaration. profile: of a provider's host; listeners: told of each
    config that is taken, for what an adapter holds of it."""

    running: Config
    manifest: Manifest
    profile: HardwareProfile | None
    loop: Loop
    clock: Clock
    listeners: list[Callable[[Config], None]] = field(default_factory=list)
    _lock: trio.Lock = field(default_factory=trio.Lock)

    @property
    def settings_hash(self) -> Hash32:
        """Of what is running."""
        return Hash32(settings_hash_of(self.running))

    async def find_differences(self) -> tuple[Difference, ...]:
        """What is declared otherwise than it runs. Raises UserError where what is declared cannot be."""
        return find_differences(self.running, await self._read())

    async def reload(self) -> tuple[Difference, ...]:
        """Take what is declared now, in whole or not at all; what became different.

        Raises UserError, and then nothing has changed: the declaration is wrong, or a part of it needs a restart. Raises
        Retryable when it could not be journalled in time.
        """
        async with self._lock:
            wanted = await self._read()
            differences = find_differences(self.running, wanted)
            require_live(differences, str(self.running.home.config))
            if differences:
                await self._take(wanted)
                log.info("settings reloaded", changed=[one.name for one in differences])
            return differences

    async def set_prices(self, prices: Mapping[str, str]) -> None:
        """Ask these from now on; those not named stay. prices: decimal numbers, by name, valid. Raises as reload does."""
        async with self._lock:
            provider = self.running.provider
            assert provider is not None
            wanted = provider.model_copy(update={"prices": provider.prices.model_copy(update=dict(prices))})
            written = {f"provider.prices.{name}": Written(text, COMMAND) for name, text in prices.items()}
            await self._take(replace(self.running, provider=wanted, written={**self.running.written, **written}))

    async def _read(self) -> Config:
        # A file may be a pipe that somebody writes to, or lie on a disk that sleeps.
        return await trio.to_thread.run_sync(load_config, self.running.home)

    async def _take(self, wanted: Config) -> None:
        provider = None
        if wanted.provider is not None and self.profile is not None:
            provider = make_provider_settings(wanted.provider, self.manifest, self.profile)
        submitter = make_submitter_settings(wanted.submitter, self.manifest)
        settings_hash = Hash32(settings_hash_of(wanted))
        deadline_ns = self.clock.now_ns() + JOURNAL_NS
        await self.loop.ask(lambda to: SettingsChanged(to, settings_hash, provider, submitter), deadline_ns)
        self.running = wanted
        set_log_level(wanted.node.log_level)
        for listener in self.listeners:
            listener(wanted)


def require_live(differences: Iterable[Difference], where: str) -> None:
    """Raise UserError that names what a running daemon cannot take: then it takes nothing."""
    held = [one.name for one in differences if not one.is_live]
    if held:
        raise UserError(
            f"nothing was changed, because this needs a restart: {', '.join(held)}",
            where=where,
            hint="restart the daemon, which takes everything; workloads go on meanwhile",
            code=ExitCode.CONFLICT,
        )


async def reload_quietly(declared: Declared) -> None:
    """As reload(), for a signal: what is wrong is in the log, and everything stays as it was."""
    try:
        await declared.reload()
    except (UserError, Retryable) as error:
        log.warning("settings not reloaded; the old ones stay in force", reason=str(error))
