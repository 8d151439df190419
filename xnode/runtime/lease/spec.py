"""Spec: whether a container can be made of what a lease asks for, and the limits that any engine gives it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from xnode.errors import Permanent
from xnode.ports.runtime import WorkloadSpec
from xnode.runtime.host.cgroup import MIN_VCPU_MILLI, CgroupLimits

WORKLOAD_UID = 1000
"""Who the workload is inside its user namespace: never root, not even of its own."""

PIDS_LIMIT = 1024
"""Processes and threads of one workload: enough for a build on every core, and a fork bomb is a small thing."""

MIN_MEMORY_BYTES = 8 << 20
"""Less does not get a container through its own start."""

MAX_ARGUMENT_BYTES = 100_000
"""Command and environment together; the kernel takes 128 KiB in one word."""

MAX_INPUTS = 10_000
"""Files under /work/in; more belong in an archive."""

MAX_PATH_BYTES = 1024

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")


def check_spec(spec: WorkloadSpec) -> None:
    """Raises Permanent when no container can be made of it."""
    resources = spec.resources
    if resources.vcpu_milli < MIN_VCPU_MILLI:
        raise Permanent(
            f"vcpu_milli is {resources.vcpu_milli}, less than the {MIN_VCPU_MILLI} that a container needs", code="job"
        )
    if resources.memory_bytes < MIN_MEMORY_BYTES:
        raise Permanent(
            f"memory_bytes is {resources.memory_bytes}, less than the {MIN_MEMORY_BYTES} that a container needs",
            code="job",
        )
    words = [*spec.command, *(text for pair in spec.env for text in pair)]
    if sum(len(word.encode()) for word in words) > MAX_ARGUMENT_BYTES:
        raise Permanent(
            f"command and env are longer than {MAX_ARGUMENT_BYTES} bytes",
            hint="put the data into an input file",
            code="job",
        )
    if any("\0" in word for word in words):
        raise Permanent("command or env contains a zero byte", code="job")
    for name, _ in spec.env:
        if not ENV_NAME.match(name):
            raise Permanent(f"env: {name[:80]!r} is not a variable name", code="job")
    if len(spec.inputs) > MAX_INPUTS:
        raise Permanent(
            f"{len(spec.inputs)} inputs are more than the {MAX_INPUTS} allowed",
            hint="put them into an archive",
            code="job",
        )
    for path, _ in spec.inputs:
        if path not in spec.packed:
            check_inside(path)


def check_inside(path: str) -> PurePosixPath:
    """A relative path that stays below its folder, or Permanent."""
    pure = PurePosixPath(path)
    odd = not path or "\0" in path or len(path.encode(errors="replace")) > MAX_PATH_BYTES
    if odd or pure.is_absolute() or ".." in pure.parts or pure == PurePosixPath("."):
        raise Permanent(f"input path {path[:80]!r} is not a relative path below /work/in", code="job")
    return pure


def make_limits(spec: WorkloadSpec) -> CgroupLimits:
    """What the lease's parent cgroup allows."""
    return CgroupLimits(spec.resources.vcpu_milli, spec.resources.memory_bytes, PIDS_LIMIT)
