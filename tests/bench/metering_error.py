"""How exactly CPU time is metered, and how soon a workload starts, against what podman itself does.

    python -m tests.bench.metering_error

The load says itself (getrusage) how much CPU time it used, in five shapes; the meter is the engine's. Start latency is
measured for engine.start and for a bare `podman run` in turns, in one run.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from metering.resources import Resources
from metering.units import Hash32
from scheduler.job import Image
from tests.xnode.runtime.busybox import CACHE, make_busybox_layout
from xnode.ports.runtime import WorkloadSpec
from xnode.runtime.oci_layout import read_layout
from xnode.runtime.podman.engine import PodmanEngine

BURN_S = 3.0
STARTS = 11
LIMITS = Resources(2000, 256 << 20, 16 << 20)

BURN = """
import os, resource, sys, time
shape, seconds = sys.argv[1], float(sys.argv[2])
count = {"one": 0, "forks": 20, "short": 150, "orphans": 4}[shape]
names = [f"/work/out/{number}" for number in range(count)] if shape == "orphans" else []
def used(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime
def burn(seconds):
    until = used(resource.RUSAGE_SELF) + seconds
    while used(resource.RUSAGE_SELF) < until: pass
if not count: burn(seconds)
for number in range(count):
    pid = os.fork()
    if not pid:
        if names and os.fork(): os._exit(0)
        burn(seconds / count)
        if names: open(names[number], "w").write(str(used(resource.RUSAGE_SELF)))
        os._exit(0)
    os.waitpid(pid, 0)
while not all(os.path.exists(name) and os.path.getsize(name) for name in names): time.sleep(.01)
orphans = sum(float(open(name).read()) for name in names)
print(used(resource.RUSAGE_SELF) + used(resource.RUSAGE_CHILDREN) + orphans, flush=True)
"""


def run() -> list[dict[str, Any]]:
    """One row per measurement; errors are the metered time against the load's own count, in percent."""
    state = Path(tempfile.mkdtemp(prefix="xnode-bench-"))
    try:
        return trio.run(_measure, state)
    finally:
        shutil.rmtree(state)


async def _measure(state: Path) -> list[dict[str, Any]]:
    engine = PodmanEngine(state, "bench")
    try:
        python, busybox = _python_layout(), make_busybox_layout()
        for layout in (python, busybox):
            await engine.import_image(read_layout(layout), layout)
        rows = [await _meter(engine, read_layout(python), shape) for shape in ("one", "forks", "short", "orphans")]
        return rows + await _time_starts(engine, state, read_layout(busybox))
    finally:
        await engine.erase()


def _python_layout() -> Path:
    """The demo image, built into the cache the first time."""
    out = CACHE / "python-image"
    subprocess.run(
        ["python3", "-m", "images.python.build", str(out)], check=True, cwd=CACHE.parent, stdout=subprocess.DEVNULL
    )
    return out


async def _meter(engine: PodmanEngine, image: Image, shape: str) -> dict[str, Any]:
    """One load; its start (the interpreter's) counts as used by it, and is in its own count as well."""
    spec = _spec(image, ("python3", "-S", "-E", "-c", BURN, shape, str(BURN_S)))
    await engine.start(spec)
    with trio.fail_after(120):
        await engine.wait(spec.lease_id)
    known_s = float(b"".join([piece async for _, piece in engine.read_logs(spec.lease_id, 0, False)]))
    metered_s = (await engine.read_counters(spec.lease_id)).vcpu_ns / 1e9
    await engine.remove(spec.lease_id)
    error = (metered_s / known_s - 1) * 100
    return {"what": f"metered CPU, {shape}", "known_s": known_s, "metered_s": metered_s, "error_percent": error}


async def _time_starts(engine: PodmanEngine, state: Path, image: Image) -> list[dict[str, Any]]:
    """engine.start (disk, cgroup, user namespace, locked down) and bare `podman run -d` in turns."""
    ours, first_lines, bare = [], [], []
    name_of_image = f"localhost/xnode:{image.digest.removeprefix('sha256:')}"
    _write_bare_settings(state)
    for number in range(STARTS):
        spec = _spec(image, ("sh", "-c", "echo up; sleep 60"))
        begin = time.perf_counter()
        await engine.start(spec)
        ours.append(time.perf_counter() - begin)
        async for _ in engine.read_logs(spec.lease_id, 0, True):
            break
        first_lines.append(time.perf_counter() - begin)
        await engine.stop(spec.lease_id)
        await engine.remove(spec.lease_id)
        name = f"bare-{number}"
        begin = time.perf_counter()
        run_args = ("run", "--detach", "--network=none", f"--name={name}", name_of_image, "sleep", "60")
        await trio.to_thread.run_sync(_bare_podman, state, *run_args)
        bare.append(time.perf_counter() - begin)
        await trio.to_thread.run_sync(_bare_podman, state, "rm", "--force", "--time=0", name)
    rows = (("engine.start", ours), ("start to first log line", first_lines), ("bare podman run -d", bare))
    return [{"what": what, "ms_p50": _ms(values, 0.5), "ms_p90": _ms(values, 0.9)} for what, values in rows]


def _write_bare_settings(state: Path) -> None:
    """The engine's settings without its shims."""
    text = (state / "bench/config/containers.conf").read_text()
    kept = [
        line
        for line in text.split("[engine.runtimes]")[0].splitlines()
        if "conmon" not in line and "runtime" not in line
    ]
    (state / "bare.conf").write_text("\n".join([*kept, 'runtime = "crun"']))


def _bare_podman(state: Path, *args: str) -> None:
    """podman with the engine's storage but none of its walls."""
    storage = str(state / "bench/config/storage.conf")
    settings = {"CONTAINERS_CONF": str(state / "bare.conf"), "CONTAINERS_STORAGE_CONF": storage}
    subprocess.run(["podman", *args], env=os.environ | settings, capture_output=True, check=True)


def _spec(image: Image, command: tuple[str, ...]) -> WorkloadSpec:
    return WorkloadSpec(Hash32(os.urandom(32)), image, command, (), (), LIMITS, False, 120 * 10**9)


def _ms(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1] * 1000


def main() -> None:
    """Print one line per row."""
    for row in run():
        print(
            "  ".join(
                f"{value:>8.2f} {name}" if isinstance(value, float) else f"{value:<26}" for name, value in row.items()
            )
        )


if __name__ == "__main__":
    main()
