"""`xnode job`: what a submitter does: from a job file to its results and receipts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.terminal.given import GivenPath, Seconds
from xnode.cli.terminal.paging import Wanted, page_options, show_pages
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, UserError

DEFAULT_FILE = Path("job.yaml")

STOP_DEADLINE_S = 120.0
"""The provider must be reached, and may be away for a moment."""

MAX_WAIT_S = 1e9
"""Of `job wait`: thirty years."""

ANSWER_S = 30.0
"""How long after the time that it was given for waiting a daemon may take to say how the job is."""

_CODES = {
    "escrow_too_small": ExitCode.FUNDS,
    "no_match": ExitCode.NO_MATCH,
    "no_quote": ExitCode.NO_MATCH,
    "no_provider": ExitCode.NO_MATCH,
    "deadline": ExitCode.UNREACHABLE,
    "receipt_refused": ExitCode.REFUSED,
    "half_fetched": ExitCode.PARTIAL,
}
"""Exit codes of jobs that did not end well, by the reason; any other has FAILED."""

_file_argument = click.argument("file", type=GivenPath(path_type=Path), default=DEFAULT_FILE)
_job_argument = click.argument("job_id", metavar="JOB")


@click.group(cls=LazyGroup)
def job() -> None:
    """Buy compute. JOB is a job's id or any beginning of it."""


@job.command("init")
@click.argument("file", type=GivenPath(path_type=Path), default=DEFAULT_FILE)
@click.option("--image", help="The image to run.  [default: one that this node keeps, or ./image beside FILE]")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@pass_app
def init(app: App, file: Path, image: str | None, force: bool) -> None:
    """Write a job file to start from.

    Without FILE it is job.yaml.
    """
    from xnode.cli.job.first import write_first

    write_first(app.control, file, image, force)


@job.command("validate")
@_file_argument
@output_option
def validate(file: Path, screen: Screen) -> None:
    """Check a job file and the files it names, offline.

    Without FILE it is job.yaml.
    """
    from xnode.cli.job.file import describe_job, read_job

    answer = describe_job(read_job(file))
    screen.show(answer, lambda: screen.record((name.replace("_", " "), value) for name, value in answer.items()))


@job.command("plan")
@_file_argument
@output_option
@pass_app
def plan(app: App, file: Path, screen: Screen) -> None:
    """Show who could run it, for how much and why; signs nothing.

    Without FILE the job is job.yaml.
    """
    import msgspec

    from xnode.cli.job.file import read_job
    from xnode.cli.job.submit import draw_answer, wait_plan
    from xnode.cli.node.launch import ensure_daemon
    from xnode.control.views import PlanView

    read = read_job(file)
    answer = wait_plan(ensure_daemon(app.home), read)
    screen.show(answer, lambda: draw_answer(screen, msgspec.convert(answer, PlanView)))
    if not answer["candidates"]:
        raise click.exceptions.Exit(int(ExitCode.NO_MATCH))


@job.command("submit")
@_file_argument
@click.option("-f", "--follow", is_flag=True, help="Show timeline and log live, until the outputs are here.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask; the job's own budget and bid are the limit.")
@click.option("--out", type=GivenPath(path_type=Path), help="Put outputs here.  [default: the job file's]")
@output_option
@pass_app
def submit(app: App, file: Path, follow: bool, yes: bool, out: Path | None, screen: Screen) -> None:
    """Place a job: show price and reasons, ask, sign.

    Without FILE the job is job.yaml. The daemon puts the outputs where the job file or --out says, also when nobody follows.
    """
    from xnode.cli.job.submit import place_job, wait_placed

    job_id = place_job(app.home, file, yes, out)
    if follow:
        say(f"job {job_id}")
        _follow_to_end(app, job_id, screen)
        return
    screen.show({"job_id": job_id}, lambda: print(job_id))
    sys.stdout.flush()
    answer = wait_placed(app.control, job_id)
    if answer["job"]["state"] in ("failed", "stopped"):
        say(f"{answer['job']['name']}: {answer['job']['state']} ({answer['job']['reason']})")
        _exit_like(answer)


@job.command("ls")
@page_options
@output_option
@pass_app
def ls(app: App, wanted: Wanted, screen: Screen) -> None:
    """List jobs, newest first: the last ones, or those asked for."""
    from xnode.cli.job.view import draw_jobs

    show_pages(app.control, "job.list", wanted, "job_id", screen, lambda rows: draw_jobs(screen, rows))


@job.command("show")
@_job_argument
@output_option
@pass_app
def show(app: App, job_id: str, screen: Screen) -> None:
    """Show everything about one job, with its timeline."""
    _show(screen, app.control.call("job.show", {"job_id": job_id}))


@job.command("logs")
@_job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the workload ends.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Start at this byte.")
@pass_app
def logs(app: App, job_id: str, follow: bool, offset: int) -> None:
    """Show what the workload printed."""
    from xnode.cli.job.follow import print_log

    print_log(app.control, job_id, offset, follow)


