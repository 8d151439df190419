"""An image out of an archive and a directory of inputs, from the command line to what the workload sees."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.e2e.market import Market, PlacedJob

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

FILES = 300

COUNT = "import os, sys; print(sum(len(found) for _, _, found in os.walk(sys.argv[1])))"

JOB = """name: files
image: {image}
command: [sh, -c, "python3 -c '{count}' /work/in; cat '/work/in/data/deep/größe.txt'; /work/in/run.sh"]
inputs: [./data, "*.sh"]
time_limit: 2m
budget: 1 OPENX
"""


@pytest.fixture
def folder(market: Market) -> Path:
    """A project with an image in an archive, a directory and a program."""
    folder = market.net.folder / "project"
    (folder / "data/deep").mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "image.tar", "w") as tar:
        tar.add(market.image, arcname=".")
    for number in range(FILES):
        (folder / f"data/{number}").write_text(str(number))
    (folder / "data/deep/größe.txt").write_text("small\n")
    (folder / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "run.sh").chmod(0o755)
    return folder


def test_a_job_runs_an_image_of_an_archive_over_a_directory_of_inputs(market: Market, folder: Path) -> None:
    market.find_offers()
    (folder / "job.yaml").write_text(JOB.format(image="./image.tar", count=COUNT))
    done = market.run("job", "submit", "--yes", "--follow", str(folder / "job.yaml"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(FILES + 2), "small", "ran"]
    (kept,) = [row for row in json.loads(market.run("image", "ls", "-o", "json").stdout) if not row["names"]]
    assert market.run("image", "import", str(folder / "image.tar"), "--name", "files").returncode == 0
    (folder / "job.yaml").write_text(JOB.format(image="files", count=COUNT))
    again = market.run("job", "submit", "--yes", "--follow", str(folder / "job.yaml"))
    assert again.returncode == 0, again.stderr
    for row in market.submitter.control.call("job.list", {"limit": 1000})["rows"]:
        # What is claimed later would be counted as another test's.
        if row["name"] == "files":
            job = PlacedJob(market, row["job_id"])
            job.wait_settled()
            job.wait_provider_settled()
    gone = market.run("image", "rm", "files")
    assert gone.returncode == 0, gone.stderr
    assert kept["platform"].startswith("linux/") and json.loads(market.run("image", "ls", "-o", "json").stdout) == []


def test_the_job_that_init_writes_runs_as_it_is(market: Market, folder: Path) -> None:
    path = folder / "first.yaml"
    written = market.run("job", "init", str(path), "--image", f"oci:{market.image}")
    assert written.returncode == 0, written.stderr
    done = market.run("job", "submit", "--yes", "--follow", str(path))
    assert done.returncode == 0, done.stderr
    assert (folder / "results" / "greeting.txt").read_text() == "hello\n"
    (job_id,) = (row["job_id"] for row in market.submitter.control.call("job.list", {"limit": 1})["rows"])
    PlacedJob(market, job_id).wait_provider_settled()
