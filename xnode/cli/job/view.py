"""Job view: how jobs, their plans, timelines and receipts look on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from xnode.cli.terminal.brief import (
    brief_address,
    brief_age,
    brief_clock,
    brief_command,
    brief_count,
    brief_date,
    brief_duration,
    brief_hosting,
    brief_id,
    brief_money,
    brief_size,
    brief_text,
)
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.control.views import Candidate, JobDetail, JobRow, OutputRow, PlanView, ReceiptRow, TimelineEntry

MAX_SHOWN_CANDIDATES = 10
"""What a person reads before choosing; -o json has them all."""

MAX_REASON_CHARS = 40
"""Of a reason's first words in the list of jobs; `job show` has it whole."""

MAX_SHOWN_RECEIPTS = 50
"""What a person reads of the receipts of a lease, of which there may be ten thousands."""

_JOBS = (
    Column("job"),
    Column("name", fold=True),
    Column("state"),
    Column("ran", right=True),
    Column("cost", right=True),
    Column("asset", optional=True),
    Column("made", right=True),
    Column("exit", right=True, optional=True),
    Column("reason", fold=True, optional=True),
)
_CANDIDATES = (
    Column("#", right=True),
    Column("provider"),
    Column("region", fold=True),
    Column("hardware", fold=True),
    Column("per hour", right=True),
    Column("at most", right=True),
    Column("because of", fold=True),
    Column("notes", fold=True, optional=True),
)
_SHORTFALLS = (
    Column("offers", right=True),
    Column("cannot run it because", fold=True),
    Column("closest offer", fold=True),
)
_RECEIPTS = (
    Column("#", right=True),
    Column("at"),
    Column("ran", right=True),
    Column("cost", right=True),
    Column("paid for"),
)
_OUTPUTS = (Column("output", fold=True), Column("size", right=True), Column("sha256"))
_LEFT_OUT = (Column("left out", fold=True), Column("because", fold=True))

MAX_SAID = 5
"""Of what was left out, how many are named when a job ends; `job show` names them all."""


def draw_jobs(screen: Screen, answer: Any) -> None:
    """Print rows of job.list, newest first."""
    rows = msgspec.convert(answer, list[JobRow])
    if not rows:
        say("no jobs yet; `xnode job init` writes one to start from")
        return
    rows.sort(key=lambda row: row.created_at_ns, reverse=True)
    asset = common_asset(row.asset for row in rows)
    cells = (_make_job_cells(row, bool(asset)) for row in rows)
    screen.table(_JOBS, cells, f"jobs, newest first{f'; costs in {asset}' if asset else ''}")


def draw_job(screen: Screen, answer: Any) -> None:
    """Print a job.show answer."""
    detail = msgspec.convert(answer, JobDetail)
    job = detail.job
    screen.record(
        (
            ("job", job.job_id),
            ("name", job.name),
            ("state", job.state + (f" (exit code {job.exit_code})" if job.exit_code is not None else "")),
            ("reason", job.reason),
            ("image", detail.image),
            ("command", brief_command(detail.command)),
            ("resources", brief_hosting(detail.resources)),
            ("provider", " in ".join(filter(None, (job.provider, detail.region)))),
            ("lease", detail.lease_id),
            ("price", f"{brief_money(detail.hour_price, job.asset)} per hour" if detail.hour_price else ""),
            ("promise", detail.promise),
            ("ran", brief_duration(job.running_ns) if job.running_ns else ""),
            ("cost", _describe_cost(detail)),
            ("owed back", f"{brief_money(detail.refund, job.asset)} by its promise" if float(detail.refund) else ""),
            ("made", brief_date(job.created_at_ns)),
            ("ended", brief_date(job.ended_at_ns or 0)),
            ("outputs", _describe_outputs(detail)),
            ("log", f"{brief_size(detail.log_lost)} of its middle were not kept" if detail.log_lost else ""),
        )
    )
    if detail.outputs:
        screen.gap()
        draw_outputs(screen, detail.outputs)
        if detail.entries > len(detail.outputs):
            say(f"and {detail.entries - len(detail.outputs):,} more; `xnode job cp` copies them all")
    if detail.left_out:
        screen.gap()
        screen.table(_LEFT_OUT, ((row.path, row.reason) for row in detail.left_out))
        if detail.left_out_count > len(detail.left_out):
            say(f"and {detail.left_out_count - len(detail.left_out):,} more")
    if detail.timeline:
        screen.gap()
        draw_timeline(screen, detail.timeline)


def draw_timeline(screen: Screen, entries: tuple[TimelineEntry, ...]) -> None:
    """Print what happened, and how long after the beginning."""
    begin = entries[0].at_ns
    columns = (Column("at"), Column("after", right=True), Column("what"), Column("", fold=True))
    cells = (
        (brief_clock(entry.at_ns), brief_duration(max(0, entry.at_ns - begin)), entry.what, brief_text(entry.detail))
        for entry in entries
    )
    screen.table(columns, cells)


def draw_outputs(screen: Screen, rows: tuple[OutputRow, ...]) -> None:
    """Print the files a job left."""
    screen.table(_OUTPUTS, (_make_output_cells(row) for row in rows))


