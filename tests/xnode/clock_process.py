"""A process that dates by the kept clock until it is killed, a line "at" each time: by that clock, and since the boot."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import trio

from xnode.kept_clock import ClockKeeper, open_clock


async def main(folder: Path) -> None:
    """Leases are open while the file "held" is in the folder."""
    is_held = partial((folder / "held").exists)
    clock = open_clock(folder, is_held())
    keeper = ClockKeeper(clock, folder, is_held)
    while True:
        await keeper.look()
        sys.stdout.write(f"at {clock.now_ns()} {time.clock_gettime_ns(time.CLOCK_BOOTTIME)} {keeper.find_problem()}\n")
        sys.stdout.flush()
        await trio.sleep(0.05)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
