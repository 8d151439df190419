"""Kept clock: what is dated while a lease runs goes on by one clock, over a restart of the node and a step of the host's clock.

A step of the wall clock between two receipts would be time in which no workload ran, and a promise of availability would be
broken by it. So how far UTC is from the time since the boot stands in a file; while leases are open it stays, whatever the wall
clock says, and a step is followed when none is. A reboot ends workloads, and the time since it begins anew: then the wall counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
import trio

from xnode.clock import STEP_NS, SystemClock, read_offset_ns
from xnode.durable import replace_file
from xnode.given_file import read_given
from xnode.outage import Outage

NAME = "clock.json"
MAX_FILE_BYTES = 4096

LOOK_S = 1.0
"""Between two looks at the wall clock."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

log = structlog.get_logger(__name__)


class Anchor(msgspec.Struct, frozen=True):
    """boot_id: of the host's boot that it is about; offset_ns: UTC less the time since that boot."""

    boot_id: str
    offset_ns: int


class Start(NamedTuple):
    """A clock at the node's start. step_ns: how far the wall clock was set meanwhile, and is not followed."""

    offset_ns: int
    step_ns: int


def choose_start(anchor: Anchor | None, boot_id: str, is_held: bool, wall_offset_ns: int) -> Start:
    """What a starting node's clock goes by. is_held: leases are open; wall_offset_ns: by the host's clock now."""
    if not is_held or anchor is None or not boot_id or anchor.boot_id != boot_id:
        return Start(wall_offset_ns, 0)
    step_ns = wall_offset_ns - anchor.offset_ns
    return Start(anchor.offset_ns, step_ns if abs(step_ns) > STEP_NS else 0)


def open_clock(folder: Path, is_held: bool, boot_id: Path = BOOT_ID) -> SystemClock:
    """The node's clock; where it stands is durable when this returns, or with the keeper's first look where the disk is full.
    Blocks. An anchor that cannot be read counts as none: the wall clock stands in for it."""
    boot, path = _read_boot_id(boot_id), folder / NAME
    start = choose_start(read_anchor(path), boot, is_held, read_offset_ns())
    if start.step_ns:
        log.warning("the host's clock was set while leases are open", reason=describe_step(start.step_ns))
    try:
        write_anchor(path, Anchor(boot, start.offset_ns))
    except OSError as error:
        log.warning("where the clock stands cannot be written down yet", reason=str(error))
    return SystemClock(start.offset_ns, follows=False)


def read_anchor(path: Path) -> Anchor | None:
    """None where there is none, or none that can be read."""
    try:
        return msgspec.json.decode(read_given(path, MAX_FILE_BYTES), type=Anchor)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("where the clock stood cannot be read", path=str(path), reason=str(error)[:120])
        return None


def write_anchor(path: Path, anchor: Anchor) -> None:
    """Durable when this returns. Blocks. Raises OSError."""
    if read_anchor(path) != anchor:
        replace_file(path, json.dumps(msgspec.to_builtins(anchor)) + "\n", 0o600)


def describe_step(step_ns: int) -> str:
    """One line for people."""
    way = "ahead" if step_ns > 0 else "back"
    return (
        f"the host's clock was set {way} by {abs(step_ns) / 1e9:.1f} s while leases are open; they go on by the time as it was,"
        f" and the new one is followed when none is open{'' if step_ns > 0 else ', at the next start'}"
    )


class ClockKeeper:
    """Follows a wall clock that was set, once nothing is dated by the old one. is_held: leases are open."""

    def __init__(self, clock: SystemClock, folder: Path, is_held: Callable[[], bool], boot_id: Path = BOOT_ID) -> None:
        self._clock, self._path, self._is_held = clock, folder / NAME, is_held
        self._boot_id = _read_boot_id(boot_id)
        self._said_ns, self._is_written = 0, False

    async def run(self) -> None:
        """Look until cancelled."""
        outage = Outage("writing down where the clock stands")
        while True:
            try:
                await self.look()
                outage.over()
            except OSError as error:
                outage.failed(str(error))
            await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """Follow a step ahead when no lease is open; else say so once. Raises OSError, and has followed nothing, when where the
        clock stands cannot be written down."""
        if not self._is_written:
            await self._write(self._clock.offset_ns)
            self._is_written = True
        step_ns = self._clock.find_step_ns()
        if step_ns > 0 and not self._is_held():
            await self._write(self._clock.offset_ns + step_ns)
            self._clock.take_step(step_ns)
            log.warning("the host's clock was set ahead, and is followed", step_s=round(step_ns / 1e9, 3))
            step_ns = 0
        elif abs(step_ns - self._said_ns) > STEP_NS and step_ns:
            log.warning("the host's clock was set", reason=describe_step(step_ns))
        self._said_ns = step_ns

    async def _write(self, offset_ns: int) -> None:
        await trio.to_thread.run_sync(write_anchor, self._path, Anchor(self._boot_id, offset_ns))

    def find_problem(self) -> str:
        """One line while the host's clock is not followed, else ""."""
        step_ns = self._clock.find_step_ns()
        return describe_step(step_ns) if step_ns else ""


def _read_boot_id(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
