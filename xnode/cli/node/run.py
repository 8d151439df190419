"""Run daemon: this process becomes the node."""

from __future__ import annotations

import gc
import os
import resource
import sys
from typing import TYPE_CHECKING

from xnode.cli.node.setup import ensure_node_key
from xnode.cli.terminal.screen import say

if TYPE_CHECKING:
    from xnode.config.settings import Config


MAX_FILES = 65_536
"""Open files: far more than all leases and peers take, and few enough for programs that close all there could be."""


def run_here(config: Config) -> None:
    """Run the daemon until it is told to stop. Logs go to the terminal, or to home's log when stderr is that file."""
    from xnode.heap import bound_allocator

    bound_allocator()
    _load_structlog()
    from xnode.logs import set_up_logs

    ensure_node_key(config)
    in_background = _is_log(config)
    set_up_logs(config.node.log_level, config.home.log if in_background else None)
    if not in_background and sys.stderr.isatty():
        say("Ctrl-C stops the daemon; jobs and containers go on")
    # Until it is ready a daemon makes what it keeps, and no garbage worth a look; freeze_start() ends this.
    gc.disable()
    from xnode.daemon import run_daemon

    raise_file_limit()
    run_daemon(config)


def _load_structlog() -> None:
    """Without rich, which it loads where there is one, for pictures of tracebacks that a log never shows."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


def raise_file_limit() -> None:
    """As many open files as we may have: what a service manager gives at first is for small programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_log(config: Config) -> bool:
    try:
        return os.path.samestat(os.fstat(2), config.home.log.stat())
    except OSError:
        return False
