"""Cold jobs of several submitters at once over many providers: all are done, none idles, and the chain is hardly asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.field.crowd import Crowd, Size, open_crowd
from tests.xnode.runtime.busybox import make_busybox_layout

FOLDER = Path(__file__).parents[2] / "build" / "field-crowd"
"""Always the same, so that a run finds and removes what one that was killed has left."""

TRANSACTIONS_PER_LEASE = 2

SMALL = Size(providers=3, submitters=2, jobs=8)
"""More jobs than places: some have to wait."""


@pytest.mark.field_long
@pytest.mark.timeout(0)
def test_a_few_cold_jobs_at_once_are_all_done() -> None:
    with open_crowd(FOLDER, SMALL) as crowd:
        run(crowd, SMALL)


@pytest.mark.field_long
@pytest.mark.timeout(0)
def test_forty_cold_jobs_of_two_submitters_over_twelve_providers_are_all_done() -> None:
    size = Size.from_environment()
    with open_crowd(FOLDER, size) as crowd:
        run(crowd, size)


def run(crowd: Crowd, size: Size) -> None:
    crowd.place_all(size.jobs, make_busybox_layout(), seconds=20)
    ended = crowd.wait_ended()
    reasons = Counter(job["job"]["reason"] for job in ended)
    assert reasons == {"completed": size.jobs}, _tell(ended)
    served, leases = crowd.count_served(ended), size.jobs + sum(_count_setbacks(job) for job in ended)
    print(
        f"\nserved: {dict(served)}; transactions: {crowd.count_transactions()} for {size.jobs} jobs in {leases} leases"
    )
    assert min(served[node.name] for node in crowd.providers) >= 1, f"nobody idles: {served}"
    assert crowd.count_transactions() <= TRANSACTIONS_PER_LEASE * leases


def _count_setbacks(job: dict[str, Any]) -> int:
    """Leases that ended before the job could run in them: each has an opening of its own to be given back."""
    return sum(one["what"] == "elsewhere" for one in job["timeline"])


def _tell(jobs: list[dict[str, Any]]) -> str:
    lines = []
    for job in jobs:
        row = job["job"]
        if row["reason"] != "completed":
            lines.append(f"{row['name']}: {row['state']} {row['reason']}")
            lines += [f"    {one['what']}: {one['detail']}" for one in job["timeline"]]
    return "\n".join(lines)
