"""Fitness: whether a host can serve what its operator offers, judged from what was found of it. Pure: see facts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from xnode.distribution import PACKAGES, install_command
from xnode.runtime.host.facts import CAP_SYS_ADMIN, CAP_SYS_RESOURCE, HostFacts
from xnode.runtime.host.reservations import UID_FIRST, UID_RANGE, UID_RANGES

Verdict = Literal["ok", "warn", "fail"]

GIB = 1 << 30

LEASES_PER_VCPU = 4
"""So many may run at a time, for limits that count leases: most jobs ask for a quarter of a vCPU or more."""

BASE_FILES, FILES_PER_LEASE = 512, 16
"""Descriptors of the daemon: connections to peers, and a lease's counters, logs and streams."""

INOTIFY_PER_LEASE, INOTIFY_OTHERS = 2, 16
"""conmon's, and our own while somebody follows the log; and those of the host's other services."""

CONFIG = "in config.toml"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. hint: what to do about it, "" when it is well."""

    verdict: Verdict
    what: str
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a provider's settings ask of its host. files, processes: the limits that the engine sets within each workload."""

    vcpus: float
    memory_bytes: int
    disk_bytes: int
    gpus: int
    runtime: str
    network: bool
    files: int
    processes: int

    @property
    def leases(self) -> int:
        """How many may run at a time."""
        return math.ceil(self.vcpus * LEASES_PER_VCPU)


def judge_host(facts: HostFacts, wanted: Wanted) -> Iterator[Finding]:
    """Everything that keeps this host from serving what is offered, and a line for each thing that is well."""
    yield from judge_rights(facts)
    yield from judge_programs(facts, wanted.runtime, wanted.network)
    yield from judge_cgroups(facts)
    yield from _judge_kernel(facts, wanted)
    yield from _judge_share(facts, wanted)
    yield from _judge_disk(facts, wanted)
    yield from _judge_limits(facts, wanted)
    yield from _judge_gpus(facts, wanted)
    yield from _judge_clock(facts)


def judge_rights(facts: HostFacts) -> Iterator[Finding]:
    """Whether this user may do what a provider does."""
    if facts.uid:
        hint = "run the provider as root: containers get cgroups and disks of their own"
        yield Finding("fail", "user", f"user {facts.uid} is not root", hint)
    elif not facts.has_capability(CAP_SYS_ADMIN):
        hint = "run it on the host itself, or in a container with --privileged"
        yield Finding("fail", "user", "root without CAP_SYS_ADMIN: nothing can be mounted", hint)
    else:
        yield Finding("ok", "user", "root")


def judge_programs(facts: HostFacts, runtime: str, network: bool) -> Iterator[Finding]:
    """Whether the programs that the engine runs are there and work."""
    for program in ("podman", "conmon", "mkfs.ext4", "mount", "umount", *(("ip", "nft") if network else ())):
        if not facts.programs.get(program):
            needs = ", which provider.allow_network needs" if program in ("ip", "nft") else ""
            yield Finding(
                "fail",
                "programs",
                f"{program} is not installed{needs}",
                install_command(program, manager=facts.manager),
            )
    if facts.programs.get("podman"):
        yield _judge_podman(facts)
    if not facts.runtime:
        get_it = _how_to_get(runtime, facts)
        hint = f"{get_it}, or set oci_runtime {CONFIG} to one that is: {', '.join(facts.runtimes) or 'crun, runc'}"
        yield Finding("fail", "runtime", f"{runtime}, the oci_runtime, is not installed", hint)
    elif facts.runtime_fault:
        yield Finding("fail", "runtime", f"{facts.runtime} does not work: {facts.runtime_fault}", "install it anew")
    elif facts.runtime != runtime:
        hint = f"{_how_to_get(runtime, facts)}, or set oci_runtime {CONFIG} to {facts.runtime}"
        yield Finding("warn", "runtime", f"{runtime} is not installed, and {facts.runtime} is used", hint)
    else:
        yield Finding("ok", "runtime", facts.runtime_version or facts.runtime)


