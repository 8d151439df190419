"""Load: processes that do nothing but compute, at normal priority, as a host's other work does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

END_WAIT_S = 10.0


@contextmanager
def busy_host(processes: int) -> Iterator[None]:
    """So many run while this is open."""
    started = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in started:
            one.kill()
        for one in started:
            one.wait(END_WAIT_S)
