"""Lockdown: the podman arguments of one workload. Whatever is not given here a workload does not have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xnode.ports.runtime import WorkloadSpec
from xnode.runtime.conmon.lease_folder import LeaseFolder, LeaseRecord, conmon_limit_s
from xnode.runtime.host.cgroup import CPU_PERIOD_US, quota_us_of
from xnode.runtime.host.reservations import UID_RANGE
from xnode.runtime.lease.environment import HOME, HOST_NAME, USER_NAME, make_environment
from xnode.runtime.lease.spec import PIDS_LIMIT, WORKLOAD_UID
from xnode.runtime.lease.stored_image import StoredImage


@dataclass(frozen=True, slots=True)
class Walls:
    """What is alike for all workloads of one engine. hidden: paths of the host's that no workload may read."""

    namespace: str
    seccomp: Path
    hidden: tuple[str, ...]


def make_run_args(
    spec: WorkloadSpec, image: StoredImage, record: LeaseRecord, folder: LeaseFolder, walls: Walls
) -> tuple[str, ...]:
    """The arguments of `podman run` for a workload whose folder, disk, cgroup and network are ready."""
    return (
        "run",
        "--detach",
        *_identity(spec, folder, walls.namespace),
        *_user(image),
        *_walls(record, walls),
        *_limits(spec, record),
        *_mounts(spec, folder),
        *(() if image.workdir else ("--workdir=/work/out",)),
        *(word for device in record.gpus for word in ("--device", device)),
        *(word for name, value in make_environment(spec, image.env) for word in ("--env", f"{name}={value}")),
        *(("--entrypoint", "") if spec.command else ()),
        record.image,
        *spec.command,
        *spec.args,
    )


def container_name(lease_hex: str) -> str:
    """The container's name: half of the lease id is unique enough, and a host name's length."""
    return f"xnode-{lease_hex[:32]}"


def _identity(spec: WorkloadSpec, folder: LeaseFolder, namespace: str) -> tuple[str, ...]:
    lease_hex = spec.lease_id.hex()
    return (
        f"--name={container_name(lease_hex)}",
        f"--label=xnode.lease={lease_hex}",
        f"--label=xnode.node={namespace}",
        f"--cidfile={folder.path / 'cid'}",
        f"--pidfile={folder.path / 'pid'}",
        f"--conmon-pidfile={folder.path / 'conmon.pid'}",
        "--log-driver=k8s-file",
        f"--log-opt=path={folder.log}",
        f"--cgroup-parent=/xnode/{namespace}/{lease_hex}",
        "--cgroups=no-conmon",  # conmon's time is ours, not the submitter's
        "--pull=never",
        f"--hostname={HOST_NAME}",
        "--sdnotify=ignore",
        "--no-healthcheck",
    )


def _user(image: StoredImage) -> tuple[str, ...]:
    """The image's own user; never root, not even of its own namespace: with no powers at all, root is a user that most
    programs do not expect (tar and its kin fail at giving files away), and one wall less."""
    return (
        *((f"--user={WORKLOAD_UID}:{WORKLOAD_UID}",) if image.is_root else ()),
        f"--passwd-entry={USER_NAME}:x:$UID:$GID:{USER_NAME}:{HOME}:/bin/sh",
    )


def _walls(record: LeaseRecord, walls: Walls) -> tuple[str, ...]:
    return (
        f"--uidmap=0:{record.uid_base}:{UID_RANGE}",
        f"--gidmap=0:{record.uid_base}:{UID_RANGE}",
        "--read-only",
        "--read-only-tmpfs=false",
        "--image-volume=ignore",  # a VOLUME of the image would be host disk outside the lease
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--security-opt=seccomp={walls.seccomp}",
        f"--security-opt=mask={':'.join(path for path in walls.hidden if ':' not in path)}",
        # Addresses of buses have the colon that separates the others.
        *(
            f"--mount=type=tmpfs,destination={path},tmpfs-size=4k,notmpcopyup,ro=true"
            for path in walls.hidden
            if ":" in path
        ),
        "--network=none",  # what a workload may reach is attached to its own namespace before it starts
        "--no-hosts",
        f"--sysctl=net.ipv4.ping_group_range=0 {UID_RANGE - 1}",  # of its own namespace: ping is no privilege there
        "--http-proxy=false",
        "--ipc=private",
        "--pid=private",
        "--uts=private",
        "--cgroupns=private",  # else /proc/self/cgroup names the lease and this daemon
    )


def _limits(spec: WorkloadSpec, record: LeaseRecord) -> tuple[str, ...]:
    """On the container's own cgroup, where programs look for them; those of the lease stand above it as well."""
    memory = spec.resources.memory_bytes
    return (
        f"--cpu-period={CPU_PERIOD_US}",
        f"--cpu-quota={quota_us_of(spec.resources.vcpu_milli)}",
        *((f"--cpuset-cpus={','.join(map(str, record.cpus))}",) if record.cpus else ()),
        f"--memory={memory}b",
        f"--memory-swap={memory}b",
        f"--pids-limit={PIDS_LIMIT}",
        f"--shm-size={spec.shm_bytes or memory // 2}b",
        f"--timeout={conmon_limit_s(spec.duration_limit_ns, spec.stop_grace_ns)}",
    )


def _mounts(spec: WorkloadSpec, folder: LeaseFolder) -> tuple[str, ...]:
    tmp = spec.tmp_bytes or spec.resources.memory_bytes // 2
    return (
        f"--tmpfs=/tmp:rw,size={tmp},mode=1777,nosuid,nodev,exec,notmpcopyup",
        *_bind(folder.out, "/work/out"),
        *_bind(folder.disk / "home", HOME),
        *_bind(folder.disk / "tmp", "/var/tmp"),
        *_bind(folder.inputs, "/work/in", read_only=True),
        *_bind(folder.hosts, "/etc/hosts", read_only=True),
        *_bind(folder.resolver, "/etc/resolv.conf", read_only=True),
    )


def _bind(source: Path, inside: str, read_only: bool = False) -> tuple[str, ...]:
    only = ",ro=true" if read_only else ""
    return (f"--mount=type=bind,source={source},destination={inside}{only},bind-propagation=rprivate",)
