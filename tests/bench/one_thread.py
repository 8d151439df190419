"""One thread: how many devices of class cpu one hardware thread can answer for, beside a class's time limit.

python -m tests.bench.one_thread [--n N ...] [--most K] [--limit-s S] [--allowance-s S]

Computes 1 to K products one after the other and all at once, in processes that share a single hardware thread, and prints a
markdown table of the processor seconds until the last is there: on a machine that does nothing else these pass on the clock too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
from dataclasses import dataclass

# Before numpy loads, here and in the processes: a device of class cpu is one thread.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from metering.eip712 import keccak
from xnode.capacity.product import make_product

ALLOWANCE_S = 5.0
"""What a verifier adds to a class's limit, for the way to it."""

MULTIPLIED = multiprocessing.get_context("spawn")
"""Fresh processes, so that all that one costs is counted with it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Processor seconds of one hardware thread for so many products of size n."""

    n: int
    products: int
    in_sequence_s: float
    at_once_s: float


def measure(n: int, products: int) -> Taken:
    """Both ways of having one thread answer for several devices."""
    return Taken(n, products, _take(n, products, 1), _take(n, 1, products))


def count_passed(taken: list[Taken], limit_s: float) -> int:
    """The most devices whose products are all there within the limit."""
    return max((one.products for one in taken if min(one.in_sequence_s, one.at_once_s) <= limit_s), default=0)


def make_table(taken: list[Taken], limit_s: float, allowance_s: float) -> str:
    """Markdown, and what it means for the limit."""
    lines = ["| n | devices | one after the other, s | all at once, s | passes |", "|---|---|---|---|---|"]
    for one in taken:
        passes = min(one.in_sequence_s, one.at_once_s) <= limit_s + allowance_s
        lines.append(
            f"| {one.n:,} | {one.products} | {one.in_sequence_s:.1f} | {one.at_once_s:.1f} | {'yes' if passes else 'no'} |"
        )
    passed = count_passed(taken, limit_s + allowance_s)
    lines += [
        "",
        f"Limit {limit_s:g} s and {allowance_s:g} s of allowance: {passed} of these pass on one hardware thread.",
    ]
    return "\n".join(lines)


def _take(n: int, each: int, processes: int) -> float:
    """Processor seconds of processes that each compute so many products, on one hardware thread together."""
    before = _read_children_s()
    running = [MULTIPLIED.Process(target=_compute, args=(n, each, number)) for number in range(processes)]
    for one in running:
        one.start()
    for one in running:
        one.join()
        if one.exitcode != 0:
            raise RuntimeError(f"a product of n = {n} could not be computed: exit status {one.exitcode}")
    return _read_children_s() - before


def _compute(n: int, each: int, number: int) -> None:
    for which in range(each):
        make_product(keccak(f"{number} {which}".encode()), n)


def _read_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[4096])
    parser.add_argument("--most", type=int, default=12, help="devices")
    parser.add_argument("--limit-s", type=float, default=20.0)
    parser.add_argument("--allowance-s", type=float, default=ALLOWANCE_S)
    chosen = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    taken = [measure(n, products) for n in chosen.n for products in range(1, chosen.most + 1)]
    print(make_table(taken, chosen.limit_s, chosen.allowance_s))


if __name__ == "__main__":
    main()