@job.command("cp")
@_job_argument
@click.argument("folder", type=GivenPath(path_type=Path), default=Path())
@click.option("--only", multiple=True, metavar="PATTERN", help="Only outputs whose path matches; may be repeated.")
@click.option("--force", is_flag=True, help="Overwrite files that are different.")
@output_option
@pass_app
def cp(app: App, job_id: str, folder: Path, only: tuple[str, ...], force: bool, screen: Screen) -> None:
    """Copy a job's outputs into FOLDER, fetching what is not here.

    Without FOLDER they are copied into the current folder. Every file is checked by its hash.
    """
    from scheduler.outputs import show_path
    from xnode.cli.job.outputs import copy_outputs, fetch_outputs
    from xnode.cli.terminal.brief import brief_count

    step = fetch_outputs(app.control, job_id, only)
    copied, faults = copy_outputs(step, folder, only, force)
    if only and not (copied or faults or step.missing):
        hint = f"`xnode job show {job_id}` lists them; put a pattern in quotes"
        raise UserError(f"no output matches {' or '.join(only)}", where=job_id, hint=hint, code=ExitCode.NOT_FOUND)
    screen.show(copied, lambda: screen.paths(copied))
    sys.stdout.flush()
    if step.left_out:
        say(f"{step.left_out} left out by their kind, name or size: see `xnode job show {job_id}`")
    for fault in faults:
        say(f"{show_path(fault.path)}: {fault.reason}")
    if step.missing:
        say(f"{brief_count(step.missing, 'output')} could not be fetched: {step.fault}")
    if faults or step.missing:
        raise click.exceptions.Exit(int(ExitCode.PARTIAL))


@job.command("stop")
@_job_argument
@output_option
@pass_app
def stop(app: App, job_id: str, screen: Screen) -> None:
    """Stop a job; what it used is paid, the rest comes back."""
    answer = app.control.call("job.stop", {"job_id": job_id}, deadline_s=STOP_DEADLINE_S)
    _show(screen, answer)
    if answer["job"]["ended_at_ns"] is None:
        say(f"asked to stop; `xnode job wait {job_id}` returns when it has")


@job.command("wait")
@_job_argument
@click.option("--timeout", "timeout_s", type=Seconds(0.1), help="Seconds.  [default: no limit]")
@output_option
@pass_app
def wait(app: App, job_id: str, timeout_s: float | None, screen: Screen) -> None:
    """Wait until a job has ended; the exit code tells how."""
    params: dict[str, Any] = {"job_id": job_id}
    if timeout_s is not None:
        params["within_ns"] = max(1, round(timeout_s * 1e9))
    answer = app.control.call("job.wait", params, deadline_s=timeout_s and timeout_s + ANSWER_S)
    _show(screen, answer)
    if answer["job"]["ended_at_ns"] is None:
        raise UserError(
            f"the job is still {answer['job']['state']} after {timeout_s:g} s, and goes on",
            where=job_id,
            hint=f"`xnode job wait {job_id[:10]}` waits on",
            code=ExitCode.TIMEOUT,
        )
    _exit_like(answer)


@job.command("receipts")
@_job_argument
@click.option(
    "--export",
    type=GivenPath(path_type=Path, file_okay=False),
    help="Write them into this folder, with terms and vouchers, for `xnode audit`.",
)
@output_option
@pass_app
def receipts(app: App, job_id: str, export: Path | None, screen: Screen) -> None:
    """Show the provider's signed receipts, or export all evidence."""
    from xnode.cli.evidence.files import export_evidence
    from xnode.cli.job.view import draw_receipts

    if export:
        export_evidence(app.control.stream("job.evidence", {"job_id": job_id}), export, screen)
        return
    answer = app.control.call("job.receipts", {"job_id": job_id})
    screen.show(answer, lambda: draw_receipts(screen, answer))


def _show(screen: Screen, answer: Any) -> None:
    from xnode.cli.job.view import draw_job

    screen.show(answer, lambda: draw_job(screen, answer))


def _follow_to_end(app: App, job_id: str, screen: Screen) -> None:
    import msgspec

    from xnode.cli.job.follow import follow_job
    from xnode.cli.job.submit import describe_end
    from xnode.cli.job.view import describe_left
    from xnode.control.views import JobDetail

    try:
        follow_job(app.control, job_id)
        answer = app.control.call("job.wait", {"job_id": job_id}, deadline_s=None)
    except KeyboardInterrupt:
        say(f"the job goes on without this terminal: xnode job logs -f {job_id[:10]}, or xnode job stop {job_id[:10]}")
        raise
    detail = msgspec.convert(answer, JobDetail)
    for line in describe_left(detail):
        say(line)
    say(describe_end(detail))
    screen.show(answer, lambda: None)
    _exit_like(answer)


def _exit_like(answer: dict[str, Any]) -> None:
    """End with success only when the job is done; else with what was missing."""
    sys.stdout.flush()
    if answer["job"]["state"] != "done":
        reason = str(answer["job"].get("reason", "")).partition(":")[0]
        raise click.exceptions.Exit(int(_CODES.get(reason, ExitCode.FAILED)))
