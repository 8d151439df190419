"""Self test: a whole challenge on this host, without chain or net: prover against verifier, in the class's time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from metering.capacity import OPENED_ROWS, find_opened_rows
from metering.refusal import Refusal
from metering.units import ZERO_ADDRESS, ZERO_HASH, Hash32
from xnode.capacity import judging
from xnode.capacity.judging import DeclaredDevices, list_declared
from xnode.capacity.products import DeviceTask, Products, WorkerProcess, open_products, open_worker
from xnode.capacity.worker_request import ExpectedMade
from xnode.errors import Permanent
from xnode.ports.capacity import Challenge, DeclaredClass

CHECK_S = 600.0
"""How long checking one device may take: the largest product there is, on a slow core."""

OnStep = Callable[[int, str], None]
"""(device, what was done)."""


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """What became of one device. took_ms: from the draw to its answer, None when there was none in time; reason: why it
    fails, empty when it passes."""

    device: int
    device_class: DeclaredClass
    took_ms: int | None
    reason: str

    @property
    def passed(self) -> bool:
        """True when a quorum of verifiers would say so."""
        return not self.reason


@dataclass(slots=True)
class _Run:
    """One test under way."""

    challenge: Challenge
    products: Products
    tasks: dict[int, DeviceTask]
    begun: float
    on_step: OnStep
    results: dict[int, DeviceResult]

    async def answer(self, declared: DeclaredDevices, device: int) -> None:
        """Wait for the device's root, no longer than its class has time."""
        device_class, limit_s = declared.device_class, declared.device_class.time_limit_ms / 1000
        reason, took_ms = f"no answer within {limit_s:g} s", None
        with trio.move_on_at(self.begun + limit_s):
            try:
                await self.products.wait_roots((device,))
                reason, took_ms = "", round(1000 * (trio.current_time() - self.begun))
            except Permanent as error:
                reason = str(error)
        self.results[device] = DeviceResult(device, device_class, took_ms, reason)
        self.on_step(device, reason or f"computed in {took_ms} ms")

    async def check(self, checker: WorkerProcess, device: int) -> None:
        """Do what a verifier does with an answer that came in time."""
        result = self.results[device]
        if result.reason:
            return
        try:
            refusal = await _check_device(self.products, checker, self.tasks[device])
        except Permanent as error:
            refusal = Refusal("worker", str(error))
        if refusal is not None:
            self.results[device] = DeviceResult(device, result.device_class, result.took_ms, refusal.detail)
        self.on_step(device, refusal.detail if refusal else "checked")


async def run_self_test(
    declared: Sequence[DeclaredClass], on_step: OnStep = lambda _device, _text: None
) -> tuple[DeviceResult, ...]:
    """What each device would get in a challenge of all of them, in order of device.

    Raises Permanent when the host cannot even begin, because memory is short.
    """
    seed = Hash32(os.urandom(32))
    challenge = Challenge(ZERO_HASH, ZERO_ADDRESS, "drawn", 0, 0, seed, (), 1, tuple(declared))
    tasks = judging.make_tasks(challenge, seed)
    begun = trio.current_time()
    async with open_products(tasks) as products:
        run = _Run(challenge, products, {task.device: task for task in tasks}, begun, on_step, {})
        async with trio.open_nursery() as nursery:
            for listed in list_declared(challenge):
                for device in listed.devices:
                    nursery.start_soon(run.answer, listed, device)
        async with open_worker() as checker:
            with trio.move_on_after(CHECK_S * len(tasks)):
                for task in tasks:
                    await run.check(checker, task.device)
    return tuple(run.results[task.device] for task in tasks)


async def _check_device(products: Products, checker: WorkerProcess, task: DeviceTask) -> Refusal | None:
    vector_seed, opening_seed = Hash32(os.urandom(32)), Hash32(os.urandom(32))
    expected = await checker.do(judging.make_expect(task, vector_seed, opening_seed))
    assert isinstance(expected, ExpectedMade)
    (root,) = await products.wait_roots((task.device,))
    refusal = judging.judge_product(task, await products.multiply_vector(task.device, vector_seed), expected)
    if refusal is not None:
        return refusal
    rows = find_opened_rows(opening_seed, task.device, task.n)
    for k in range(OPENED_ROWS):
        opened = await products.open_row(task.device, rows[k])
        found = judging.judge_row(task, root, rows[k], opened, expected.rows[k])
        if isinstance(found, judging.WrongElement):
            return Refusal("wrong_element", f"an element of row {rows[k]} is wrong: this device miscalculates")
        if found is not None:
            return found
    return None
