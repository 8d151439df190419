"""The watch over a host's GPUs: two looks end a lease, one does not."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from msgspec.structs import replace

from metering.units import Hash32
from tests.make.records import LEASE_ID, TERMS, make_running_lease
from tests.make.values import make_resources
from tests.make.waiting import wait_until
from xnode.effects import gpu_watch
from xnode.effects.gpu_watch import watch_gpus
from xnode.errors import Retryable
from xnode.node.changes import GpuLost, GpusSeen
from xnode.node.state import make_state
from xnode.ports.runtime import GpuLook, WorkloadState

LOST = "nvidia.com/gpu=3 is lost"


class Host:
    """xnode.ports.runtime.Engine, Loop and the GPUs, as far as they are asked here. looks: one after the other."""

    def __init__(self, *looks: GpuLook) -> None:
        terms = replace(TERMS, resources=make_resources(gpus=1, gpu_model="NVIDIA H200"))
        self.state = make_state([make_running_lease(terms=terms)])
        self.looks = list(looks)
        self.looked = 0
        self.told: list[Any] = []
        self.is_hung = False

    def look(self) -> GpuLook:
        found = self.looks[min(self.looked, len(self.looks) - 1)]
        self.looked += 1
        return found

    async def inspect(self, _lease_id: Hash32) -> WorkloadState:
        if self.is_hung:
            raise Retryable("podman takes too long")
        now = self.looks[min(self.looked, len(self.looks)) - 1]
        return WorkloadState("running", gpu_lost=LOST if now.lost else "")

    async def tell(self, change: Any) -> None:
        self.told.append(change)


WELL, ILL = GpuLook(8, {}), GpuLook(7, {"nvidia.com/gpu=3": LOST}, ("NVIDIA GPU 3: GPU is lost",))


async def run(host: Any, looks: int) -> list[Any]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_gpus, host.look, host, host)
        await wait_until(lambda: host.looked > looks)
        nursery.cancel_scope.cancel()
    return list(host.told)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_watch, "LOOK_S", 0)


async def test_a_gpu_that_stays_lost_ends_its_lease() -> None:
    told = await run(Host(WELL, ILL), 3)
    assert told[:3] == [GpusSeen(8), GpusSeen(7), GpuLost(LEASE_ID, LOST)]


async def test_one_that_is_back_at_the_next_look_ends_nothing() -> None:
    assert await run(Host(ILL, WELL, ILL, WELL), 4) == [GpusSeen(7), GpusSeen(8), GpusSeen(7), GpusSeen(8)]


async def test_an_engine_that_does_not_answer_ends_nothing() -> None:
    host = Host(ILL)
    host.is_hung = True
    assert await run(host, 4) == [GpusSeen(7)]
