"""What a workload leaves arrives, or its submitter knows by name what did not: real processes, default settings, and a
submitter whose data lies in memory, so that it is faster than any limit of the provider."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.market import DEPOSIT, Market, PlacedJob
from xnode.config.file import read_table, write_config
from xnode.errors import ExitCode

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

IN_MEMORY = Path("/dev/shm/xnode-e2e-outputs")

COUNT = 5_000

WORK = '''
"""Leaves many small files and one of each odd thing in /work/out."""
import os, socket, sys
os.chdir("/work/out")
os.mkdir("many")
for number in range(int(sys.argv[1])):
    with open(f"many/{number}", "w") as file: file.write(f"{number}\\n")
for name in ("good", "a\\nb", "back\\\\slash", "-rf", "run.sh"): open(name, "w").write("x")
os.chmod("run.sh", 0o755)
open("unreadable", "w").write("x"); os.chmod("unreadable", 0)
deep = "/".join(letter * 60 for letter in "abcde")
os.makedirs(deep); open(f"{deep}/file", "w").write("deep")
os.makedirs("empty/dir")
os.symlink("good", "latest"); os.symlink("/etc/shadow", "evil"); os.mkfifo("fifo")
socket.socket(socket.AF_UNIX).bind("sock")
open("sparse", "wb").truncate(50_000_000)
sys.stdout.write("\\rEpoch 1 of 2\\rEpoch 2 of 2\\n")
'''

JOB = """\
name: outputs
image: oci:{image}
command: [python3, /work/in/work.py, "{count}"]
inputs: {{work.py: work.py}}
resources: {{vcpus: 0.5, memory: 64MiB, disk: 128MiB}}
time_limit: 5m
budget: 1 OPENX
outputs: {to}
"""


@pytest.fixture
def fast(whole_market: Market) -> Iterator[Market]:
    """The market as a submitter sees it whose data lies in memory."""
    market = whole_market
    market.restart_dead()
    shutil.rmtree(IN_MEMORY, ignore_errors=True)
    IN_MEMORY.mkdir()
    bootstrap = market.net.bootstrap_of(market.provider)
    node = market.net.nodes.get("in-memory") or market.net.add_submitter("in-memory", DEPOSIT, bootstrap)
    table = read_table(node.home)
    write_config(node.home, {**table, "node": {**table["node"], "data_dir": str(IN_MEMORY / "data")}})
    market.net.start(node)
    try:
        yield replace(market, submitter=node)
    finally:
        market.net.stop(node)
        shutil.rmtree(IN_MEMORY)


def write_job(market: Market, count: int, to: Path) -> Path:
    (IN_MEMORY / "work.py").write_text(WORK)
    path = IN_MEMORY / "job.yaml"
    path.write_text(JOB.format(image=market.image, count=count, to=to))
    return path


def check_results(results: Path, count: int) -> None:
    assert len(list((results / "many").iterdir())) == count
    assert all((results / "many" / str(number)).read_text() == f"{number}\n" for number in range(count))
    for name in ("good", "a\nb", "back\\slash", "-rf", "unreadable"):
        assert (results / name).read_text() == "x"
    assert (results / "/".join(letter * 60 for letter in "abcde") / "file").read_text() == "deep"
    assert (results / "latest").readlink() == Path("good") and (results / "empty/dir").is_dir()
    assert (results / "run.sh").stat().st_mode & 0o111 and not (results / "good").stat().st_mode & 0o111
    assert (results / "sparse").stat().st_size == 50_000_000
    assert not any((results / name).is_symlink() or (results / name).exists() for name in ("evil", "fifo", "sock"))


def test_five_thousand_files_and_odd_ones_arrive_and_the_rest_is_named(fast: Market) -> None:
    fast.find_offers()
    results = IN_MEMORY / "results"
    done = fast.run("job", "submit", str(write_job(fast, COUNT, results)), "--yes", "--follow", "-o", "json")
    assert done.returncode == 0, done.stderr
    check_results(results, COUNT)
    shown = json.loads(done.stdout[done.stdout.index("{") :])
    assert PlacedJob(fast, shown["job"]["job_id"]).read_log() == "\rEpoch 1 of 2\rEpoch 2 of 2\n"
    assert (shown["job"]["state"], shown["left_out_count"], shown["folder"]) == ("done", 3, str(results))
    assert {row["path"] for row in shown["left_out"]} == {"evil", "fifo", "sock"}
    assert "left out: evil: a link" in done.stderr
    (lease,) = (
        one
        for one in fast.provider.control.call("provider.leases")["rows"]
        if one["outputs"].startswith(f"{COUNT + 10:,} outputs")
    )
    assert "3 left out" in lease["outputs"] and "fifo: a pipe" in lease["outputs"]
    PlacedJob(fast, shown["job"]["job_id"]).wait_provider_settled()


def test_outputs_that_could_not_be_put_down_are_no_success_and_are_copied_later(fast: Market) -> None:
    fast.find_offers()
    place = IN_MEMORY / "file"
    place.write_text("not a folder")
    job = str(write_job(fast, 20, place / "results"))
    assert fast.run("job", "submit", job, "--yes").returncode == ExitCode.USAGE, "seen before any work"
    place.unlink()
    placed = fast.run("job", "submit", job, "--yes")
    assert placed.returncode == 0, placed.stderr
    if place.exists():
        shutil.rmtree(place)
    place.write_text("not a folder any more")
    job_id = placed.stdout.strip()
    waited = fast.run("job", "wait", job_id)
    assert waited.returncode == ExitCode.PARTIAL and "half-fetched" in waited.stdout
    copied = fast.run("job", "cp", job_id, str(IN_MEMORY / "copy"))
    assert copied.returncode == 0, copied.stderr
    check_results(IN_MEMORY / "copy", 20)
    assert fast.run("job", "wait", job_id).returncode == 0, "it is whole now"
    PlacedJob(fast, job_id).wait_provider_settled()
