"""Bench of outputs: many small files from the end of a workload to the submitter's folder, against cp of the same files.

python -m tests.bench.run --only outputs
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.pair import Pair, find_image, open_pair
from tests.bench.row import Row, judge, show_times

COUNT = 10_000
SIZE_BYTES = 1_000
ROUNDS = 3

MOST_S = 5.0
"""From the list of the outputs to the last file in the folder."""

WORK = f"""
import os
os.mkdir("/work/out/many")
for number in range({COUNT}):
    with open(f"/work/out/many/{{number}}", "wb") as file: file.write(b"%0{SIZE_BYTES}d" % number)
"""

JOB = """\
name: outputs
image: oci:{image}
command: [python3, /work/in/work.py]
inputs: {{work.py: work.py}}
resources: {{vcpus: 1, memory: 64MiB, disk: 128MiB}}
time_limit: 5m
budget: 1 OPENX
outputs: {to}
"""


def run(say: Callable[[str], None] = print) -> list[Row]:
    """Jobs and copies by turns; the best of each, for both wait on one disk."""
    ours: list[tuple[float, float]] = []
    others: list[float] = []
    image = find_image()
    with open_pair(say) as pair:
        for number in range(ROUNDS):
            results = pair.folder / f"results-{number}"
            ours.append(_time_job(pair, image, results))
            others.append(_time_copy(results, pair.folder / "copy"))
            say(f"fetched in {ours[-1][1]:.2f} s, {ours[-1][0]:.2f} s after the exit; cp -r {others[-1]:.2f} s")
    whole_s, fetch_s = (min(times) for times in zip(*ours, strict=True))
    return [
        Row(
            what=f"{COUNT:,} outputs of {SIZE_BYTES:,} bytes back to the submitter, durable, best of {ROUNDS}",
            ours=f"{fetch_s:.2f} s; {whole_s:.2f} s after the exit, with their collection",
            other=f"`cp -r` and `sync` of the same files: {min(others):.2f} s",
            ratio=show_times(fetch_s / min(others)),
            target=f"<= {MOST_S:.0f} s",
            verdict=judge(fetch_s <= MOST_S),
        )
    ]


def _time_job(pair: Pair, image: Path, results: Path) -> tuple[float, float]:
    """(seconds from the exit, seconds from the list) until the files lie in the folder."""
    (pair.folder / "work.py").write_text(WORK)
    text = JOB.format(image=image, to=results)
    control = pair.submitter.control
    request = {"job": text, "filename": "job.yaml", "base_dir": str(pair.folder)}
    job_id = control.call("job.submit", request, deadline_s=120)["job_id"]
    detail = control.call("job.wait", {"job_id": job_id}, deadline_s=300)
    assert (detail["job"]["state"], len(list((results / "many").iterdir()))) == ("done", COUNT), detail["job"]
    at_ns = {entry["what"]: entry["at_ns"] for entry in detail["timeline"]}
    return (at_ns["output"] - at_ns["exit"]) / 1e9, (at_ns["output"] - at_ns["fetch"]) / 1e9


def _time_copy(source: Path, target: Path) -> float:
    begun = time.monotonic()
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)
    took_s = time.monotonic() - begun
    shutil.rmtree(target)
    return took_s