def _how_to_get(runtime: str, facts: HostFacts) -> str:
    return install_command(runtime, manager=facts.manager) if runtime in PACKAGES else f"install {runtime}"


def _judge_podman(facts: HostFacts) -> Finding:
    major = facts.podman_version.partition(".")[0]
    if not major.isdecimal():
        return Finding("fail", "podman", f"does not run: {facts.podman_version}", "run `podman info`")
    if int(major) < 4:
        return Finding("fail", "podman", f"{facts.podman_version} is too old", "install podman 4 or newer")
    return Finding("ok", "podman", facts.podman_version)


def judge_cgroups(facts: HostFacts) -> Iterator[Finding]:
    """Whether limits can be set and usage can be read."""
    if not facts.cgroup_version:
        yield Finding("fail", "cgroup", "none is mounted", "mount cgroup2 at /sys/fs/cgroup")
        return
    version = f"version {facts.cgroup_version}"
    if facts.cgroup_missing:
        remedy = "delegate the controllers" if facts.cgroup_version == 2 else "mount them, or boot with cgroup v2"
        yield Finding("fail", "cgroup", f"{version} without {', '.join(facts.cgroup_missing)}", remedy)
    elif facts.cgroup_read_only:
        hint = "run it on the host itself, or with the cgroups writable"
        yield Finding("fail", "cgroup", f"{version}, mounted read-only at {facts.cgroup_read_only}", hint)
    elif facts.cgroup_unmounted:
        names = ", ".join(facts.cgroup_unmounted)
        yield Finding("ok", "cgroup", f"{version}; the daemon mounts {names} for its workloads")
    else:
        yield Finding("ok", "cgroup", version)


def _judge_kernel(facts: HostFacts, wanted: Wanted) -> Iterator[Finding]:
    missing = [name for name in ("overlay", "ext4") if name not in facts.file_systems]
    # Both come as modules, too, which are loaded when they are first used: only a kernel without modules lacks them now.
    if missing and not facts.has_modules:
        yield Finding("fail", "kernel", f"no {' and no '.join(missing)} file system", "boot a kernel that has them")
    if not facts.has_loop:
        yield Finding("fail", "kernel", "no /dev/loop-control: a lease's disk cannot be mounted", "modprobe loop")
    if facts.user_namespaces < wanted.leases:
        detail = f"user.max_user_namespaces is {facts.user_namespaces}, {wanted.leases} leases need one each"
        yield Finding("fail", "kernel", detail, f"sysctl -w user.max_user_namespaces={max(wanted.leases * 2, 1024)}")
    if facts.uids < UID_FIRST + UID_RANGES * UID_RANGE:
        detail = f"only user ids below {facts.uids} are ours: workloads get ids of their own from {UID_FIRST} on"
        yield Finding("fail", "kernel", detail, "run the provider outside of a user namespace")


def _judge_share(facts: HostFacts, wanted: Wanted) -> Iterator[Finding]:
    """What the kernel, not an operator's wish, says there is."""
    if wanted.vcpus > facts.cpus:
        detail = f"share.vcpus is {wanted.vcpus:g}, this host has {facts.cpus:g}"
        yield Finding("fail", "share", detail, f"set share.vcpus to at most {facts.cpus:g} {CONFIG}")
    free = facts.memory_bytes - facts.gpus.shared_bytes
    if wanted.memory_bytes > free:
        beside = ", beside the GPUs' part of it" if facts.gpus.shared_bytes else ""
        detail = f"share.memory is {_size(wanted.memory_bytes)}, this host has {_size(free)}{beside}"
        yield Finding("fail", "share", detail, f"set share.memory to at most {_size(free * 3 // 4, '')} {CONFIG}")
    if wanted.vcpus <= facts.cpus and wanted.memory_bytes <= free:
        detail = f"{wanted.vcpus:g} of {facts.cpus:g} vCPU, {_size(wanted.memory_bytes)} of {_size(free)} memory"
        yield Finding("ok", "share", detail)


