"""What `xnode job validate` says of a job file: all that decides who may run it, and for how much."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnode.cli.job.file import describe_job, read_job

BASIC = f"image: sha256:{'ab' * 32}\nbudget: 1 OPENX\ntime_limit: 10m\n"


@pytest.mark.parametrize(
    ("line", "name", "said", "unsaid"),
    [
        ("min_stake: 100 OPENX", "min_stake", "100 OPENX", "none"),
        ("min_stake: '0.25'", "min_stake", "0.25 OPENX", "none"),
        ("min_availability: 0.995", "min_availability", "99.5 %", "none"),
        ("prepay: 2h", "prepay", "2h", "none"),
        ("regions: [eu-west, us-east]", "regions", "eu-west, us-east", "any"),
        ("bid: {vcpu_hour: 0.2}", "bid", "vcpu_hour 0.2", "any price within the budget"),
        ("network: 10GB", "network", "9.31 GiB each way", "none"),
    ],
)
def test_what_a_job_asks_of_a_provider_is_told(tmp_path: Path, line: str, name: str, said: str, unsaid: str) -> None:
    page = tmp_path / "job.yaml"
    page.write_text(BASIC)
    assert describe_job(read_job(page))[name] == unsaid
    page.write_text(f"{BASIC}{line}\n")
    assert describe_job(read_job(page))[name] == said
