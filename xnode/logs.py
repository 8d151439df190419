"""Logs: JSON lines with a correlation id, plain on a terminal; nothing secret, nothing of a stranger's unescaped."""

from __future__ import annotations

import logging
import logging.handlers
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import structlog

MAX_TEXT_CHARS = 500
"""Of one field. A peer chooses some of them, and must not choose the size of our log."""

MAX_TRACEBACK_CHARS = 8_000

MAX_FILE_BYTES = 16 << 20
KEPT_FILES = 2
"""48 MiB of log at most, some weeks of a busy node."""

OTHERS_CHOICE = frozenset(
    {
        "refused",
        "offer refused",
        "peer broke the protocol",
        "a connection with too many streams was dropped",
        "handler raised",
        "stream handler raised",
        "http request failed",
        "http server failed and serves again",
    }
)
"""Lines that strangers cause as often as they like: they must not push all others out of the files that are kept."""

RATION, RATION_S = 60, 60.0
"""So many lines of each of those are written in so many seconds; the next one says how many were not."""

_SECRET_WORDS = ("password", "secret", "private", "mnemonic", "seed", "api_key")
_LOUD_LIBRARIES = (
    "libp2p",
    "multiaddr",
    "anycorn",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "web3",
    "urllib3",
    "alembic",
)

Event = MutableMapping[str, Any]


def set_up_logs(level: str, file: Path | None = None) -> None:
    """Log from `level` on to a rotating file, else to stderr. Call once, before anything logs."""
    handler = _make_handler(file)
    pretty = file is None and sys.stderr.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer(pad_event_to=32) if pretty else structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _make_safe,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            Rationing(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _LOUD_LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)


def set_log_level(level: str) -> None:
    """Log from `level` on, from now on."""
    logging.getLogger().setLevel(level.upper())


def silence_logs() -> None:
    """Drop what a command and its libraries log: its result or its error line says it. Logs that are set up stay so."""
    if not structlog.is_configured():
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    root = logging.getLogger()
    if not root.handlers:
        # Without any handler, logging itself prints warnings on stderr.
        root.addHandler(logging.NullHandler())


def log_context(
    *, job: bytes | None = None, lease: bytes | None = None, escrow: bytes | None = None
) -> AbstractContextManager[Any]:
    """Every line logged inside carries these ids, in child tasks and threads too; `job` also goes to whom we call."""
    ids = {"job": job, "lease": lease, "escrow": escrow}
    return structlog.contextvars.bound_contextvars(**{name: log_id_of(id) for name, id in ids.items() if id})


def log_id_of(key: bytes) -> str:
    """0x and the first 16 digits of a job hash, lease id or escrow id: the same on both sides of a lease."""
    return "0x" + key[:8].hex()


class Rationing:
    """A processor that leaves out what is more than its ration."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._begun: dict[str, float] = {}
        self._lines: Counter[str] = Counter()

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        name = str(event.get("event"))
        if name not in OTHERS_CHOICE:
            return event
        if self._now() - self._begun.get(name, -math.inf) >= RATION_S:
            left_out = self._lines.pop(name, 0) - RATION
            if left_out > 0:
                event["left_out_before"] = left_out
            self._begun[name] = self._now()
        self._lines[name] += 1
        if self._lines[name] > RATION:
            raise structlog.DropEvent
        return event


def _make_handler(file: Path | None) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(sys.stderr)
    handler = logging.handlers.RotatingFileHandler(
        file, maxBytes=MAX_FILE_BYTES, backupCount=KEPT_FILES, encoding="utf-8", errors="backslashreplace"
    )
    file.chmod(0o600)
    return handler


def _make_safe(_logger: Any, _method: str, event: Event) -> Event:
    """Hide what is secret, escape and cut what is text, write bytes as hex."""
    for name, value in event.items():
        if any(word in name.lower() for word in _SECRET_WORDS):
            event[name] = "<hidden>"
        elif name == "exception":
            event[name] = _cut(str(value), MAX_TRACEBACK_CHARS)
        else:
            event[name] = _make_safe_value(value)
    return event


def _make_safe_value(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case bytes() | bytearray():
            return _cut("0x" + value[:MAX_TEXT_CHARS].hex(), MAX_TEXT_CHARS)
        case list() | tuple():
            return [_make_safe_value(item) for item in value[:32]]
    text = "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(value)[: MAX_TEXT_CHARS + 1]
    )
    return _cut(text, MAX_TEXT_CHARS)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"