def _judge_disk(facts: HostFacts, wanted: Wanted) -> Iterator[Finding]:
    disk = facts.disk
    room = disk.free_bytes + disk.held_bytes
    if wanted.disk_bytes > room:
        there = f"has {_size(room)} for leases, of {_size(disk.total_bytes)} in all"
        detail = f"share.disk is {_size(wanted.disk_bytes)}, the disk at {disk.path} {there}"
        hint = f"set share.disk to at most {_size(room // 2, '')} {CONFIG}, or data_dir to a larger disk"
        yield Finding("fail", "share", detail, hint)
    if disk.kind == "overlay":
        hint = "set data_dir to a disk of its own, or mount one there"
        yield Finding("fail", "disk", f"{disk.path} lies in a container's own layers, where no image can be kept", hint)
    elif disk.kind in ("tmpfs", "ramfs"):
        yield Finding("warn", "disk", f"{disk.path} lies in memory: a restart of the host loses all", "set data_dir")


def _judge_limits(facts: HostFacts, wanted: Wanted) -> Iterator[Finding]:
    needed = {"nofile": BASE_FILES + FILES_PER_LEASE * wanted.leases, "nproc": 0}
    if not facts.has_capability(CAP_SYS_RESOURCE):
        # Then no workload can be given more than we have ourselves, and its start fails.
        needed = {"nofile": max(needed["nofile"], wanted.files), "nproc": wanted.processes}
    found = {"nofile": facts.max_files, "nproc": facts.max_processes}
    options = {"nofile": ("-n", "LimitNOFILE"), "nproc": ("-u", "LimitNPROC")}
    for name, least in needed.items():
        if found[name] < least:
            option, unit = options[name]
            detail = f"{name} is limited to {found[name]}, {least} are needed: every launch would fail"
            yield Finding("fail", "limits", detail, f"ulimit -H{option[1:]} {least}, or {unit}={least} in the unit")
    inotify = INOTIFY_OTHERS + INOTIFY_PER_LEASE * wanted.leases
    if facts.inotify_instances < inotify:
        detail = (
            f"fs.inotify.max_user_instances is {facts.inotify_instances}, {wanted.leases} leases may need {inotify}"
        )
        yield Finding("warn", "limits", detail, f"sysctl -w fs.inotify.max_user_instances={inotify}")


def _judge_gpus(facts: HostFacts, wanted: Wanted) -> Iterator[Finding]:
    """What cannot be lent, with the reason; and fewer than are offered."""
    survey = facts.gpus
    for fault in survey.faults:
        what, _, remedy = fault.partition("; ")
        # What a person has decided so, or is so by its making, is no fault while enough others are there.
        verdict: Verdict = "warn" if remedy or len(survey.gpus) < wanted.gpus else "ok"
        yield Finding(verdict, "gpus", what if verdict == "warn" else f"not lent: {what}", remedy)
    if len(survey.gpus) < wanted.gpus:
        found = f"share.gpus is {wanted.gpus}, {len(survey.gpus)} can be lent"
        remedy = "bring the others back, or " if survey.faults else ""
        yield Finding("fail", "gpus", found, f"{remedy}set share.gpus to {len(survey.gpus)} {CONFIG}")
    elif survey.gpus:
        lent = f"{wanted.gpus} of {len(survey.gpus)} × {survey.gpus[0].model}"
        yield Finding("ok", "gpus", lent)


def _judge_clock(facts: HostFacts) -> Iterator[Finding]:
    if facts.is_clock_synchronized is False:
        yield Finding(
            "warn", "clock", "nothing keeps it right", "turn on time synchronization: timedatectl set-ntp true"
        )


def _size(size_bytes: int, space: str = " ") -> str:
    """As a person would write it, rounded down to what is surely there."""
    units = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20))
    for name, unit in units:
        if size_bytes >= unit:
            tenths = size_bytes * 10 // unit
            whole, rest = divmod(tenths, 10)
            # Sizes without a space go into config.toml, which takes whole numbers.
            return f"{whole}{space}{name}" if not rest or not space else f"{whole}.{rest}{space}{name}"
    return f"{max(0, size_bytes)}{space}B"
