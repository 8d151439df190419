"""`xnode` as a cheater would run it: computes one device's product and passes it off as every device's.

Run as `python -m tests.e2e.cheat provider run`.
"""

from __future__ import annotations

from collections.abc import Sequence

from metering.units import Hash32
from xnode.capacity.opened_row import OpenedRow
from xnode.capacity.products import DeviceTask, OnShare, Products
from xnode.cli.main import main

_run, _wait_roots, _multiply, _open = Products._run, Products.wait_roots, Products.multiply_vector, Products.open_row


async def run(self: Products, task: DeviceTask, on_share: OnShare, finished: object) -> None:
    if task.device == 0:
        await _run(self, task, on_share, finished)  # type: ignore[arg-type]


async def wait_roots(self: Products, devices: Sequence[int]) -> tuple[Hash32, ...]:
    return (*await _wait_roots(self, (0,)),) * len(devices)


async def multiply_vector(self: Products, _device: int, vector_seed: Hash32) -> bytes:
    return await _multiply(self, 0, vector_seed)


async def open_row(self: Products, _device: int, row: int) -> OpenedRow:
    return await _open(self, 0, row)


if __name__ == "__main__":
    Products._run = run  # type: ignore[method-assign]
    Products.wait_roots = wait_roots  # type: ignore[method-assign]
    Products.multiply_vector = multiply_vector  # type: ignore[assignment, method-assign]
    Products.open_row = open_row  # type: ignore[assignment, method-assign]
    main()
