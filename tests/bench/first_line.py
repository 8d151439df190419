"""Bench of starts: from submitting a job to the first line of its log, against the bare engine's own start.

python -m tests.bench.run --only start
"""

from __future__ import annotations

import base64
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.pair import Pair, find_image, open_pair
from tests.bench.row import Row, find_p95, judge, show_ms, show_times
from xnode.runtime.oci_layout import read_layout

JOBS = 15
PROGRAM = ("python3", "-S", "-E", "-c", "print('up', flush=True)")

MORE_THAN_ENGINE_S = 0.250
P95_S = 1.5
LEASE_S = 0.120

JOB = """\
name: tiny
image: oci:{image}
command: {command}
resources: {{vcpus: 0.5, memory: 128MiB, disk: 32MiB}}
time_limit: 1m
budget: 1 OPENX
"""

_END_WAIT_S = 60.0
_BARE_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Times:
    """Of one job, in seconds. to_steps: from the submission, as the node's own timeline has them."""

    to_line_s: float
    to_lease_s: float
    to_launch_s: float


def run(say: Callable[[str], None] = print) -> list[Row]:
    """Jobs and bare starts in turns, after one of each to warm up."""
    image = find_image()
    with open_pair(say) as pair:
        job = {"job": _make_job(image), "filename": "job.yaml", "base_dir": str(pair.folder)}
        _time_job(pair, job)
        bare = _Bare(pair, image)
        bare.time_start()
        jobs, starts = [], []
        for number in range(JOBS):
            jobs.append(_time_job(pair, job))
            starts.append(bare.time_start())
            say(f"start {number + 1} of {JOBS}: job {jobs[-1].to_line_s * 1e3:.0f} ms, bare {starts[-1] * 1e3:.0f} ms")
    return _make_rows(jobs, starts)


def _make_rows(jobs: list[Times], starts: list[float]) -> list[Row]:
    lines, leases = [one.to_line_s for one in jobs], [one.to_lease_s for one in jobs]
    met = median(lines) <= median(starts) + MORE_THAN_ENGINE_S and find_p95(lines) <= P95_S
    return [
        Row(
            what=f"submit to first log line, warm local provider, {JOBS} jobs",
            ours=show_ms(lines),
            other=f"bare `podman run` of the same image and program: {show_ms(starts)}",
            ratio=show_times(median(lines) / median(starts)),
            target=f"p50 <= the engine's own + {MORE_THAN_ENGINE_S * 1e3:.0f} ms, p95 <= {P95_S:.1f} s",
            verdict=judge(met),
        ),
        Row(
            what="order to lease, both signatures durable",
            ours=show_ms(leases),
            target=f"p50 <= {LEASE_S * 1e3:.0f} ms",
            verdict=judge(median(leases) <= LEASE_S),
        ),
        Row(what="order to launch, as the submitter hears of it", ours=show_ms([one.to_launch_s for one in jobs])),
    ]


def _make_job(image: Path) -> str:
    words = ", ".join(f'"{word}"' for word in PROGRAM)
    return JOB.format(image=image, command=f"[{words}]")


def _time_job(pair: Pair, job: dict[str, str]) -> Times:
    """What `job submit --follow` asks of the daemon; over when the job has ended, so that the next has the host alone."""
    control = pair.submitter.control
    begun = time.perf_counter()
    job_id = control.call("job.submit", job)["job_id"]
    follow = {"job_id": job_id, "offset": 0, "follow": True}
    pieces = control.stream("job.logs", follow, quiet_s=_END_WAIT_S)
    first = next(pieces)
    to_line_s = time.perf_counter() - begun
    assert base64.b64decode(first["data"]) == b"up\n", first
    assert not list(pieces)
    detail = control.call("job.wait", {"job_id": job_id}, deadline_s=_END_WAIT_S)
    assert detail["job"]["exit_code"] == 0, detail
    steps = _find_steps(detail)
    return Times(to_line_s, steps["lease"] - steps["submitted"], steps["launch"] - steps["submitted"])


def _find_steps(detail: dict[str, Any]) -> dict[str, float]:
    """When each word first appears in the timeline, seconds."""
    found: dict[str, float] = {}
    for entry in detail["timeline"]:
        found.setdefault(entry["what"], entry["at_ns"] / 1e9)
    return found


class _Bare:
    """podman on the provider's own storage, without our walls, disk, meter or settings."""

    def __init__(self, pair: Pair, image: Path) -> None:
        engine = pair.provider.home.data / "engine" / pair.provider.home.namespace / "config"
        settings = pair.folder / "bare.conf"
        lines = (engine / "containers.conf").read_text().split("[engine.runtimes]")[0].splitlines()
        kept = [line for line in lines if "conmon" not in line and "runtime" not in line]
        settings.write_text("\n".join([*kept, 'runtime = "crun"', ""]))
        self._environment = os.environ | {
            "CONTAINERS_CONF": str(settings),
            "CONTAINERS_STORAGE_CONF": str(engine / "storage.conf"),
        }
        self._image = f"localhost/xnode:{read_layout(image).digest.removeprefix('sha256:')}"

    def time_start(self) -> float:
        """Seconds from the call to the program's first line."""
        begun = time.perf_counter()
        command = ("podman", "run", "--rm", "--network=none", self._image, *PROGRAM)
        with subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            took_s = time.perf_counter() - begun
            process.wait(_BARE_WAIT_S)
        assert line == b"up\n", line
        return took_s
