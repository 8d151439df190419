"""Share: how much of this host a new provider offers, unless told otherwise."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from metering.units import BYTES_PER_GIB
from xnode.runtime.host.gpus import survey_gpus
from xnode.runtime.host.hardware import read_memory_bytes

_MEMORY_PERCENT = 75
"""Of what is there: the rest is for the host, the daemon and page cache."""

_DISK_PERCENT = 50
"""Of what is free: images and blobs need the other half."""


def make_default_share(folder: Path) -> dict[str, Any]:
    """The [provider.share] table for a host whose data is to lie in `folder`."""
    while not folder.exists():
        folder = folder.parent
    gpus = survey_gpus()
    memory_bytes = read_memory_bytes() - gpus.shared_bytes
    cores = len(os.sched_getaffinity(0))
    # One core, or half of one on the smallest hosts, is left to the host itself.
    vcpus = cores - 1 if cores > 2 else cores - 0.5
    return {
        "vcpus": vcpus,
        "memory": _round_size(memory_bytes * _MEMORY_PERCENT // 100),
        "disk": _round_size(shutil.disk_usage(folder).free * _DISK_PERCENT // 100),
        "gpus": len(gpus.gpus),
    }


def _round_size(size_bytes: int) -> str:
    """Down to a quarter of a GiB, as a person would write it."""
    quarters = size_bytes * 4 // BYTES_PER_GIB
    return f"{quarters // 4}GiB" if quarters % 4 == 0 else f"{quarters * 256}MiB"
