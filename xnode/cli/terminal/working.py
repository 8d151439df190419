"""Working: a call that may take long, with what the daemon is doing for it shown meanwhile."""

from __future__ import annotations

import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from xnode.cli.terminal.screen import printable, say, style
from xnode.control.client import Control
from xnode.control.views import WorkRow
from xnode.errors import UserError

LOOK_S = 0.5
"""Between two looks at how far it is."""

SAY_S = 5.0
"""Between two lines where they stay: in a file, or a log of another program."""


def call_working(control: Control, method: str, params: Mapping[str, Any]) -> Any:
    """The method's answer, however long it takes. Raises as Control.call() does; Ctrl-C ends the work in the daemon too."""
    answers: queue.Queue[Callable[[], Any]] = queue.Queue()

    def call() -> None:
        try:
            answer = control.call(method, params, deadline_s=None)
            answers.put(lambda: answer)
        except Exception as error:
            # The edge of a thread: raised again in the one that waits.
            fault = error
            answers.put(lambda: _raise(fault))

    # A daemon thread: Ctrl-C must not wait for the answer.
    threading.Thread(target=call, daemon=True).start()
    meter = _Meter()
    try:
        while True:
            with suppress(queue.Empty):
                return answers.get(timeout=LOOK_S)()
            with suppress(UserError):
                meter.show(msgspec.convert(control.call("node.work"), list[WorkRow]))
    finally:
        meter.clear()


def describe_work(row: WorkRow, rate: float) -> str:
    """ "image python.tar: 312 of 749 MB, 210 MB/s". rate: bytes a second, 0 when not known yet."""
    size = f"{row.done_bytes / 1e6:.0f}" + (f" of {row.total_bytes / 1e6:.0f} MB" if row.total_bytes else " MB")
    return f"{row.what}: {size}" + (f", {rate / 1e6:.0f} MB/s" if rate else "")


def _raise(error: Exception) -> Any:
    raise error


class _Meter:
    """One line that is drawn again on a terminal, and a new one now and then elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._said_at = time.monotonic()
        self._last: tuple[str, int, float] | None = None
        self._drawn = False

    def show(self, rows: list[WorkRow]) -> None:
        if not rows:
            return
        row, now = rows[-1], time.monotonic()
        rate = 0.0
        if self._last is not None and self._last[0] == row.what and now > self._last[2]:
            rate = max(0.0, (row.done_bytes - self._last[1]) / (now - self._last[2]))
        self._last = (row.what, row.done_bytes, now)
        text = printable(describe_work(row, rate))
        if self._live:
            self.clear()
            sys.stderr.write(style(text[: shutil.get_terminal_size().columns - 1], "2", sys.stderr))
            sys.stderr.flush()
            self._drawn = True
        elif now - self._said_at >= SAY_S:
            self._said_at = now
            say(text)

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._drawn = False
