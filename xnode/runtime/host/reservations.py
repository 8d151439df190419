"""Reservations: what several daemons of one host must not take twice (user id ranges, GPUs, CPUs), one symlink each.

A reservation points to the lease folder that holds it; when that folder is gone the reservation is void. They live where a reboot
clears them, because nothing that they are for survives one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xnode.errors import Permanent, Retryable
from xnode.private_lock import hold_private_lock, own_folder
from xnode.runtime.host.preparation import RUN_DIR

UID_FIRST, UID_RANGE, UID_RANGES = 0x7000_0000, 65_536, 4_000
"""Host user ids for user namespaces: above those that systemd gives to containers, below 2**31. More than 4,000
workloads on one host run out of other things first."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """What one lease has for itself. uid_base: first of its range of user ids; gpus: their CDI names; cpus: the host's
    CPUs that no other lease is kept to, none when it runs on any."""

    uid_base: int
    gpus: tuple[str, ...] = ()
    cpus: tuple[int, ...] = ()


def reserve_uids(holder: Path, run_dir: Path = RUN_DIR) -> int:
    """The first user id of a range of 65,536 that is `holder`'s alone."""
    names = (f"uid-{number}" for number in range(UID_RANGES))
    (name,) = _claim(names, holder, 1, "user id ranges", run_dir)
    return UID_FIRST + int(name.removeprefix("uid-")) * UID_RANGE


def reserve_devices(devices: tuple[str, ...], count: int, holder: Path, run_dir: Path = RUN_DIR) -> tuple[str, ...]:
    """`count` of the devices ("nvidia.com/gpu=0"), held by `holder` alone. Retryable when too few are free."""
    if count > len(devices):
        raise Permanent(f"{count} GPUs asked for, this node has {len(devices)}")
    safe = {"device-" + device.replace("/", "_"): device for device in devices}
    return tuple(safe[name] for name in _claim(safe, holder, count, "GPUs", run_dir))


def reserve_cpus(cpus: Iterable[int], count: int, holder: Path, run_dir: Path = RUN_DIR) -> tuple[int, ...]:
    """`count` of these CPUs of the host for `holder` alone; none when too few are free, which is no fault."""
    names = {f"cpu-{number}": number for number in sorted(cpus)}
    try:
        return tuple(names[name] for name in _claim(names, holder, count, "CPUs", run_dir))
    except Retryable:
        return ()


def release_reservations(holder: Path, run_dir: Path = RUN_DIR) -> None:
    """Void every reservation of `holder`."""
    for reservation in _list_reservations(run_dir):
        if _holder_of(reservation) == str(holder):
            reservation.unlink(missing_ok=True)


def _claim(names: Iterable[str], holder: Path, count: int, what: str, run_dir: Path) -> tuple[str, ...]:
    folder = run_dir / "claims"
    own_folder(folder)
    taken: list[str] = []
    with hold_private_lock(folder / ".lock"):
        for name in names:
            if len(taken) == count:
                break
            if _take(folder / name, holder):
                taken.append(name)
    if len(taken) < count:
        for name in taken:
            (folder / name).unlink()
        raise Retryable(f"only {len(taken)} of {count} {what} are free on this host")
    return tuple(taken)


def _take(reservation: Path, holder: Path) -> bool:
    current = _holder_of(reservation)
    if current == str(holder):
        return True
    if current and Path(current).exists():
        return False
    reservation.unlink(missing_ok=True)
    reservation.symlink_to(holder)
    return True


def _holder_of(reservation: Path) -> str:
    try:
        return str(reservation.readlink())
    except FileNotFoundError:
        return ""


def _list_reservations(run_dir: Path) -> list[Path]:
    folder = run_dir / "claims"
    return [path for path in folder.iterdir() if path.is_symlink()] if folder.exists() else []
