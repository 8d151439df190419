"""Lease folder: everything one lease has on this host's disk, and what its files say about the workload.

record.json   what we must know of the lease when the daemon that started it is gone; written first, removed last
started       empty; its time of change is when the workload started (runtime shim)
exit          exit status; its time of change is when the workload ended (conmon, copied by the runtime shim)
oom           memory.oom_control of the gone container (cgroup v1)
pid, cid      of the workload's first process, of its container (podman)
conmon.pid    its monitor
stop.json     when the workload was asked to end, and for its limit what it had used by then; written once
hosts         its /etc/hosts; resolv.conf its resolvers
owner         the first user id of its user namespace, for the runtime shim, where only the image knows its user's id
stopwatch     when the workload started, by a clock that nobody sets
log           k8s-file log (conmon)
disk.img      the ext4 image behind all that it may write, mounted at disk/
in/           hard links to the inputs
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import msgspec

from metering.units import Hash32
from metering.usage import Counters
from scheduler.job import DEFAULT_GRACE_NS
from xnode.durable import naming, replace_file
from xnode.ports.runtime import WorkloadSpec
from xnode.runtime.host.reservations import Reserved

KILLED = 137
"""Exit status of a process ended by SIGKILL."""

CONMON_TIMED_OUT = -1
"""What conmon writes when its own clock ended the workload."""

UNKNOWN = b"unknown"
"""What we write into the exit file when no process is left that could."""

TIMEOUT_SLACK_NS = 50_000_000
"""Our own clock may end it this much before the limit as its files count."""


class LeaseRecord(msgspec.Struct, frozen=True):
    """What start() decided. uid_base: first host user id of its user namespace; network: has a namespace of its own, and
    network_bytes what may pass each way; stop_signal: what asks it to end, stop_grace_ns: how long before it is killed;
    cpus: the host's CPUs that it has for itself, where it has any."""

    lease_id: str
    boot_id: str
    image: str
    vcpu_milli: int
    disk_bytes: int
    duration_limit_ns: int
    uid_base: int
    gpus: tuple[str, ...]
    network: bool
    network_bytes: int | None = None
    stop_signal: int = signal.SIGTERM.value
    stop_grace_ns: int = DEFAULT_GRACE_NS
    cpus: tuple[int, ...] = ()


class StopNote(msgspec.Struct, frozen=True):
    """asked_at_ns: when the workload was asked to end; at_limit: its counters then, when it had reached its limit."""

    asked_at_ns: int
    at_limit: Counters | None = None


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
    def hosts(self) -> Path:
        return self.path / "hosts"

    @property
    def resolver(self) -> Path:
        return self.path / "resolv.conf"

    def write_names(self, hosts: str, resolv_conf: str) -> None:
        """The container's own files for looking up names, readable for whatever user it is."""
        for path, text in ((self.hosts, hosts), (self.resolver, resolv_conf)):
            with naming(path):
                path.write_text(text)
            path.chmod(0o644)

    def write_attach_script(self, script: str) -> None:
        """What the runtime shim does for the network."""
        with naming(self.path / "network"):
            (self.path / "network").write_text(script)

    def write_owner(self, uid_base: int | None) -> None:
        """Have the runtime shim give the disk's folders to the user that the image names; None: it is known already."""
        (self.path / "owner").unlink(missing_ok=True)
        if uid_base is not None:
            with naming(self.path / "owner"):
                (self.path / "owner").write_text(str(uid_base))

    def read_stop(self) -> StopNote | None:
        """None when nobody has asked the workload to end."""
        text = read_bytes_if_there(self.path / "stop.json")
        return msgspec.json.decode(text, type=StopNote) if text else None

    def write_stop(self, note: StopNote) -> StopNote:
        """The first note stays: the grace does not begin anew when it is asked again. Gives the one that stands."""
        fresh = self.path / f"stop.{os.getpid()}"
        with naming(fresh):
            fresh.write_bytes(msgspec.json.encode(note))
        with contextlib.suppress(FileExistsError):
            os.link(fresh, self.path / "stop.json")
        fresh.unlink()
        return self.read_stop() or note

    def write_record(self, record: LeaseRecord) -> None:
        """Make the folder and note durably that the lease has something here, before it has."""
        self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        replace_file(self.path / "record.json", msgspec.json.encode(record))

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
        with naming(fresh):
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


def make_record(spec: WorkloadSpec, boot_id: str, image_id: str, reserved: Reserved, stop_signal: int) -> LeaseRecord:
    """The record of a workload about to be started."""
    return LeaseRecord(
        lease_id=spec.lease_id.hex(),
        boot_id=boot_id,
        image=image_id,
        vcpu_milli=spec.resources.vcpu_milli,
        # What the submitter pays for is all that the lease takes here: what it brings is part of it.
        disk_bytes=max(0, spec.resources.disk_bytes - spec.input_bytes),
        duration_limit_ns=spec.duration_limit_ns,
        uid_base=reserved.uid_base,
        gpus=reserved.gpus,
        network=spec.network,
        network_bytes=spec.network_bytes if spec.network else None,
        stop_signal=stop_signal,
        stop_grace_ns=spec.stop_grace_ns,
        cpus=reserved.cpus,
    )


def make_ending(text: bytes, at_ns: int) -> Ending:
    """The ending that an exit file's text means."""
    if text == UNKNOWN:
        return Ending(at_ns, None)
    by_conmon = int(text) == CONMON_TIMED_OUT
    return Ending(at_ns, KILLED if by_conmon else int(text), by_conmon)


def is_timed_out(record: LeaseRecord, started_ns: int | None, ending: Ending, stop: StopNote | None) -> bool:
    """True when it was asked to end, or killed, for reaching its wall-clock limit."""
    if stop is not None and stop.at_limit is not None:
        return True
    if started_ns is None or ending.exit_code != KILLED:
        return False
    if ending.by_conmon:
        return True
    return ending.finished_at_ns - started_ns + TIMEOUT_SLACK_NS >= record.duration_limit_ns


def conmon_limit_s(duration_limit_ns: int, stop_grace_ns: int) -> int:
    """The wall-clock limit given to conmon, which counts whole seconds from before the start: it must never be early.
    What a workload runs beyond its limit, because no daemon was there to end it in time, is not billed."""
    return -(-(duration_limit_ns + stop_grace_ns) // 1_000_000_000) + 1


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
