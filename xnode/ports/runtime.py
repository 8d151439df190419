"""Runtime: workloads in containers, and the images they run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from metering.resources import Resources
from metering.units import Hash32
from metering.usage import Counters
from scheduler.job import DEFAULT_GRACE_NS, Image
from scheduler.outputs import Inventory

WorkloadStatus = Literal["absent", "created", "running", "exited"]


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """One container: inputs are host paths mounted read-only at /work/in/<path>; /work/out is its only writable disk.

    Fields named as in scheduler.job.Job mean what they mean there; executable, packed: paths of the inputs that are programs,
    and of those that are packs of many files; input_bytes: what the inputs take of the disk.
    """

    lease_id: Hash32
    image: Image
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, Path], ...]
    resources: Resources
    network: bool
    duration_limit_ns: int
    args: tuple[str, ...] = ()
    executable: frozenset[str] = frozenset()
    network_bytes: int = 0
    shm_bytes: int = 0
    tmp_bytes: int = 0
    stop_signal: str = ""
    stop_grace_ns: int = DEFAULT_GRACE_NS
    packed: frozenset[str] = frozenset()
    input_bytes: int = 0


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """What the engine knows of a lease's workload. Times are nanoseconds UTC, None until they have happened.

    network_spent: it tried to move more over the network than was agreed, and what was more was dropped; fault: why its
    program could not be run at all, "" when it was.
    """

    status: WorkloadStatus
    started_at_ns: int | None = None
    finished_at_ns: int | None = None
    exit_code: int | None = None
    out_of_memory: bool = False
    timed_out: bool = False
    network_spent: bool = False
    fault: str = ""
    gpu_lost: str = ""
    """Which of its GPUs does not work any more, and why; "" when all do."""


@dataclass(frozen=True, slots=True)
class GpuLook:
    """How the GPUs that a node lends are. available: how many can be lent; lost: those that do not work any more, by the
    engine's name of each, with the reason; faults: what of this host is not lent, and why."""

    available: int
    lost: Mapping[str, str]
    faults: tuple[str, ...] = ()


class Engine(Protocol):
    """Runs workloads in containers that outlive this process. Every method is safe to call twice.

    All raise Retryable or Permanent; an error is never "absent".
    """

    async def check(self) -> str:
        """The engine's name and version, or Permanent with what to install or fix."""
        ...

    async def has_image(self, image: Image) -> bool: ...

    async def import_image(self, image: Image, layout: Path) -> None:
        """Take an image from an OCI layout directory; Permanent when its digest differs or a blob is missing or wrong."""
        ...

    async def pull_image(self, image: Image) -> None:
        """Take an image from the registry its reference names, pinned by digest."""
        ...

    async def start(self, spec: WorkloadSpec) -> WorkloadState:
        """Create and start; when the lease's workload exists already in any state, only say how it is."""
        ...

    async def inspect(self, lease_id: Hash32) -> WorkloadState: ...

    async def wait(self, lease_id: Hash32) -> WorkloadState:
        """Returns when the workload has exited (or is absent)."""
        ...

    async def stop(self, lease_id: Hash32) -> WorkloadState:
        """Kill every process of it; returns when none is left. The counters stay readable until remove()."""
        ...

    async def read_counters(self, lease_id: Hash32) -> Counters:
        """Usage since the start; still exact after the exit, until remove()."""
        ...

    def is_over(self, lease_id: Hash32) -> bool:
        """True when the counters that were read last are those of a workload that had ended: no later ones will say more."""
        ...

    def read_logs(self, lease_id: Hash32, offset: int, follow: bool) -> AsyncGenerator[tuple[int, bytes], None]:
        """(offset after this piece, piece) of the merged stdout and stderr from a byte offset on; ends at the exit.

        Close it (contextlib.aclosing) when you stop in the middle: it holds the file open.
        """
        ...

    async def keep_log(self, lease_id: Hash32, into: Path) -> None:
        """Copy the raw log to a file from which read_kept_log() reads on at the same offsets, after remove() too."""
        ...

    def read_kept_log(self, kept: Path, offset: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """As read_logs() of a workload that has exited, from a kept file."""
        ...

    async def collect_outputs(self, lease_id: Hash32, into: Path) -> Inventory:
        """Take what the rules of scheduler.outputs allow of /work/out: files into the blob folder `into`, as
        into/<sha256 hex>."""
        ...

    async def remove(self, lease_id: Hash32) -> None:
        """Take away container, cgroup, disk and log. Only for a workload that has exited."""
        ...

    async def list_leases(self) -> tuple[Hash32, ...]:
        """Every lease of which anything is left on this host."""
        ...


@dataclass(frozen=True, slots=True)
class HeldImage:
    """An image that an engine holds."""

    digest: str
    size_bytes: int
    used_at_ns: int


class ImageShelf(Protocol):
    """What an engine holds on the disk beside its workloads' folders. All raise Retryable or Permanent."""

    async def list_images(self) -> tuple[HeldImage, ...]: ...

    async def remove_image(self, digest: str) -> None:
        """Take an image away; Permanent while a workload is made of it."""
        ...

    async def read_leased_bytes(self) -> int:
        """What the disks of its leases take."""
        ...


class ImageStore(Protocol):
    """Puts an image's blobs together as an OCI layout folder."""

    def open_layout(self, image: Image) -> AbstractAsyncContextManager[Path]:
        """The folder, as long as you are inside."""
        ...
