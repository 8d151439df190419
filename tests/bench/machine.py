"""Machine: what the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

QUIET_LOAD = 2.0
"""One-minute load below which nothing else is thought to disturb the figures."""


def describe_machine() -> str:
    """Cores, processor, memory, kernel and Python, in one line."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), "")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model or platform.machine()}), {pages / 2**30:.0f} GiB of memory, {system}"


def describe_load() -> str:
    """The machine's load as the run began."""
    load = os.getloadavg()[0]
    quiet = (
        "quiet" if load < QUIET_LOAD else "not quiet: others were at work, so trust the ratios more than the figures"
    )
    return f"load {load:.1f} ({quiet})"
