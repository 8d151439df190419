"""Containers: a model of one host's container engine. Workloads go on while the node is down."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from metering.eip712 import keccak
from metering.units import NANOS_PER_SECOND, Hash32
from metering.usage import Counters
from scheduler.job import Blob, Image
from scheduler.outputs import Entry, FileEntry, Inventory, LeftOut
from tests.sim.clockwork import Clockwork, Future
from tests.sim.hostclock import HostClock
from xnode.errors import Permanent
from xnode.ports.runtime import WorkloadSpec, WorkloadState

START_NS = 150_000_000
STOP_NS = 50_000_000
MEMORY_HIT_EXIT_CODE = 137


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a workload does. load_milli: of its leased vCPU; egress_per_second: bytes; memory_hit_ns, vanish_ns: after so
    long (0: never)."""

    run_ns: int = 25 * NANOS_PER_SECOND
    exit_code: int = 0
    load_milli: int = 800
    egress_per_second: int = 0
    memory_hit_ns: int = 0
    vanish_ns: int = 0
    outputs: tuple[Entry, ...] = (FileEntry(b"result.txt", Blob(Hash32(keccak(b"result")), 100)),)
    left_out: tuple[LeftOut, ...] = ()
    pull_ns: int = NANOS_PER_SECOND
    image_is_missing: bool = False
    start_fails: bool = False
    stop_ns: int = STOP_NS


@dataclass(slots=True)
class Workload:
    """One container. began_ns, ended_ns: in the world's time; started_at_ns, finished_at_ns: as its host's clock showed.
    stood_still_ns: how long its host was suspended meanwhile."""

    spec: WorkloadSpec
    behaviour: Behaviour
    began_ns: int
    started_at_ns: int
    stood_still_ns: int = 0
    ended_ns: int | None = None
    finished_at_ns: int | None = None
    exit_code: int | None = None
    out_of_memory: bool = False
    timed_out: bool = False
    ended: Future[None] = field(default_factory=Future)


