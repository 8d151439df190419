"""Lockdown: the podman arguments of one workload. Whatever is not given here a workload does not have."""

from __future__ import annotations

from pathlib import Path

from xnode.ports.runtime import WorkloadSpec
from xnode.runtime.conmon.lease_folder import LeaseFolder, LeaseRecord, conmon_limit_s
from xnode.runtime.host.reservations import UID_RANGE
from xnode.runtime.lease.spec import PIDS_LIMIT, WORKLOAD_UID

TMP_LIMIT_BYTES = 64 << 20
"""/tmp is memory of the lease; big scratch files belong on /work/out."""

SHM_LIMIT_BYTES = 64 << 20
"""What container engines give by default; also memory of the lease."""


def make_run_args(
    spec: WorkloadSpec, record: LeaseRecord, folder: LeaseFolder, namespace: str, seccomp: Path
) -> tuple[str, ...]:
    """The arguments of `podman run` for a workload whose folder, disk, cgroup and network are ready."""
    return (
        "run",
        "--detach",
        *_identity(spec, folder, namespace),
        *_walls(record, seccomp),
        *_limits(spec),
        *_mounts(spec, folder),
        *(_resolver(folder) if record.network else ()),
        *(word for device in record.gpus for word in ("--device", device)),
        *(word for name, value in spec.env for word in ("--env", f"{name}={value}")),
        *(("--entrypoint", "") if spec.command else ()),
        record.image,
        *spec.command,
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
        "--hostname=workload",
        "--sdnotify=ignore",
        "--no-healthcheck",
    )


def _walls(record: LeaseRecord, seccomp: Path) -> tuple[str, ...]:
    return (
        f"--user={WORKLOAD_UID}:{WORKLOAD_UID}",
        "--passwd=false",
        f"--uidmap=0:{record.uid_base}:{UID_RANGE}",
        f"--gidmap=0:{record.uid_base}:{UID_RANGE}",
        "--read-only",
        "--read-only-tmpfs=false",
        "--image-volume=ignore",  # a VOLUME of the image would be host disk outside the lease
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--security-opt=seccomp={seccomp}",
        "--network=none",  # what a workload may reach is attached to its own namespace before it starts
        "--no-hosts",
        "--http-proxy=false",
        "--ipc=private",
        "--pid=private",
        "--uts=private",
    )


def _limits(spec: WorkloadSpec) -> tuple[str, ...]:
    memory = spec.resources.memory_bytes
    return (
        f"--memory={memory}b",
        f"--memory-swap={memory}b",
        f"--pids-limit={PIDS_LIMIT}",
        f"--shm-size={min(SHM_LIMIT_BYTES, memory // 2)}b",
        f"--timeout={conmon_limit_s(spec.duration_limit_ns)}",
    )


def _resolver(folder: LeaseFolder) -> tuple[str, ...]:
    return (f"--mount=type=bind,source={folder.resolver},destination=/etc/resolv.conf,ro=true",)


def _mounts(spec: WorkloadSpec, folder: LeaseFolder) -> tuple[str, ...]:
    tmp = min(TMP_LIMIT_BYTES, spec.resources.memory_bytes // 2)
    return (
        f"--tmpfs=/tmp:rw,size={tmp},mode=1777,nosuid,nodev,exec,notmpcopyup",
        f"--mount=type=bind,source={folder.out},destination=/work/out,bind-propagation=rprivate",
        f"--mount=type=bind,source={folder.inputs},destination=/work/in,ro=true,bind-propagation=rprivate",
        "--env=HOME=/work/out",
    )
