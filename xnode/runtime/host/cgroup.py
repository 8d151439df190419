"""Cgroups: one parent of ours for each lease, version 1 (or hybrid) and version 2 behind one interface.

The limits stand on the parent and the counters are read from it, so nothing is lost when the container below it goes.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xnode.errors import Permanent, Retryable

CPU_PERIOD_US = 100_000
"""CFS bandwidth period; metering.usage.BURST_VCPU_NS counts on it."""

MIN_VCPU_MILLI = 10
"""The kernel's least quota is 1 ms a period."""

V1_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids")
"""What a version 1 host must have mounted."""

V2_CONTROLLERS = ("cpu", "memory", "pids")

V2_IF_THERE = ("cpuset",)
"""What is given on where a service manager lets us have it; nothing fails without it."""

MAX_COUNTER_BYTES = 16_384
"""The longest file we read in one go; cpu.stat and memory.events have less than 1 KiB."""


@dataclass(frozen=True, slots=True)
class CgroupLimits:
    """What the parent allows all processes of one lease together."""

    vcpu_milli: int
    memory_bytes: int
    pids: int


class LeaseCgroup(Protocol):
    """The parent cgroup of one lease. Reads after remove() give zero; every method is safe to call twice."""

    def create(self, limits: CgroupLimits) -> None: ...

    def open_cpu(self) -> CpuCounter | None:
        """The CPU clock, to be read often; None when the cgroup is not there."""
        ...

    def read_oom_kills(self) -> int:
        """How many processes were killed for want of memory, as far as the cgroups still standing tell."""
        ...

    def list_pids(self) -> tuple[int, ...]:
        """Every process below the parent."""
        ...

    def signal(self, number: int) -> None:
        """A signal to every process below the parent."""
        ...

    def kill(self) -> None:
        """SIGKILL to every process below the parent; returns before they are gone."""
        ...

    def remove(self) -> None:
        """Raises Retryable while a process is left in it."""
        ...


class CpuCounter:
    """CPU nanoseconds of a cgroup through one kept file descriptor: one pread a reading."""

    __slots__ = ("_fd", "_is_v2")

    def __init__(self, path: Path, is_v2: bool) -> None:
        self._fd, self._is_v2 = os.open(path, os.O_RDONLY | os.O_CLOEXEC), is_v2

    def read_ns(self) -> int:
        """Raises OSError once the cgroup has been removed."""
        text = os.pread(self._fd, MAX_COUNTER_BYTES, 0)
        return parse_keyed(text.decode())["usage_usec"] * 1000 if self._is_v2 else int(text)

    def close(self) -> None:
        """Close the descriptor; nothing can be read afterwards."""
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class CgroupTree:
    """Where this host's cgroups are mounted. version 1 covers hybrid hosts; mounts: controller -> mount point."""

    version: int
    mounts: tuple[tuple[str, Path], ...]

    def lease(self, namespace: str, lease_hex: str) -> LeaseCgroup:
        """The parent cgroup of a lease; makes nothing yet."""
        path = f"xnode/{namespace}/{lease_hex}"
        return CgroupV2(self, path) if self.version == 2 else CgroupV1(self, path)

    def mount_of(self, controller: str) -> Path:
        """Where a controller is mounted; on version 2 all share one."""
        for name, mount in self.mounts:
            if name == controller or self.version == 2:
                return mount
        raise Permanent(
            f"cgroup controller {controller} is not mounted on this host", hint="mount it or boot with cgroup v2"
        )

    def has_cpuset(self) -> bool:
        """True when a workload can be kept to some of the host's CPUs."""
        if self.version == 1:
            return "cpuset" in dict(self.mounts)
        return "cpuset" in read_if_there(self.mounts[0][1] / "cgroup.controllers").split()

    def roots(self) -> tuple[Path, ...]:
        """Every mounted hierarchy once: an OCI runtime makes its cgroups in all of them."""
        return tuple(dict.fromkeys(mount for _, mount in self.mounts))

    def list_leases(self, namespace: str) -> tuple[str, ...]:
        """Names of all lease cgroups in any hierarchy."""
        names: set[str] = set()
        for root in self.roots():
            with suppress(FileNotFoundError):
                names.update(entry.name for entry in os.scandir(root / "xnode" / namespace) if entry.is_dir())
        return tuple(sorted(names))

    def make_monitors(self, namespace: str) -> tuple[Path, ...]:
        """The cgroup.procs files of the group that conmon processes are moved to, so that no lease is billed for them
        and a service manager that stops the daemon by its cgroup does not take them along."""
        files = []
        for root in self.roots():
            group = root / "xnode-monitors" / namespace
            with suppress(OSError):  # a hierarchy that will not take us is one that neither bills nor limits anything
                group.mkdir(parents=True, exist_ok=True)
                files.append(group / "cgroup.procs")
        return tuple(files)

    def remove_namespace(self, namespace: str) -> None:
        """Remove the groups of a daemon that is being uninstalled; what is still used stays."""
        for root in self.roots():
            for group in ("xnode", "xnode-monitors"):
                with suppress(OSError):
                    (root / group / namespace).rmdir()


