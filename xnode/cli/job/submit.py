"""Submit: from a job file to a signed job: plan, show, ask, place."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from xnode.cli.job.file import ReadJob, read_job
from xnode.cli.job.view import describe_price, draw_plan
from xnode.cli.node.launch import ensure_daemon
from xnode.cli.terminal.brief import brief_duration, brief_money, brief_size
from xnode.cli.terminal.screen import Screen, say
from xnode.cli.terminal.working import call_working
from xnode.control.client import Control
from xnode.control.views import JobDetail, PlanView
from xnode.errors import ExitCode, UserError
from xnode.home import Home

OFFERS_DEADLINE_S = 10.0
"""How long a node that has just started looks for its first offers before we say that there are none."""

NO_OFFERS_HINT = "`xnode daemon status` shows whether there are any peers; bootstrap in [node] names one to start from"

_LOOK_EVERY_S = 0.25

PLACE_DEADLINE_S = 60.0
"""How long a submission waits for a provider before it leaves the job to itself."""

_UNPLACED = ("searching", "quoting", "leasing")


def place_job(home: Home, file: Path, yes: bool, out: Path | None) -> str:
    """Show the plan, ask unless `yes`, and submit; the job's id. out: for the outputs, in place of what the file says."""
    read = read_job(file)
    control = ensure_daemon(home)
    if not yes:
        _confirm(control, read)
    job_id = call_working(control, "job.submit", read.request(out))["job_id"]
    return str(job_id)


def wait_placed(control: Control, job_id: str) -> dict[str, Any]:
    """The job.show answer once a provider has taken the job, or it has ended, or that takes longer than anyone waits."""
    end = time.monotonic() + PLACE_DEADLINE_S
    while True:
        answer: dict[str, Any] = control.call("job.show", {"job_id": job_id})
        if answer["job"]["state"] not in _UNPLACED:
            return answer
        if time.monotonic() > end:
            say(f"no provider has taken it yet; xnode job wait {job_id[:10]} says how it goes on")
            return answer
        time.sleep(_LOOK_EVERY_S)


def wait_plan(control: Control, read: ReadJob) -> Any:
    """The job.plan answer, asked again for a while as long as no offer at all is known."""
    request = read.request()
    end = time.monotonic() + OFFERS_DEADLINE_S
    answer = call_working(control, "job.plan", request)
    if not answer["offers"]:
        say("looking for offers ...")
    while not answer["offers"] and time.monotonic() < end:
        time.sleep(_LOOK_EVERY_S)
        answer = control.call("job.plan", request)
    return answer


def draw_answer(screen: Screen, plan: PlanView) -> None:
    """Print a plan with the price to agree to."""
    draw_plan(screen, plan)
    if plan.image:
        say(f"image {plan.image}" + (f", {brief_size(plan.image_size)}" if plan.image_size else ""))
    if plan.candidates:
        say(describe_price(plan))
    if plan.outputs:
        say(f"outputs: {plan.outputs}")
    if not plan.offers:
        say(f"hint: {NO_OFFERS_HINT}")
    for warning in plan.warnings:
        say(f"warning: {warning}")


def describe_end(detail: JobDetail) -> str:
    """One line: how it ended, how long it ran, what it cost."""
    job = detail.job
    ended = f"exit code {job.exit_code}" if job.exit_code is not None else job.state
    reason = f" ({job.reason})" if job.reason else ""
    return f"{job.name}: {ended}{reason}, ran {brief_duration(job.running_ns)}, cost {brief_money(job.cost, job.asset)}"


def _confirm(control: Control, read: ReadJob) -> None:
    plan = msgspec.convert(wait_plan(control, read), PlanView)
    draw_answer(Screen("table", to_stderr=True), plan)
    if not plan.candidates:
        hint = "see above what to relax" if plan.offers else ""
        raise UserError("no offer fits", where=str(read.path), hint=hint, code=ExitCode.NO_MATCH)
    if not sys.stdin.isatty():
        raise UserError(
            "not a terminal: the price needs an answer", where=str(read.path), hint="pass --yes to accept it"
        )
    if not click.confirm("place it?", default=True, err=True):
        raise UserError("not placed, and nothing is signed", where=str(read.path), code=ExitCode.REFUSED)
