"""Follow: a job's timeline and log on the terminal while they happen. Log to stdout, everything else to stderr."""

from __future__ import annotations

import base64
import itertools
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from xnode.cli.terminal.brief import brief_clock, brief_duration, brief_text
from xnode.cli.terminal.plain import PlainText
from xnode.cli.terminal.screen import printable, say, style
from xnode.control.client import Control
from xnode.control.views import TimelineEntry
from xnode.errors import UserError

MAX_WAITING = 256
"""Items read ahead of the terminal; beyond it the daemon waits for us."""

MAX_PARTIAL_BYTES = 1 << 16
"""A line without an end is printed in pieces of this."""

PROGRESS_S = 5.0
"""Between two lines of progress where lines stay."""

_REDRAW_S = 0.2
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_COUNTERS = frozenset({"receipt", "voucher", "log", "fetching", "progress"})
"""Words of the timeline that repeat every few seconds: on a terminal they show in the status line only."""

_STYLES = {"end": "1", "launch": "32", "lease": "32", "choice": "36", "refusal": "33", "fault": "31"}


@dataclass(frozen=True)
class _Item:
    source: str
    value: Any


class _Ended(Exception):
    """A source has no more."""


def follow_job(control: Control, job_id: str) -> None:
    """Print events and log until both have ended. Raises what the event stream raises."""
    waiting: queue.Queue[_Item] = queue.Queue(MAX_WAITING)
    sources: dict[str, Callable[[], Iterator[Any]]] = {
        "event": lambda: control.stream("job.events", {"job_id": job_id, "follow": True}),
        "log": lambda: control.stream("job.logs", {"job_id": job_id, "offset": 0, "follow": True}),
    }
    for name, source in sources.items():
        # Daemon threads: Ctrl-C must not wait for a quiet job.
        threading.Thread(target=_pump, args=(name, source, waiting), daemon=True).start()
    terminal = _Terminal()
    try:
        _print_items(waiting, set(sources), terminal)
    finally:
        terminal.finish()


def print_log(control: Control, job_id: str, offset: int, follow: bool) -> None:
    """Write a job's log to stdout as it is; to a terminal without what would steer it."""
    plain = PlainText() if sys.stdout.isatty() else None
    for item in control.stream("job.logs", {"job_id": job_id, "offset": offset, "follow": follow}):
        data = base64.b64decode(item["data"])
        sys.stdout.buffer.write(plain.feed(data) if plain else data)
        sys.stdout.buffer.flush()
    if plain:
        sys.stdout.buffer.write(plain.end())
        sys.stdout.buffer.flush()


def _pump(name: str, source: Callable[[], Iterator[Any]], waiting: queue.Queue[_Item]) -> None:
    try:
        for value in source():
            waiting.put(_Item(name, value))
        waiting.put(_Item(name, _Ended()))
    except Exception as error:
        # The edge of a thread: the error is raised again in the thread that prints.
        waiting.put(_Item(name, error))


def _print_items(waiting: queue.Queue[_Item], open_sources: set[str], terminal: _Terminal) -> None:
    while open_sources:
        try:
            item = waiting.get(timeout=_REDRAW_S)
        except queue.Empty:
            terminal.draw_status()
            continue
        match item.value:
            case _Ended():
                open_sources.discard(item.source)
            case UserError() as error if item.source == "log":
                # The timeline says how the job goes; that the log cannot be had is not a reason to stop showing it.
                open_sources.discard("log")
                terminal.say(f"no log: {error}")
            case Exception() as error:
                raise error
            case value if item.source == "event":
                terminal.show_event(msgspec.convert(value, TimelineEntry))
            case value:
                terminal.write_log(base64.b64decode(value["data"]))


class _Terminal:
    """Log lines and events, above a status line when stderr is a terminal."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._frames = itertools.cycle(_SPINNER)
        self._began = time.monotonic()
        self._status = "waiting for the daemon"
        self._drawn = False
        self._partial = b""
        self._plain = PlainText() if sys.stdout.isatty() else None
        self._progress_at = time.monotonic()

    def write_log(self, piece: bytes) -> None:
        piece = self._plain.feed(piece) if self._plain else piece
        if not (self._live and sys.stdout.isatty()):
            self._write(piece)
            return
        # Whole lines only, or the status line would cut them in two.
        text = self._partial + piece
        cut = text.rfind(b"\n") + 1
        # A progress bar is one line that is written again and again: only how it stands now is worth keeping.
        bar = text.rfind(b"\r", cut)
        if len(text) - cut > MAX_PARTIAL_BYTES and bar > cut:
            text = text[:cut] + text[bar:]
        elif len(text) - cut > MAX_PARTIAL_BYTES:
            cut = len(text)
        self._partial = text[cut:]
        if cut:
            self._clear()
            self._write(text[:cut])
        self.draw_status()

    def show_event(self, entry: TimelineEntry) -> None:
        text, _, pairs = brief_text(printable(entry.detail)).partition("  ")
        self._status = f"{text}  {pairs}" if entry.what in _COUNTERS else text or printable(entry.what)
        if not self._live and entry.what == "progress" and time.monotonic() - self._progress_at < PROGRESS_S:
            return
        if entry.what == "progress":
            self._progress_at = time.monotonic()
        if not (self._live and entry.what in _COUNTERS):
            word = style(f"{printable(entry.what):<10}", _STYLES.get(entry.what, "2"), sys.stderr)
            clock = style(brief_clock(entry.at_ns), "2", sys.stderr)
            self._clear()
            print(f"{clock}  {word} {text}  {style(pairs, '2', sys.stderr)}".rstrip(), file=sys.stderr, flush=True)
        self.draw_status()

    def say(self, text: str) -> None:
        self._clear()
        say(text)

    def draw_status(self) -> None:
        if not self._live:
            return
        passed = brief_duration(int((time.monotonic() - self._began) * 1e9) // 10**8 * 10**8)
        bar = self._partial.decode(errors="replace").rstrip("\r").rpartition("\r")[2].strip()
        line = printable(f"{next(self._frames)} {passed}  {bar or self._status}")
        self._clear()
        sys.stderr.write(style(line[: shutil.get_terminal_size().columns - 1], "2", sys.stderr))
        sys.stderr.flush()
        self._drawn = True

    def finish(self) -> None:
        self._clear()
        self._write(self._partial)
        self._partial = b""

    def _write(self, piece: bytes) -> None:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    def _clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._drawn = False