def read_cgroup_tree(root: Path = Path("/")) -> CgroupTree:
    """The tree of the host whose /proc and /sys stand under `root` (another root in tests)."""
    tree = parse_mounts((root / "proc/self/mounts").read_text(), root)
    if tree.version == 1:
        missing = [name for name in V1_CONTROLLERS if name not in dict(tree.mounts)]
        if missing:
            raise Permanent(
                f"cgroup v1 without {', '.join(missing)} in /proc/self/mounts", hint="mount them or boot with cgroup v2"
            )
    return tree


def parse_mounts(text: str, root: Path = Path("/")) -> CgroupTree:
    """The cgroup mounts in the text of /proc/self/mounts. Raises Permanent when there are none."""
    v1: dict[str, Path] = {}
    unified: Path | None = None
    for line in text.splitlines():
        _, mount, kind, options, *_ = line.split()
        place = root / mount.lstrip("/")
        if kind == "cgroup2":
            unified = unified or place
        elif kind == "cgroup":
            for option in options.split(","):
                if option not in ("rw", "ro", "relatime", "nosuid", "nodev", "noexec", "noatime"):
                    v1.setdefault(option, place)
    if "memory" in v1:
        unified_too = {"unified": unified} if unified else {}
        return CgroupTree(1, tuple((v1 | unified_too).items()))
    if unified is None:
        raise Permanent("no cgroups in /proc/self/mounts", hint="mount cgroup2 at /sys/fs/cgroup")
    return CgroupTree(2, (("unified", unified),))


def parse_keyed(text: str) -> dict[str, int]:
    """The numbers of a flat keyed file ("name value" lines); lines that are not so are left out."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def quota_us_of(vcpu_milli: int) -> int:
    """CFS quota a period for thousandths of a vCPU."""
    return vcpu_milli * CPU_PERIOD_US // 1000


class CgroupV1:
    """A lease's parent in every version 1 hierarchy."""

    def __init__(self, tree: CgroupTree, path: str) -> None:
        self._tree, self._path = tree, path

    def _dir(self, controller: str) -> Path:
        return self._tree.mount_of(controller) / self._path

    def create(self, limits: CgroupLimits) -> None:
        for controller in V1_CONTROLLERS:
            self._dir(controller).mkdir(parents=True, exist_ok=True)
        cpu, memory = self._dir("cpu"), self._dir("memory")
        write_limit(cpu / "cpu.cfs_period_us", CPU_PERIOD_US)
        write_limit(cpu / "cpu.cfs_quota_us", quota_us_of(limits.vcpu_milli))
        write_limit(self._dir("pids") / "pids.max", limits.pids)
        write_limit(memory / "memory.limit_in_bytes", limits.memory_bytes)
        if (memory / "memory.memsw.limit_in_bytes").exists():
            write_limit(memory / "memory.memsw.limit_in_bytes", limits.memory_bytes)
        elif (memory / "memory.swappiness").exists():
            write_limit(memory / "memory.swappiness", 0)

    def open_cpu(self) -> CpuCounter | None:
        try:
            return CpuCounter(self._dir("cpuacct") / "cpuacct.usage", is_v2=False)
        except FileNotFoundError:
            return None

    def read_oom_kills(self) -> int:
        # Version 1 counts a kill only in the cgroup of the victim, so the children are read as well.
        texts = (read_if_there(place / "memory.oom_control") for place in walk(self._dir("memory")))
        return sum(parse_keyed(text).get("oom_kill", 0) for text in texts)

    def list_pids(self) -> tuple[int, ...]:
        return list_pids_below(self._dir("pids"))

    def signal(self, number: int) -> None:
        signal_all(self.list_pids(), number)

    def kill(self) -> None:
        signal_all(self.list_pids(), signal.SIGKILL)

    def remove(self) -> None:
        for root in self._tree.roots():
            remove_below(root / self._path)


