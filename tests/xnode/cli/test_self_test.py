"""`xnode provider self-test`: what it says of a host that can, and of one that claims more than it has."""

from __future__ import annotations

import json
import os

from tests.xnode.cli.conftest import Run, error_lines


def test_a_host_that_can_passes_with_every_device(xnode: Run) -> None:
    done = xnode("provider", "self-test", "--class", "cpu=2", "--n", "512", "-o", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["device"], row["class"], row["n"], row["passed"]) for row in rows] == [
        (0, "cpu", 512, True),
        (1, "cpu", 512, True),
    ]
    assert all(0 < row["took_ms"] <= row["limit_ms"] == 110_000 and row["units_per_hour"] == "1" for row in rows)
    assert "device 1: checked" in done.stderr


def test_a_host_that_claims_many_times_the_vcpus_it_has_fails_and_is_told_so_in_time(xnode: Run) -> None:
    # Eight products of more than a second each on every core, and three seconds for all of them.
    count = 8 * (os.cpu_count() or 1)
    done = xnode("provider", "self-test", "--class", f"cpu={count}", "--n", "4096", "--limit", "3", "-o", "json")
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)
    failed = [row for row in rows if not row["passed"]]
    assert len(failed) > count // 2
    assert {row["reason"] for row in failed} == {"no answer within 3 s"}
    assert {row["units_per_hour"] for row in failed} == {"0"}


def test_a_gpu_that_is_not_there_fails_and_the_cpu_beside_it_passes(xnode: Run) -> None:
    done = xnode("provider", "self-test", "--class", "gpu=2", "--class", "cpu=1", "--n", "256", "-o", "json")
    assert done.returncode == 1
    rows = json.loads(done.stdout)
    assert rows[0]["passed"] and rows[0]["class"] == "cpu"
    assert not rows[2]["passed"] and "GPU 1" in rows[2]["reason"]


def test_sizes_and_claims_that_mean_nothing_are_refused_in_one_line(xnode: Run) -> None:
    for arguments in (
        ["--class", "cpu=1", "--n", "100"],
        ["--class", "tpu=1"],
        ["--class", "cpu=2000"],
        ["--limit", "0"],
    ):
        done = xnode("provider", "self-test", *arguments)
        assert done.returncode == 2
        assert len(error_lines(done.stderr)) == 1 and not done.stdout