@dataclass(slots=True)
class Containers:
    """xnode.ports.Engine. on_start: called so that a test can check that a lease runs once, and in one place.
    clock: the host's, where it has one of its own."""

    clockwork: Clockwork
    find_behaviour: Callable[[WorkloadSpec | Image], Behaviour]
    on_start: Callable[[Hash32], None]
    workloads: dict[Hash32, Workload] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    running: set[Hash32] = field(default_factory=set)
    gone: dict[Hash32, Counters] = field(default_factory=dict)
    clock: HostClock | None = None

    async def has_image(self, image: Image) -> bool:
        return image.digest in self.images

    async def pull_image(self, image: Image) -> None:
        await self.clockwork.sleep(self.find_behaviour(image).pull_ns)
        if self.find_behaviour(image).image_is_missing:
            raise Permanent(f"registry has no {image.digest[:20]}; check the reference", code="image_missing")
        self.images.add(image.digest)

    async def start(self, spec: WorkloadSpec) -> WorkloadState:
        await self.clockwork.sleep(START_NS)
        behaviour = self.find_behaviour(spec)
        if behaviour.start_fails:
            raise Permanent("the runtime knows no such command", code="launch")
        if spec.lease_id not in self.workloads:
            self.on_start(spec.lease_id)
            workload = Workload(spec, behaviour, self.clockwork.now_ns, self._read_clock())
            self.workloads[spec.lease_id] = workload
            self.running.add(spec.lease_id)
            self._plan_end(workload)
        return self.look(spec.lease_id)

    def _plan_end(self, workload: Workload) -> None:
        behaviour, limit_ns = workload.behaviour, workload.spec.duration_limit_ns
        ends = [(behaviour.run_ns, lambda: self._end(workload, behaviour.exit_code)),
                (limit_ns, lambda: self._end(workload, None, timed_out=True))]  # fmt: skip
        if behaviour.memory_hit_ns:
            hit = lambda: self._end(workload, MEMORY_HIT_EXIT_CODE, out_of_memory=True)  # noqa: E731
            ends.append((behaviour.memory_hit_ns, hit))
        if behaviour.vanish_ns:
            ends.append((behaviour.vanish_ns, lambda: self._vanish(workload)))
        for after_ns, end in ends:
            self._plan(workload, after_ns, end)

    def _plan(self, workload: Workload, after_ns: int, end: Callable[[], None]) -> None:
        """End it after so much time in which its host was awake."""

        def end_or_wait() -> None:
            if self.clockwork.now_ns < workload.began_ns + after_ns + workload.stood_still_ns:
                self._plan(workload, after_ns, end)
            else:
                end()

        self.clockwork.at(workload.began_ns + after_ns + workload.stood_still_ns, end_or_wait)

    def stand_still(self, duration_ns: int) -> None:
        """The host is suspended for so long from now on: nothing that runs on it gets on."""
        for workload in self.workloads.values():
            if workload.ended_ns is None:
                workload.stood_still_ns += duration_ns

    def _read_clock(self) -> int:
        return self.clockwork.now_ns if self.clock is None else self.clock.now_ns

    def _end(
        self, workload: Workload, exit_code: int | None, out_of_memory: bool = False, timed_out: bool = False
    ) -> None:
        if workload.finished_at_ns is None:
            workload.ended_ns, workload.finished_at_ns = self.clockwork.now_ns, self._read_clock()
            workload.exit_code = exit_code
            workload.out_of_memory, workload.timed_out = out_of_memory, timed_out
            self.running.discard(workload.spec.lease_id)
            workload.ended.set(None)

    def _vanish(self, workload: Workload) -> None:
        if workload.finished_at_ns is None:
            self._end(workload, None)
            self.gone[workload.spec.lease_id] = self.count(workload.spec.lease_id)
            del self.workloads[workload.spec.lease_id]

    def look(self, lease_id: Hash32) -> WorkloadState:
        """How the workload is now."""
        workload = self.workloads.get(lease_id)
        if workload is None:
            return WorkloadState("absent")
        status = "running" if workload.finished_at_ns is None else "exited"
        return WorkloadState(
            status, workload.started_at_ns, workload.finished_at_ns,  # type: ignore[arg-type]
            workload.exit_code, workload.out_of_memory, workload.timed_out,
        )  # fmt: skip

    async def inspect(self, lease_id: Hash32) -> WorkloadState:
        return self.look(lease_id)

    async def wait(self, lease_id: Hash32) -> WorkloadState:
        workload = self.workloads.get(lease_id)
        if workload is not None:
            await workload.ended
        return self.look(lease_id)

    async def stop(self, lease_id: Hash32) -> WorkloadState:
        workload = self.workloads.get(lease_id)
        await self.clockwork.sleep(workload.behaviour.stop_ns if workload else STOP_NS)
        if workload is not None:
            self._end(workload, MEMORY_HIT_EXIT_CODE)
        return self.look(lease_id)

    async def read_counters(self, lease_id: Hash32) -> Counters:
        return self.count(lease_id)

    def is_over(self, lease_id: Hash32) -> bool:
        workload = self.workloads.get(lease_id)
        return workload is not None and workload.ended_ns is not None

    def count(self, lease_id: Hash32) -> Counters:
        """Usage since the start."""
        workload = self.workloads.get(lease_id)
        if workload is None:
            return Counters(0, 0)
        until_ns = self.clockwork.now_ns if workload.ended_ns is None else workload.ended_ns
        running_ns = max(0, until_ns - workload.began_ns - workload.stood_still_ns)
        load = workload.spec.resources.vcpu_milli * workload.behaviour.load_milli
        egress_bytes = running_ns * workload.behaviour.egress_per_second // NANOS_PER_SECOND
        return Counters(running_ns, running_ns * load // 1_000_000, egress_bytes // 10, egress_bytes)

    def served(self, lease_id: Hash32) -> Counters:
        """What the lease really had, whatever the engine still knows of it."""
        return self.gone.get(lease_id) or self.count(lease_id)

    async def read_logs(self, lease_id: Hash32, offset: int, follow: bool) -> AsyncGenerator[tuple[int, bytes], None]:
        """Workloads here say nothing."""
        for _ in ():
            yield 0, b""

    async def keep_log(self, lease_id: Hash32, into: Path) -> None:
        """Nothing to keep."""

    async def collect_outputs(self, lease_id: Hash32, into: Path) -> Inventory:
        workload = self.workloads.get(lease_id)
        if workload is None:
            raise Permanent(f"lease {lease_id.hex()[:16]} has no outputs here")
        assert workload.finished_at_ns is not None, "outputs were collected while the workload ran"
        behaviour = workload.behaviour
        return Inventory(behaviour.outputs, behaviour.left_out, len(behaviour.left_out))

    async def remove(self, lease_id: Hash32) -> None:
        workload = self.workloads.get(lease_id)
        if workload is not None:
            assert workload.finished_at_ns is not None, "a running workload was removed"
            self.gone[lease_id] = self.count(lease_id)
            del self.workloads[lease_id]

    async def list_leases(self) -> tuple[Hash32, ...]:
        return tuple(self.workloads)
