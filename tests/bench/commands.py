"""Bench of the command line's start, against the interpreter's own.

python -m tests.bench.run --only commands
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.bench.row import Row, show_ms, show_times
from xnode.jobfile.read import make_example

RUNS = 15
_WAIT_S = 30


def run(say: Callable[[str], None] = print) -> list[Row]:
    """Each command and `python -c pass` in turns."""
    with tempfile.TemporaryDirectory(prefix="xnode-bench-") as name:
        folder = Path(name)
        (folder / "image").mkdir()
        (folder / "job.yaml").write_text(make_example().replace("oci:./image", "sha256:" + "ab" * 32))
        commands = {
            "xnode --help": ("-m", "xnode.cli.main", "--help"),
            "xnode job validate": ("-m", "xnode.cli.main", "job", "validate", str(folder / "job.yaml")),
        }
        times = _measure(commands, say)
    bare = times.pop("")
    return [
        Row(
            what=f"`{name}`, whole command",
            ours=show_ms(found),
            other=f"`python -c pass`: {show_ms(bare)}",
            ratio=show_times(median(found) / median(bare)),
        )
        for name, found in times.items()
    ]


def _measure(commands: dict[str, tuple[str, ...]], say: Callable[[str], None]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in ("", *commands)}
    for number in range(RUNS + 1):
        for name, words in ({"": ("-c", "pass")} | commands).items():
            took_s = _time_command(words)
            if number:
                # The first of each only brings the files into memory.
                times[name].append(took_s)
        if number % 5 == 0:
            say(f"commands, round {number} of {RUNS}")
    return times


def _time_command(words: tuple[str, ...]) -> float:
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=_WAIT_S, check=False)
    took_s = time.perf_counter() - begun
    assert done.returncode == 0, done.stderr
    return took_s
