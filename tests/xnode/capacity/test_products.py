"""Devices computed at once in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import trio

from metering.eip712 import keccak
from tests.make.waiting import wait_until
from xnode.capacity import products as products_module
from xnode.capacity.challenge import device_seed_of, make_vector
from xnode.capacity.freivalds import make_expected
from xnode.capacity.product import make_product
from xnode.capacity.products import DeviceTask, open_products, open_worker
from xnode.capacity.worker_request import Expect, ExpectedMade
from xnode.errors import Permanent

SEED = keccak(b"a challenge")
N = 512


def make_tasks(count: int, n: int = N) -> list[DeviceTask]:
    return [DeviceTask(device, "cpu", 0, device_seed_of(SEED, device), n) for device in range(count)]


def find_workers() -> list[psutil.Process]:
    """Workers that this process has started and that live."""
    return [each for each in psutil.Process().children(recursive=True) if _is_worker(each)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "xnode.capacity.worker" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


async def wait_workers(count: int) -> None:
    """Returns when so many run."""
    await wait_until(lambda: len(find_workers()) >= count)


async def test_all_devices_are_computed_and_answer_as_one_computed_here() -> None:
    shares: dict[int, float] = {}
    with trio.fail_after(60):
        async with open_products(make_tasks(3), shares.__setitem__) as products:
            roots = await products.wait_roots([0, 1, 2])
            expected = make_product(device_seed_of(SEED, 1), N)
            assert roots[1] == expected.root and len(set(roots)) == 3
            vector = make_vector(SEED, 1, N)
            assert await products.multiply_vector(1, SEED) == expected.multiply_vector(vector)
            assert await products.open_row(1, 77) == expected.open_row(77)
            assert shares == {0: 1.0, 1: 1.0, 2: 1.0}
    assert not find_workers()


async def test_devices_are_computed_at_the_same_time() -> None:
    with trio.fail_after(60):
        async with open_products(make_tasks(3, 4096)):
            await wait_workers(3)
    assert not find_workers()


async def test_a_worker_uses_one_thread() -> None:
    with trio.fail_after(60):
        async with open_products(make_tasks(1)) as products:
            await products.wait_roots([0])
            (worker,) = find_workers()
            # One that computes, and one that waits for the daemon's next word or its end.
            assert worker.num_threads() == 2


async def test_a_worker_that_is_killed_is_a_failed_device_and_no_other() -> None:
    with trio.fail_after(60):
        async with open_products(make_tasks(2)) as products:
            await products.wait_roots([0, 1])
            for worker in find_workers():
                worker.kill()
            with pytest.raises(Permanent, match="ended early"):
                await products.open_row(0, 0)


async def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next() -> None:
    with trio.fail_after(60):
        async with open_products(make_tasks(1)) as products:
            await products.wait_roots([0])
            for row in range(20):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await products.open_row(0, row)
                with trio.move_on_after(0.0005):
                    await products.open_row(0, row)
            expected = make_product(device_seed_of(SEED, 0), N)
            assert await products.open_row(0, 300) == expected.open_row(300)


async def test_a_gpu_that_is_not_there_fails_alone() -> None:
    gpu = DeviceTask(1, "gpu", 63, SEED, N)
    with trio.fail_after(60):
        async with open_products([*make_tasks(1), gpu]) as products:
            assert len(await products.wait_roots([0])) == 1
            with pytest.raises(Permanent, match="GPU 63"):
                await products.wait_roots([0, 1])


async def test_more_memory_than_there_is_is_refused_before_a_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products_module, "WORKER_BYTES", psutil.virtual_memory().total)
    with pytest.raises(Permanent, match="memory"):
        async with open_products(make_tasks(2)):
            pass
    assert not find_workers()


async def test_a_checker_says_what_an_honest_device_says() -> None:
    with trio.fail_after(60):
        async with open_worker(niceness=5) as worker:
            report = await worker.do(Expect(SEED, N, SEED, 3, (0, 511)))
    expected = make_expected(SEED, N, make_vector(SEED, 3, N), (0, 511))
    assert report == ExpectedMade(expected.vector_product, expected.rows)


PARENT = """
import sys, trio
from xnode.capacity.products import open_products
from tests.xnode.capacity.test_products import find_workers, make_tasks, wait_workers

async def main():
    async with open_products(make_tasks(1, 8192)):
        await wait_workers(1)
        print(find_workers()[0].pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def test_workers_end_with_a_daemon_that_is_killed() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    ) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        # In the middle of a product that takes many seconds more.
        worker.wait(5)


def test_the_daemon_never_loads_numpy() -> None:
    program = "import sys, xnode.daemon, xnode.capacity.products; assert 'numpy' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
