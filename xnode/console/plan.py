"""Control methods that place a job: a plan that signs nothing, and the submission."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import trio

from metering.units import NANOS_PER_SECOND, ZERO, Address, Amount
from scheduler.book import Shortfall
from scheduler.feasible import CHECKS, cost_limit_of
from scheduler.job import Job
from scheduler.outputs import MAX_ENTRIES, limit_of
from xnode.console.console import Console
from xnode.console.disk import require_room
from xnode.console.job_maker import JobText
from xnode.console.method import control_method
from xnode.console.present import brief_hex
from xnode.control import views
from xnode.delivery import find_target_problem
from xnode.errors import Permanent, Retryable, UserError
from xnode.node import changes
from xnode.node.records import SubmitterSettings
from xnode.runtime.oci_layout import FoundImage
from xnode.text.hex import to_hex

_MEANINGS = {check.code: check.meaning for check in CHECKS}

HOUR_NS = 3600 * NANOS_PER_SECOND


@control_method("job.plan")
async def plan(console: Console, params: JobText) -> views.PlanView:
    """What a submission would find now; nothing is signed, nothing is kept."""
    job, image = await console.jobs.make_for_plan(params)
    found = await console.market.search.search(job, ())
    settings = console.loop.state.settings.submitter
    payer = settings.payer if settings else None
    funds, cap = await _read_funds(console, payer, job)
    problem = await _find_target_problem(params.find_target()[0])
    now_ns = console.clock.now_ns()
    return views.PlanView(
        name=job.name,
        image=_describe_image(image),
        image_size=image.image.size_bytes,
        asset=console.presenter.symbol(job.asset),
        offers=found.seen,
        candidates=tuple(
            console.presenter.candidate(one, cost_limit_of(job, one.offer.offer.body.tariff), job, now_ns)
            for one in found.ranked
        ),
        shortfalls=tuple(_describe_shortfall(console, one) for one in found.shortfalls),
        payer=to_hex(payer) if payer else "",
        funds=None if funds is None else console.presenter.money(funds, job.asset),
        budget=console.presenter.money(job.budget, job.asset),
        outputs=describe_rules(job, *params.find_target()),
        warnings=(
            *((f"outputs: {problem}",) if problem else ()),
            *_warn_of_prepay(job, settings),
            *_make_warnings(
                funds, cap, payer, [cost_limit_of(job, one.offer.offer.body.tariff) for one in found.ranked]
            ),
        ),
    )


@control_method("job.submit")
async def submit(console: Console, params: JobText) -> views.JobId:
    """Take a job in; durable when this answers."""
    await require_room(console)
    with console.jobs.images.busy():
        into, only = params.find_target()
        # Before anything is hashed or paid: what the work leaves must have a place.
        problem = await _find_target_problem(into)
        if problem:
            raise UserError(problem, where="outputs", hint="name another folder in the job file, or with --out")
        job = await console.jobs.make(params)
        reply = await console.ask(lambda to: changes.JobSubmitted(to, job, into, only))
    return views.JobId(to_hex(reply))


async def _find_target_problem(into: str) -> str:
    return await trio.to_thread.run_sync(find_target_problem, Path(into)) if into else ""


def describe_rules(job: Job, into: str, only: tuple[str, ...]) -> str:
    """What will be taken of what the workload leaves, and where it is put: scheduler.outputs in one line."""
    which = f"those that match {', '.join(only)}" if only else "all"
    where = f"put into {into}" if into else "kept for `xnode job cp`"
    return (
        f"files, empty folders and links of /work/out, {which}, {where}; at most {MAX_ENTRIES:,} and "
        f"{limit_of(job.resources.disk_bytes):,} bytes; pipes, sockets, devices and links that lead outside are left out"
    )


def _describe_image(found: FoundImage) -> str:
    """Which image the job would run, "" when only a registry knows."""
    return found.platform + (f", also for {', '.join(found.others)}" if found.others else "")


async def _read_funds(console: Console, payer: Address | None, job: Job) -> tuple[Amount | None, Amount]:
    """(what is free of the deposit, None when the chain cannot be asked; what this node may reserve of it)."""
    if payer is None:
        return ZERO, ZERO
    try:
        free = await console.chain.free_balance(payer, job.asset)
        return free, await console.chain.opener_cap(payer, console.loop.state.settings.node, job.asset)
    except (Retryable, Permanent):
        return None, ZERO


def _warn_of_prepay(job: Job, settings: SubmitterSettings | None) -> tuple[str, ...]:
    if settings is None or job.prepay_ns <= settings.max_prepay_ns:
        return ()
    asked, most = (f"{each / HOUR_NS:g} h" for each in (job.prepay_ns, settings.max_prepay_ns))
    return (f"prepay of {asked} is more than the {most} of submitter.max_prepay: it will be refused",)


def _make_warnings(
    funds: Amount | None, cap: Amount, payer: Address | None, costs: Sequence[Amount]
) -> tuple[str, ...]:
    """costs: the most that the job may cost at each provider that can run it."""
    if payer is None:
        return ("this node has no payer; set submitter.payer in its config",)
    if funds is None:
        return ("the chain cannot be asked what is deposited; see `xnode doctor`",)
    if not funds:
        return (f"nothing is deposited for {to_hex(payer)}; run `xnode pay deposit` first",)
    if costs and funds < min(costs):
        return ("the job may cost more than is deposited and free; run `xnode pay deposit` first",)
    if costs and cap < min(costs):
        return ("the job may cost more than this node may use of the deposit; run `xnode pay approve` first",)
    return ()


def _describe_shortfall(console: Console, shortfall: Shortfall) -> views.Shortfall:
    signed = console.market.book.offers.get(shortfall.nodes[0])
    nearest = shortfall.nearest
    if signed is not None:
        nearest = f"{brief_hex(signed.offer.provider)}: {console.presenter.words(nearest)}"
    return views.Shortfall(
        check=shortfall.code,
        offers=shortfall.count,
        detail=_MEANINGS.get(shortfall.code, shortfall.code),
        nearest=nearest,
        only=shortfall.only,
    )
