"""Bench of capacity challenges: what a device's answer costs, and what checking it costs beside computing it again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

# Before numpy loads: a device of class cpu is one thread.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from metering.capacity import OPENED_ROWS, find_opened_rows
from metering.eip712 import keccak
from tests.bench.row import Row, show_times
from xnode.capacity.freivalds import make_expected
from xnode.capacity.product import make_product

SIZES = (1024, 2048, 4096)
_SEED = keccak(b"bench")
_T = TypeVar("_T")


def run(say: Callable[[str], None] = print) -> list[Row]:
    """One row a size; processor seconds of one thread."""
    return [_measure(n, say) for n in SIZES]


def _measure(n: int, say: Callable[[str], None]) -> Row:
    say(f"challenge: n = {n:,}")
    product, computing_s = _take(lambda: make_product(_SEED, n))
    vector, rows = keccak(b"vector") * (n // 8), find_opened_rows(_SEED, 0, n)
    expected, checking_s = _take(lambda: make_expected(_SEED, n, vector, rows))
    assert product.multiply_vector(vector) == expected.vector_product
    assert tuple(product.read_row(row) for row in rows) == expected.rows
    return Row(
        what=f"check of a device's answer, n = {n:,}: product and {OPENED_ROWS} rows",
        ours=f"{checking_s:.2g} s",
        other=f"computing it again, with its tree: {computing_s:.2g} s",
        ratio=show_times(computing_s / checking_s),
    )


def _take(work: Callable[[], _T]) -> tuple[_T, float]:
    """What the work gives, and the least seconds of three runs: the others waited for the machine."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        result = work()
        taken.append(time.process_time() - begun)
    return result, min(taken)