class CgroupV2:
    """A lease's parent in the unified hierarchy."""

    def __init__(self, tree: CgroupTree, path: str) -> None:
        self._root, self._path = tree.mounts[0][1], path

    @property
    def _dir(self) -> Path:
        return self._root / self._path

    def create(self, limits: CgroupLimits) -> None:
        self._dir.mkdir(parents=True, exist_ok=True)
        place = self._root
        for part in ("", *self._path.split("/")):
            place = place / part
            self._delegate(place)
        write_limit(self._dir / "cpu.max", f"{quota_us_of(limits.vcpu_milli)} {CPU_PERIOD_US}")
        write_limit(self._dir / "memory.max", limits.memory_bytes)
        write_limit(self._dir / "pids.max", limits.pids)
        if (self._dir / "memory.swap.max").exists():
            write_limit(self._dir / "memory.swap.max", 0)

    def _delegate(self, place: Path) -> None:
        """Give the controllers on to the children of `place`; those already given are left as they are."""
        given = read_if_there(place / "cgroup.subtree_control").split()
        there = read_if_there(place / "cgroup.controllers").split()
        wanted = (*V2_CONTROLLERS, *(name for name in V2_IF_THERE if name in there))
        missing = [f"+{name}" for name in wanted if name not in given]
        if missing:
            write_limit(place / "cgroup.subtree_control", " ".join(missing))

    def open_cpu(self) -> CpuCounter | None:
        try:
            return CpuCounter(self._dir / "cpu.stat", is_v2=True)
        except FileNotFoundError:
            return None

    def read_oom_kills(self) -> int:
        return parse_keyed(read_if_there(self._dir / "memory.events")).get("oom_kill", 0)

    def list_pids(self) -> tuple[int, ...]:
        return list_pids_below(self._dir)

    def signal(self, number: int) -> None:
        signal_all(self.list_pids(), number)

    def kill(self) -> None:
        if (self._dir / "cgroup.kill").exists():
            write_limit(self._dir / "cgroup.kill", 1)
            return
        signal_all(self.list_pids(), signal.SIGKILL)

    def remove(self) -> None:
        remove_below(self._dir)


def write_limit(path: Path, value: int | str) -> None:
    """One write to a cgroup file; Permanent when the kernel does not take the value."""
    try:
        path.write_text(str(value))
    except OSError as error:
        raise Permanent(f"{path}: the kernel did not take {value}: {error.strerror}") from error


def read_if_there(path: Path) -> str:
    """The text of a cgroup file, "" when the cgroup is gone, also while we held the file open."""
    try:
        return path.read_text()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return ""
        raise


def walk(place: Path) -> Iterator[Path]:
    """A cgroup and all below it, deepest first."""
    for folder, _, _ in os.walk(place, topdown=False):
        yield Path(folder)


def list_pids_below(place: Path) -> tuple[int, ...]:
    """All process ids in a cgroup and below it."""
    texts = (read_if_there(folder / "cgroup.procs") for folder in walk(place))
    return tuple(int(pid) for text in texts for pid in text.split())


def signal_all(pids: tuple[int, ...], number: int) -> None:
    """A signal to each process that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def remove_below(place: Path) -> None:
    """Remove a cgroup with all below it; Retryable while a process is left in one."""
    for folder in walk(place):
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Retryable(f"cgroup {folder} is busy: {error.strerror}") from error
