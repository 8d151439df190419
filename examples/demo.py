"""Demo: one paid job from end to end, with nothing simulated: a chain, three providers, a submitter, containers, money."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.count.text import make_text
from examples.localnet import Localnet, Node, ProviderPlan
from images.python.build import build as build_image
from xnode.errors import Permanent, Retryable, UserError

TEXT_BYTES = 24_000_000
DEPOSIT = "100"
SETTLE_WAIT_S = 60.0

PLANS = (
    ProviderPlan(
        "provider-eu",
        "eu",
        {"vcpu_hour": "0.10", "memory_gib_hour": "0.02"},
        {"vcpus": 1.0, "memory": "1GiB", "disk": "1GiB"},
    ),
    ProviderPlan(
        "provider-us",
        "us",
        {"vcpu_hour": "0.14", "memory_gib_hour": "0.02"},
        {"vcpus": 1.5, "memory": "2GiB", "disk": "2GiB"},
    ),
    ProviderPlan(
        "provider-asia",
        "asia",
        {"vcpu_hour": "0.06", "memory_gib_hour": "0.01"},
        {"vcpus": 0.5, "memory": "512MiB", "disk": "512MiB"},
    ),
)
"""Three different shares of this host at three prices; the cheapest one is too small for the job, and `job plan` says so."""

JOB = """\
# A job file for `xnode job submit`; `xnode job init` writes one with every key explained.
name: count-words
image: oci:{image}
command: [python3, /work/in/count.py]
inputs:
  text.txt: text.txt
  count.py: {program}
