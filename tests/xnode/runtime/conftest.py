"""Real containers for the runtime's tests: one storage a session, a fresh engine a test, nothing left behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from metering.resources import Resources
from metering.units import Hash32
from scheduler.job import Image
from tests.make.waiting import wait_until
from tests.xnode.runtime.busybox import NO_FILES, make_busybox_layout
from xnode.ports.runtime import WorkloadSpec, WorkloadState
from xnode.runtime.oci_layout import read_layout
from xnode.runtime.podman.engine import PodmanEngine

NAMESPACE = "test"
MIB = 1 << 20
SECOND_NS = 1_000_000_000
NETWORK_BYTES = 100_000_000
"""What a workload with network may move each way, unless a test says otherwise."""


@dataclass
class Bench:
    """An engine with the busybox image, and short words for what most tests do with it."""

    state_dir: Path
    engine: PodmanEngine
    image: Image
    leases: list[Hash32] = field(default_factory=list)

    def spec(
        self,
        script: str,
        *,
        memory: int = 64 * MIB,
        disk: int = 8 * MIB,
        vcpu: int = 1000,
        seconds: int = 60,
        inputs: tuple[tuple[str, Path], ...] = (),
        network: bool = False,
        **words: Any,
    ) -> WorkloadSpec:
        """A workload that runs a shell script; words: more of the specification."""
        lease_id = Hash32(os.urandom(32))
        self.leases.append(lease_id)
        resources = Resources(vcpu, memory, disk)
        command = ("sh", "-c", script)
        least = {"network_bytes": NETWORK_BYTES if network else 0, "stop_grace_ns": SECOND_NS // 2}
        limit_ns = seconds * SECOND_NS
        return WorkloadSpec(
            lease_id, self.image, command, (), inputs, resources, network, limit_ns, **{**least, **words}
        )

    async def use_image(self, files: Mapping[str, str] = NO_FILES, **config: Any) -> None:
        """From now on, an image with these files that says this of how it is to be run."""
        layout = make_busybox_layout(config, files)
        self.image = read_layout(layout)
        await self.engine.import_image(self.image, layout)

    async def run(self, script: str, **options: object) -> tuple[WorkloadState, str]:
        """How a script ended, and all it printed."""
        return await self.run_spec(self.spec(script, **options))  # type: ignore[arg-type]

    async def run_spec(self, spec: WorkloadSpec) -> tuple[WorkloadState, str]:
        """How a workload ended, and all it printed."""
        await self.engine.start(spec)
        with trio.fail_after(60):
            state = await self.engine.wait(spec.lease_id)
        return state, await self.read_log(spec.lease_id)

    async def read_log(self, lease_id: Hash32) -> str:
        """All a workload printed so far."""
        return b"".join([piece async for _, piece in self.engine.read_logs(lease_id, 0, False)]).decode()

    def file(self, lease_id: Hash32, name: str) -> trio.Path:
        """A file in the lease's folder."""
        return trio.Path(self.state_dir, NAMESPACE, "leases", lease_id.hex(), name)

    async def wait_file(self, lease_id: Hash32, name: str) -> trio.Path:
        """Returns once a file of the lease is there: conmon and its helpers write without notice."""
        path = self.file(lease_id, name)
        await wait_until(path.exists)
        return path

    async def wait_line(self, lease_id: Hash32, text: str) -> str:
        """What the workload printed up to and with `text`."""
        seen = b""
        with trio.fail_after(30):
            async with aclosing(self.engine.read_logs(lease_id, 0, True)) as pieces:
                async for _, piece in pieces:
                    seen += piece
                    if text.encode() in seen:
                        return seen.decode()
        raise AssertionError(f"{text!r} never came; the workload said {seen!r}")


@pytest.fixture(scope="session")
def layout() -> Path:
    return make_busybox_layout()


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory: pytest.TempPathFactory, layout: Path) -> Iterator[Path]:
    """Where all engines of this session keep their things; erased at the end."""
    place = tmp_path_factory.mktemp("engine")
    try:
        trio.run(PodmanEngine(place, NAMESPACE).import_image, read_layout(layout), layout)
        yield place
    finally:
        for name in sorted(path.name for path in place.iterdir()):
            trio.run(PodmanEngine(place, name).erase)
        shutil.rmtree(place)


@pytest.fixture
async def bench(state_dir: Path, layout: Path) -> AsyncIterator[Bench]:
    bench = Bench(state_dir, PodmanEngine(state_dir, NAMESPACE), read_layout(layout))
    yield bench
    for lease_id in bench.leases:
        await bench.engine.stop(lease_id)
        await bench.engine.remove(lease_id)