def describe_left(detail: JobDetail) -> list[str]:
    """Lines on what a job left when it ends: what is here and where, what was left out, what did not come."""
    if not (detail.entries or detail.left_out_count or detail.missing or detail.fault):
        return []
    lines = [_describe_outputs(detail)]
    lines += [f"left out: {row.path}: {row.reason}" for row in detail.left_out[:MAX_SAID]]
    if detail.left_out_count > len(detail.left_out[:MAX_SAID]):
        lines.append(f"see `xnode job show {detail.job.job_id[:10]}` for all that was left out")
    if detail.missing or detail.fault:
        lines.append(f"hint: `xnode job cp {detail.job.job_id[:10]} FOLDER` fetches and copies what is not here")
    return lines


def _describe_outputs(detail: JobDetail) -> str:
    if not (detail.entries or detail.left_out_count or detail.missing or detail.fault):
        return ""
    text = f"{brief_count(detail.entries, 'output')}, {brief_size(detail.size_bytes)}"
    text += _describe_place(detail) if detail.folder else ""
    text += f", {detail.left_out_count:,} left out" if detail.left_out_count else ""
    text += f", {detail.missing:,} not fetched" if detail.missing else ""
    return text + (f": {brief_text(detail.fault)}" if detail.fault else "")


def _describe_place(detail: JobDetail) -> str:
    if detail.placed is None or detail.placed >= detail.entries:
        return f" in {detail.folder}/"
    if detail.placed == 0:
        return f", none of them put into {detail.folder}/"
    return f", {detail.placed:,} of them in {detail.folder}/"


def _make_output_cells(row: OutputRow) -> tuple[object, ...]:
    if row.kind == "file":
        return row.path, brief_size(row.size), row.sha256.removeprefix("0x")[:16]
    return f"{row.path} -> {row.target}" if row.kind == "link" else f"{row.path}/", "", ""


def draw_receipts(screen: Screen, answer: Any) -> None:
    """Print a job.receipts answer."""
    rows = msgspec.convert(answer, list[ReceiptRow])
    if not rows:
        say("no receipts yet")
        return
    if len(rows) > MAX_SHOWN_RECEIPTS:
        say(f"the last {MAX_SHOWN_RECEIPTS} of {len(rows):,} receipts; -o json has them all")
    cells = (_make_receipt_cells(row) for row in rows[-MAX_SHOWN_RECEIPTS:])
    screen.table(_RECEIPTS, cells, f"receipts of lease {brief_id(rows[0].lease_id)}, costs in {rows[0].asset}")


def draw_plan(screen: Screen, plan: PlanView) -> None:
    """Print who could run the job for how much and why, or every reason why no offer can."""
    can = len(plan.candidates)
    title = f"{plan.name}: {can} of {plan.offers} offers can run it, paid in {plan.asset}"
    if can:
        rows = enumerate(plan.candidates[:MAX_SHOWN_CANDIDATES], start=1)
        screen.table(_CANDIDATES, (_make_candidate_cells(number, row) for number, row in rows), title)
    else:
        say(f"{plan.name}: none of {plan.offers} offers can run it")
    if plan.shortfalls:
        screen.gap()
        screen.table(_SHORTFALLS, ((fall.offers, fall.detail, fall.nearest) for fall in plan.shortfalls))


def describe_price(plan: PlanView) -> str:
    """The one line to agree to: the most it can cost, and what it is paid from."""
    worst = max(plan.candidates, key=lambda candidate: float(candidate.cost_limit))
    most = brief_money(worst.cost_limit, plan.asset)
    funds = (
        "what is deposited is not known"
        if plan.funds is None
        else f"{brief_money(plan.funds, plan.asset)} deposited and free"
    )
    return f"it costs at most {most}; {funds}"


def brief_notes(promise: str, latency_ms: float | None, *others: str) -> str:
    """What a table says of a provider in a few words each: "2 ms · trust 69%"."""
    rtt = f"{latency_ms:.0f} ms" if latency_ms is not None else ""
    return " · ".join(filter(None, (rtt, *others, promise)))


def common_asset(assets: Iterable[str]) -> str:
    """The one asset of all rows, which a title can say once; "" when there are several."""
    found = set(assets)
    return found.pop() if len(found) == 1 else ""


def _make_job_cells(row: JobRow, one_asset: bool) -> tuple[object, ...]:
    return (
        brief_id(row.job_id),
        row.name,
        row.state,
        brief_duration(row.running_ns) if row.running_ns else "",
        brief_money(row.cost),
        "" if one_asset else row.asset,
        brief_age(row.created_at_ns),
        row.exit_code or "",
        "" if row.state == "done" else _cut(brief_text(row.reason.partition(":")[0])),
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"


def _make_candidate_cells(number: int, row: Candidate) -> tuple[object, ...]:
    return (
        number,
        brief_address(row.provider),
        row.region,
        row.hardware,
        brief_money(row.hour_price),
        brief_money(row.cost_limit),
        ", ".join(part for part in row.why.split(", ") if "under" not in part),
        brief_notes(row.promise, row.latency_ms, "has the image" if row.has_image else ""),
    )


def _make_receipt_cells(row: ReceiptRow) -> tuple[object, ...]:
    return (
        f"{row.number}{' final' if row.final else ''}",
        brief_date(row.at_ns),
        brief_duration(row.running_ns),
        brief_money(row.cost),
        "yes" if row.vouchered else "not yet",
    )


def _describe_cost(detail: JobDetail) -> str:
    job = detail.job
    text = brief_money(job.cost, job.asset)
    if float(job.cost_limit):
        text += f" of at most {brief_money(job.cost_limit)}"
    if float(detail.vouchered):
        text += f"; {brief_money(detail.vouchered)} signed for, on {detail.receipts} receipts"
    return text + (f"; {brief_money(detail.settled)} settled" if float(detail.settled) else "")
