"""Hardware: what this host has."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import psutil

from scheduler.offer import HardwareProfile


def probe_hardware(data_dir: Path) -> HardwareProfile:
    return HardwareProfile("cpu", os.cpu_count() or 1, os.cpu_count() or 1, psutil.virtual_memory().total, shutil.disk_usage(data_dir).free, platform.machine(), platform.release())
