"""Host: what is left of a lease on this machine, found without asking the engine: mounts, cgroups, processes, files."""

from __future__ import annotations

from pathlib import Path

from xnode.home import Home

CGROUPS = Path("/sys/fs/cgroup")

SHORT = 32
"""Container names hold this many characters of a lease's hex."""


def find_traces(home: Home, lease_hex: str) -> list[str]:
    """One line for everything on the host that names the lease, except what is kept on purpose (log archive, blobs)."""
    short = lease_hex[:SHORT]
    mounts = [f"mount {line.split()[1]}" for line in _read("/proc/self/mounts").splitlines() if short in line]
    trees = [place.rglob("*") for place in (*CGROUPS.glob("xnode"), *CGROUPS.glob("*/xnode"))]
    cgroups = [f"cgroup {path}" for tree in trees for path in tree if short in path.name]
    processes = [f"process {pid}" for pid in list_processes(short)]
    engine = home.data / "engine"
    places = [*engine.glob("*/leases/*"), *engine.glob("*/containers/*")]
    files = [f"file {path}" for path in places if short in path.name or short in _target(path)]
    known = [f"podman {path}" for path in engine.rglob("containers.json") if short in _read(path)]
    return [*mounts, *cgroups, *processes, *files, *known]


def list_processes(text: str) -> list[int]:
    """Ids of the processes with the text on their command line."""
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if text in _read(path)]


def find_workload(home: Home, lease_hex: str) -> int:
    """Process id of the workload's first process."""
    (path,) = home.data.glob(f"engine/*/leases/{lease_hex}/pid")
    return int(_read(path))


def is_alive(pid: int) -> bool:
    """True while the process runs."""
    return Path(f"/proc/{pid}").exists()


def _read(path: Path | str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _target(path: Path) -> str:
    return str(path.readlink()) if path.is_symlink() else ""
