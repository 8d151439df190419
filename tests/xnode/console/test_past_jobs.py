"""Jobs that have left the state are found, listed and told of as before, and whoever waits for one is not left waiting."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from metering.units import Hash32
from tests.make.scene import make_scene, open_consoles
from tests.xnode.console.asking import ask
from xnode.console.console import Console
from xnode.errors import ExitCode, UserError
from xnode.node.leaving import put_away
from xnode.node.records import ENDED, SubmitterJob, SubmitterLease
from xnode.node.state import Turn, kind_of
from xnode.store.journal import Batch

ASKED = ("job.show", "job.receipts", "job.evidence", "job.outputs", "job.logs", "job.events", "job.wait", "job.stop")


def let_jobs_go(console: Console) -> None:
    """All that have ended, with their leases."""
    turn = Turn(console.loop.state, make_scene().now_ns, bytes(32))
    for job in tuple(turn.state.all(SubmitterJob)):
        if job.status in ENDED:
            put_away(turn, job)
            for lease in tuple(turn.state.all(SubmitterLease)):
                if lease.job_hash == job.job_hash:
                    put_away(turn, lease)
    console.loop.state = turn.state


@pytest.mark.parametrize("name", ASKED)
async def test_what_is_told_of_a_job_is_the_same_after_it_has_left(name: str, tmp_path: Path) -> None:
    scene = make_scene()
    async with open_consoles(tmp_path) as (submitter, _):
        quiet = dataclasses.replace(submitter, node=dataclasses.replace(submitter.node, chain_problem=lambda: ""))
        for job_hash in (scene.paid, scene.broken, scene.misfit, scene.half):
            before = await ask(quiet, name, job_id=job_hash.hex())
            state = quiet.loop.state
            let_jobs_go(quiet)
            assert quiet.loop.state.get(SubmitterJob, job_hash) is None
            assert await ask(quiet, name, job_id=job_hash.hex()[:12]) == before
            quiet.loop.state = state


async def test_the_list_is_the_same_by_page_state_and_time(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (submitter, _):
        whole = await ask(submitter, "job.list")
        let_jobs_go(submitter)
        again = await ask(submitter, "job.list")
        assert [one.job_id for one in again.rows] == [one.job_id for one in whole.rows]
        assert whole.total == len(whole.rows) == 6
        times = [one.created_at_ns for one in whole.rows]
        assert times == sorted(times, reverse=True)
        pages = [await ask(submitter, "job.list", limit=2, page=page) for page in (1, 2, 3, 4)]
        assert [row.job_id for page in pages for row in page.rows] == [one.job_id for one in whole.rows]
        assert {page.total for page in pages} == {6}
        failed = await ask(submitter, "job.list", states=["failed"])
        assert failed.total == len(failed.rows) > 0 and {one.state for one in failed.rows} == {"failed"}
        recent = await ask(submitter, "job.list", since_ns=times[1])
        assert [one.job_id for one in recent.rows] == [one.job_id for one in whole.rows[:2]]


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 1001}, {"page": 0}, {"states": ["lost"]}, {"since_ns": -1}, {"since_ns": 2**64}]
)
async def test_a_page_that_cannot_be_is_refused(params: dict[str, Any], tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (submitter, provider):
        with pytest.raises(UserError):
            await ask(submitter, "job.list", **params)
        with pytest.raises(UserError):
            await ask(provider, "provider.leases", **params)


@pytest.mark.parametrize("text", ["", "0x", "xyz", "0x" + "f" * 65, "%", "ffffffff"])
async def test_what_is_no_id_is_not_found(text: str, tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (submitter, _):
        with pytest.raises(UserError) as caught:
            await ask(submitter, "job.show", job_id=text)
    assert caught.value.code == ExitCode.NOT_FOUND


async def test_a_beginning_of_two_ids_names_neither(tmp_path: Path) -> None:
    scene = make_scene()
    async with open_consoles(tmp_path) as (submitter, _):
        job = scene.world.job(scene.paid)
        twin = replace(job, job_hash=Hash32(job.job_hash[:8] + bytes(24)))
        await submitter.journal.commit(Batch(records={(kind_of(SubmitterJob), twin.key): (twin, False)}))
        with pytest.raises(UserError, match="2 or more jobs begin with"):
            await ask(submitter, "job.show", job_id=job.job_hash[:8].hex())
        assert (
            await ask(submitter, "job.show", job_id=job.job_hash.hex()[:17])
        ).job.job_id == f"0x{job.job_hash.hex()}"


async def test_who_waits_for_a_job_hears_of_its_end_also_when_it_leaves_in_that_moment(tmp_path: Path) -> None:
    scene = make_scene()
    async with open_consoles(tmp_path) as (submitter, _):
        job = scene.world.job(scene.running)
        ended = replace(job, status="done", end_reason="completed")
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                found: list[Any] = []

                async def wait() -> None:
                    found.append(await ask(submitter, "job.wait", job_id=job.job_hash.hex()))

                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                await submitter.journal.commit(Batch(records={(kind_of(SubmitterJob), ended.key): (ended, False)}))
                submitter.loop.state = submitter.loop.state.drop(job)
                submitter.loop._changed.set()
    assert [one.job.state for one in found] == ["done"]


async def test_a_wait_ends_when_its_time_is_over_and_says_how_the_job_is(tmp_path: Path) -> None:
    scene = make_scene()
    async with open_consoles(tmp_path) as (submitter, _):
        with trio.fail_after(20):
            detail = await ask(submitter, "job.wait", job_id=scene.running.hex(), within_ns=1)
    assert (detail.job.state, detail.job.ended_at_ns) == ("running", None)
