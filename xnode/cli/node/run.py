"""Run daemon: this process becomes the node."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from xnode.cli.node.setup import ensure_node_key
from xnode.cli.terminal.screen import say

if TYPE_CHECKING:
    from xnode.config.settings import Config


def run_here(config: Config) -> None:
    """Run the daemon until it is told to stop. Logs go to the terminal, or to home's log when stderr is that file."""
    from xnode.logs import set_up_logs

    ensure_node_key(config)
    in_background = _is_log(config)
    set_up_logs(config.node.log_level, config.home.log if in_background else None)
    if not in_background and sys.stderr.isatty():
        say("Ctrl-C stops the daemon; jobs and containers go on")
    from xnode.daemon import run_daemon

    run_daemon(config)


def _is_log(config: Config) -> bool:
    try:
        return os.path.samestat(os.fstat(2), config.home.log.stat())
    except OSError:
        return False
