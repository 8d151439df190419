"""Trial: every writer meets a disk that is full, or broken, at every one of its writes. A program of its own, with the library
of bad_disk.c preloaded: python -m tests.disk.trial FOLDER EVERY [WORD]. EVERY: 1 for each write, 3 for each third one."""

from __future__ import annotations

import errno
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import trio

from tests.disk.bad_disk import FOREVER, Failure, is_loaded
from tests.disk.writer import Writer, count_writes, meet
from tests.disk.writers import WRITERS

SLOW_S = 8.0
"""A wait for a lock that nobody gives back shows as this."""


def list_failures(writes: int, every: int) -> Iterator[Failure]:
    """Each of them fails once, and from each of them on all fail."""
    for at in range(1, writes + 1, every):
        for error in (errno.ENOSPC, errno.EIO):
            yield Failure(at, error)
            yield Failure(at, error, FOREVER)


async def run_writer(writer: Writer, folder: Path, every: int) -> tuple[int, list[str]]:
    """(how many trials, what went wrong)."""
    faults: list[str] = []
    writes = await count_writes(writer, _fresh(folder))
    count = 0
    for failure in list_failures(writes, max(every, writes // 8) if every > 1 else 1):
        count += 1
        began = time.monotonic()
        try:
            await meet(writer, _fresh(folder), failure)
        except BaseException as error:
            said = (
                "".join(traceback.format_exception(error)[-3:])
                if "-v" in sys.argv
                else f"{type(error).__name__}: {error}"
            )
            faults.append(f"{writer.name}: {failure}: {said}")
        if time.monotonic() - began > SLOW_S:
            faults.append(f"{writer.name}: {failure}: took {time.monotonic() - began:.0f} s")
    return count, faults


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main() -> int:
    """1 when anything went wrong; each on a line."""
    assert is_loaded(), "the library is not preloaded"
    folder, every = Path(sys.argv[1]), int(sys.argv[2])
    words = [word for word in sys.argv[3:] if word != "-v"]
    trials, faults = 0, list[str]()
    for writer in WRITERS:
        if not words or words[0] in writer.name:
            count, wrong = trio.run(run_writer, writer, folder / "trial", every)
            trials, faults = trials + count, faults + wrong
            sys.stdout.write(f"{writer.name}: {count} trials, {len(wrong)} wrong\n")
            sys.stdout.flush()
    sys.stdout.write("".join(f"FAULT {line}\n" for line in faults) + f"{trials} trials, {len(faults)} faults\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