outputs: results
resources: {{vcpus: 1, memory: 512MiB, disk: 256MiB}}
time_limit: 5m
budget: 1 OPENX
"""

out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main() -> int:
    """Run it; the exit code is 0 when the job is done, its outputs are right and the money has moved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the network running, to try commands on")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/demo"), help="where to put everything (default: %(default)s)"
    )
    parser.add_argument(
        "--image", type=Path, help="an OCI layout with a python3, instead of building one from Debian packages"
    )
    options = parser.parse_args()
    begun = time.monotonic()
    try:
        image = options.image.absolute() if options.image else _build_image()
        with Localnet(options.folder, _say, keep=options.keep) as net:
            outcome = _run(net, image)
            _show_summary(outcome, time.monotonic() - begun)
            if options.keep:
                _show_keep(net)
    except (UserError, Permanent, Retryable) as error:
        out.print(f"[red]the demo failed:[/] {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _build_image() -> Path:
    _say("building the container image from Debian packages (kept for the next run)")
    layout = Path(".cache/images/python").absolute()
    digest = build_image(layout)
    _say(f"image {digest}")
    return layout


def _run(net: Localnet, image: Path) -> dict[str, Any]:
    text = net.folder / "job" / "text.txt"
    size = make_text(text, TEXT_BYTES)
    _say(f"input of the job: {size:,} bytes of this machine's documentation")
    _step("start a chain, three providers and a submitter: five processes")
    net.start_chain()
    _say(f"chain node is up, contracts are deployed: {net.manifest}")
    first = _add_provider(net, PLANS[0], ())
    bootstrap = net.bootstrap_of(first)
    others = [_add_provider(net, plan, bootstrap) for plan in PLANS[1:]]
    submitter = net.add_submitter("submitter", DEPOSIT, bootstrap)
    net.start(submitter)
    _say(f"submitter {submitter.address} is up, with {DEPOSIT} OPENX deposited")
    _wait_offers(net, submitter, len(PLANS))
    before = _read_balances(net, submitter, (first, *others))
    _step("the market, as the submitter sees it")
    _pass(net.run("offer", "ls", home=submitter.home).stdout)
    job_file = net.folder / "job" / "job.yaml"
    job_file.write_text(JOB.format(image=image, program=Path(__file__).parent / "count" / "count.py"))
    _pass(net.run("job", "plan", str(job_file), home=submitter.home).stdout)
    _step("the job: submitted, quoted, leased, run, metered, paid, fetched")
    job_id = _submit(net, submitter, job_file)
    detail = _wait_settled(submitter, job_id)
    _step("the result")
    checked = _check_outputs(net.folder / "job" / "results", text)
    after = _read_balances(net, submitter, (first, *others))
    names = {node.address: f"{node.name} {node.address}" for node in (first, *others)}
    return {"detail": detail, "before": before, "after": after, "checked": checked, "job_id": job_id, "names": names}


def _add_provider(net: Localnet, plan: ProviderPlan, bootstrap: tuple[str, ...]) -> Node:
    node = net.add_provider(plan, bootstrap)
    net.start(node)
    share = plan.share
    _say(
        f"{plan.name} {node.address} is up: {share['vcpus']} vCPU, {share['memory']}, "
        f"{plan.prices['vcpu_hour']} OPENX per vCPU-hour"
    )
    return node


def _wait_offers(net: Localnet, submitter: Node, count: int) -> None:
    _say("waiting for the providers' offers to arrive over libp2p")
    end = time.monotonic() + 60
    while len(found := submitter.control.call("offer.list")) < count:
        if time.monotonic() > end:
            raise UserError(f"only {len(found)} of {count} offers arrived within 60 s", where=str(submitter.home.log))
        time.sleep(0.5)


def _submit(net: Localnet, submitter: Node, job_file: Path) -> str:
    """Run `xnode job submit --follow --yes job.yaml` as a person would, with its output on this terminal; the job's id."""
    import subprocess

    environment = {**os.environ, "XNODE_HOME": str(submitter.home.folder)}
    command = [sys.executable, "-m", "xnode.cli.main", "job", "submit", "--follow", "--yes", str(job_file)]
    out.print(f"[dim]$ xnode job submit --follow --yes {job_file.name}[/]")
    done = subprocess.run(command, env=environment, check=False, timeout=600, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise UserError(f"the job ended with exit code {done.returncode}", where=str(submitter.home.log))
    return str(submitter.control.call("job.list")["rows"][0]["job_id"])


def _wait_settled(submitter: Node, job_id: str) -> dict[str, Any]:
    _say("waiting until the provider's claim is confirmed on chain")
    control = submitter.control
    detail: dict[str, Any] = control.call("job.wait", {"job_id": job_id, "settled": True}, deadline_s=SETTLE_WAIT_S)
    for entry in detail["timeline"]:
        if entry["what"] == "settle":
            _say(f"settled: {entry['detail']}")
    return detail


def _check_outputs(results: Path, text: Path) -> dict[str, str]:
    """Compare the job's counts with the same counts made here in another way."""
    totals = json.loads((results / "totals.json").read_text())
    words = Counter(re.findall(rb"[a-z]{2,24}", text.read_bytes().lower()))
    count, _, word = (results / "words.tsv").read_text().splitlines()[0].partition("\t")
    expected, most = words.most_common(1)[0][1], sorted(words, key=lambda one: (-words[one], one))[0].decode()
    if (totals["words"], totals["distinct"]) != (sum(words.values()), len(words)) or (int(count), word) != (
        expected,
        most,
    ):
        raise UserError("the job's counts differ from those of its input", where=str(results))
    _say(
        f"{totals['words']:,} words, {totals['distinct']:,} distinct; "
        f"most frequent: {word!r} ({int(count):,} times); the same as counted outside the job"
    )
    return {"words": f"{totals['words']:,}", "index": f"{totals['index_bytes']:,} bytes"}


def _read_balances(net: Localnet, submitter: Node, providers: tuple[Node, ...]) -> dict[str, tuple[str, str]]:
    """By node: what its wallet holds, and what it has deposited and not reserved."""
    found = {}
    for node in (submitter, *providers):
        answer = json.loads(net.run("wallet", "balance", "-o", "json", home=node.home).stdout)
        row = next(row for row in answer["assets"] if row["asset"] == "OPENX")
        found[node.name] = (row["wallet"], row["deposited"])
    return found


def _show_summary(outcome: dict[str, Any], took_s: float) -> None:
    job, detail = outcome["detail"]["job"], outcome["detail"]
    table = Table(title="balances in OPENX", title_justify="left")
    for column in ("node", "wallet before", "wallet after", "deposit before", "deposit after"):
        table.add_column(column, justify="left" if column == "node" else "right")
    for who, (wallet, deposit) in outcome["before"].items():
        after_wallet, after_deposit = outcome["after"][who]
        changed = (wallet, deposit) != (after_wallet, after_deposit)
        table.add_row(who, wallet, after_wallet, deposit, after_deposit, style="bold green" if changed else "")
    out.print(table)
    summary = Table(title="summary", title_justify="left", show_header=False)
    rows = (
        ("job", outcome["job_id"]),
        ("ended", f"{job['state']}, exit code {job['exit_code']}"),
        ("ran on", outcome["names"].get(detail["node"], detail["node"])),
        ("ran for", f"{job['running_ns'] / 1e9:.1f} s"),
        ("cost", f"{job['cost']} of at most {job['cost_limit']} {job['asset']}"),
        ("receipts and vouchers", str(detail["receipts"])),
        ("settled on chain", f"{detail['settled']} {job['asset']}"),
        ("words counted", outcome["checked"]["words"]),
        ("index written", outcome["checked"]["index"]),
        ("whole demo", f"{took_s:.0f} s"),
    )
    for name, value in rows:
        summary.add_row(name, value)
    out.print(summary)


def _show_keep(net: Localnet) -> None:
    pids = [str(node.process.pid) for node in net.nodes.values() if node.process]
    pids += [str(net.chain.pid)] if net.chain else []
    stop = net.folder / "stop.sh"
    stop.write_text("#!/bin/sh\nkill " + " ".join(pids) + "\n")
    stop.chmod(0o755)
    home = net.nodes["submitter"].home.folder
    out.print(f"the network is still running. Try:\n  export XNODE_HOME={home} PATH=$PWD/.venv/bin:$PATH")
    out.print("  xnode job ls\n  xnode offer ls")
    out.print(f"stop it with {stop}")


def _step(title: str) -> None:
    out.print()
    out.rule(f"[bold]{title}", align="left")


def _say(text: str) -> None:
    out.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}")


def _pass(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
