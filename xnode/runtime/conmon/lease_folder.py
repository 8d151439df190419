"""Lease folder: everything one lease has on this host's disk, and what its files say about the workload.

record.json   what we must know of the lease when the daemon that started it is gone; written first, removed last
started       empty; its time of change is when the workload started (runtime shim)
exit          exit status; its time of change is when the workload ended (conmon, copied by the runtime shim)
oom           memory.oom_control of the gone container (cgroup v1)
pid, cid      of the workload's first process, of its container (podman)
conmon.pid    its monitor
log           k8s-file log (conmon)
disk.img      the ext4 image behind /work/out, mounted at disk/
in/           hard links to the inputs
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from metering.units import Hash32
from xnode.durable import sync_file
from xnode.ports.runtime import WorkloadSpec

KILLED = 137
"""Exit status of a process ended by SIGKILL."""

CONMON_TIMED_OUT = -1
"""What conmon writes when its own clock ended the workload."""

UNKNOWN = b"unknown"
"""What we write into the exit file when no process is left that could."""

TIMEOUT_SLACK_NS = 50_000_000
"""Our own clock may end it this much before the limit as its files count."""


class LeaseRecord(msgspec.Struct, frozen=True):
    """What start() decided. uid_base: first host user id of its user namespace; network: has a namespace of its own."""

    lease_id: str
    boot_id: str
    image: str
    vcpu_milli: int
    disk_bytes: int
    duration_limit_ns: int
    uid_base: int
    gpus: tuple[str, ...]
    network: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """How a workload ended. exit_code None: unknown, because the host or its monitor died with it."""

    finished_at_ns: int
    exit_code: int | None
    by_conmon: bool = False


@dataclass(frozen=True, slots=True)
class LeaseFolder:
    """The folder of one lease; all methods block, and read what others wrote."""

    path: Path
    exits: Path

    @property
    def lease_id(self) -> Hash32:
        return Hash32(bytes.fromhex(self.path.name))

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def inputs(self) -> Path:
        return self.path / "in"

    @property
    def disk(self) -> Path:
        """Where the disk image is mounted."""
        return self.path / "disk"

    @property
    def out(self) -> Path:
        """The folder on it that the workload sees as /work/out."""
        return self.disk / "out"

    @property
    def resolver(self) -> Path:
        return self.path / "resolv.conf"

    def write_network(self, attach_script: str, resolv_conf: str) -> None:
        """What the runtime shim and the container need for the network."""
        self.resolver.write_text(resolv_conf)
        self.resolver.chmod(0o644)
        (self.path / "network").write_text(attach_script)

    def write_record(self, record: LeaseRecord) -> None:
        """Make the folder and note durably that the lease has something here, before it has."""
        self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        fresh = self.path / "record.new"
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(record))
            sync_file(file)
        fresh.replace(self.path / "record.json")

    def read_record(self) -> LeaseRecord | None:
        """None when start() never came as far as writing one."""
        text = read_bytes_if_there(self.path / "record.json")
        return msgspec.json.decode(text, type=LeaseRecord) if text is not None else None

    def read_started_ns(self) -> int | None:
        """When the workload started, or None."""
        return mtime_ns(self.path / "started")

    def read_ending(self) -> Ending | None:
        """How it ended, as far as a file shows it."""
        for path in (self.path / "exit", *self._conmon_exit()):
            text = read_bytes_if_there(path)
            at_ns = mtime_ns(path)
            if text and at_ns is not None:
                return make_ending(text, at_ns)
        return None

    def _conmon_exit(self) -> tuple[Path, ...]:
        cid = self.read_cid()
        return (self.exits / cid,) if cid else ()

    def write_unknown_ending(self, finished_at_ns: int) -> None:
        """Say for good that it is unknown how it ended; an ending that is there already stays."""
        fresh = self.path / "exit.unknown"
        fresh.write_bytes(UNKNOWN)
        os.utime(fresh, ns=(finished_at_ns, finished_at_ns))
        with contextlib.suppress(FileExistsError):
            os.link(fresh, self.path / "exit")
        fresh.unlink()

    def read_cid(self) -> str:
        """The container's id, "" before there is one."""
        return (read_bytes_if_there(self.path / "cid") or b"").decode().strip()

    def read_pid(self, name: str) -> int | None:
        """The process id in "pid" or "conmon.pid"."""
        text = read_bytes_if_there(self.path / name)
        return int(text) if text and text.strip().isdigit() else None

    def read_last_written_ns(self) -> int:
        """When anything here last changed by the workload or for it: it surely ran until then, if the host died with
        it."""
        return max(mtime_ns(path) or 0 for path in (self.log, self.path / "record.json"))

    def read_oom_text(self) -> str:
        """What the runtime shim kept of memory.oom_control, "" when nothing."""
        return (read_bytes_if_there(self.path / "oom_control") or b"").decode()


def make_record(spec: WorkloadSpec, boot_id: str, image_id: str, uid_base: int, gpus: tuple[str, ...]) -> LeaseRecord:
    """The record of a workload about to be started."""
    return LeaseRecord(
        lease_id=spec.lease_id.hex(),
        boot_id=boot_id,
        image=image_id,
        vcpu_milli=spec.resources.vcpu_milli,
        disk_bytes=spec.resources.disk_bytes,
        duration_limit_ns=spec.duration_limit_ns,
        uid_base=uid_base,
        gpus=gpus,
        network=spec.network,
    )


def make_ending(text: bytes, at_ns: int) -> Ending:
    """The ending that an exit file's text means."""
    if text == UNKNOWN:
        return Ending(at_ns, None)
    by_conmon = int(text) == CONMON_TIMED_OUT
    return Ending(at_ns, KILLED if by_conmon else int(text), by_conmon)


def is_timed_out(record: LeaseRecord, started_ns: int | None, ending: Ending) -> bool:
    """True when it was killed for reaching its wall-clock limit."""
    if started_ns is None or ending.exit_code != KILLED:
        return False
    if ending.by_conmon:
        return True
    return ending.finished_at_ns - started_ns + TIMEOUT_SLACK_NS >= record.duration_limit_ns


def conmon_limit_s(duration_limit_ns: int) -> int:
    """The wall-clock limit given to conmon, which counts whole seconds from before the start: it must never be early.
    What a workload runs beyond its limit, because no daemon was there to end it in time, is not billed."""
    return -(-duration_limit_ns // 1_000_000_000) + 1


def mtime_ns(path: Path) -> int | None:
    """A file's time of change in nanoseconds UTC, None when it is not there."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def read_bytes_if_there(path: Path) -> bytes | None:
    """A small file's content, None when it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
