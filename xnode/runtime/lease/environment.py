"""Environment: the variables, files and folders that a workload finds as any machine has them."""

from __future__ import annotations

from pathlib import Path

from xnode.ports.runtime import WorkloadSpec

HOME = "/home/xnode"
"""On the lease's disk, beside /work/out: caches of any size fit, and none of them becomes an output."""

USER_NAME = "xnode"
"""What a user id is called that the image has no name for."""

HOST_NAME = "workload"

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "GOMAXPROCS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "JULIA_NUM_THREADS",
    "DOTNET_PROCESSOR_COUNT",
    "PYTHON_CPU_COUNT",
)
"""What libraries and languages read before they count the host's CPUs: with a thread for each of those and the quota of
one, they spend their time throttled while they wait for each other."""


def make_environment(spec: WorkloadSpec, image_names: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """What is set for a workload beside what its image sets (image_names); the job has the last word."""
    threads = str(count_threads(spec.resources.vcpu_milli))
    ours = {"TMPDIR": "/tmp", **dict.fromkeys(THREAD_VARIABLES, threads)}
    kept = {name: value for name, value in ours.items() if name not in image_names}
    return tuple(({"HOME": HOME} | kept | dict(spec.env)).items())


def count_threads(vcpu_milli: int) -> int:
    """How many threads a share of the CPUs keeps busy."""
    return max(1, -(-vcpu_milli // 1000))


def make_hosts(has_ipv6: bool) -> str:
    """/etc/hosts: this machine by each of its names, and no other."""
    lines = [f"127.0.0.1 localhost {HOST_NAME}"]
    lines += ["::1 localhost ip6-localhost ip6-loopback"] if has_ipv6 else []
    return "\n".join(lines) + "\n"


def has_ipv6(root: Path = Path("/")) -> bool:
    """True when a new network namespace's loopback interface gets ::1: unless this kernel was booted without IPv6."""
    return (root / "proc/sys/net/ipv6").is_dir()
