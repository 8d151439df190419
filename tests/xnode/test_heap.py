"""What is freed goes back to the system, although it lies between what is still used."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import trio, trio.testing
from xnode.heap import TRIM_EVERY_S, bound_allocator, keep_trimmed

def held_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:"))

async def main():
    pieces = [bytearray(2000) for _ in range(50_000)]
    kept = pieces[::200]
    del pieces
    before = held_bytes()
    with trio.move_on_after(1.5 * TRIM_EVERY_S):
        await keep_trimmed()
    assert len(kept) == 250
    print(before - held_bytes())

bound_allocator()
trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
"""


def test_what_a_flood_left_between_what_is_kept_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50 << 20
