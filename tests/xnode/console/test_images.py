"""Images that this node keeps: taken in once, found by name, removed when nobody needs them; and the inputs of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from scheduler.job import Job
from tests.make import images
from tests.make.images import LayoutMaker
from tests.make.scene import open_consoles
from tests.xnode.console.asking import ask
from xnode.console.console import Console
from xnode.console.job_maker import MAX_ALONE, JobText
from xnode.errors import ExitCode, Permanent, UserError
from xnode.node.needed import list_live_jobs
from xnode.runtime.lease.inputs import link_inputs

DIGEST = "sha256:" + "ab" * 32


def job_text(folder: Path, image: str, more: str = "") -> dict[str, str]:
    """The params of job.plan and job.submit."""
    return {"job": f"image: {image}\ntime_limit: 1m\nbudget: 1 OPENX\n{more}", "base_dir": str(folder)}


async def make(console: Console, folder: Path, image: str, more: str = "") -> Job:
    return await console.jobs.make(msgspec.convert(job_text(folder, image, more), JobText))


def blob_names(console: Console) -> set[str]:
    """Every file in the node's blob store."""
    folder = console.jobs.blobs.path(b"\0" * 32).parent  # type: ignore[arg-type]
    return {path.name for path in folder.iterdir()}


async def test_an_archive_is_kept_by_its_name_and_a_job_finds_it(tmp_path: Path) -> None:
    (tmp_path / "greeter.tar").write_bytes(images.make_kaniko_archive())
    async with open_consoles(tmp_path / "nodes") as (console, _):
        row = await ask(console, "image.import", path=str(tmp_path / "greeter.tar"), name="greeter")
        (tmp_path / "greeter.tar").unlink()
        jobs = [await make(console, tmp_path, name) for name in ("greeter", row.digest)]
        assert [job.image.digest for job in jobs] == [row.digest] * 2
        assert jobs[0].image.architecture == "amd64" and all(map(console.jobs.blobs.has, jobs[0].image.blobs))
        (listed,) = await ask(console, "image.list")
        assert (listed.names, listed.platform, listed.size) == (("greeter",), "linux/amd64", jobs[0].image.size_bytes)


@pytest.mark.parametrize("form", ["oci-archive:./it.tar", "docker-archive:./it.tar", "./it.tar", "it.tar"])
async def test_a_job_names_an_archive_as_other_tools_do(tmp_path: Path, form: str) -> None:
    (tmp_path / "it.tar").write_bytes(images.make_new_docker_archive())
    async with open_consoles(tmp_path / "nodes") as (console, _):
        job = await make(console, tmp_path, form)
        assert all(map(console.jobs.blobs.has, job.image.blobs))


async def test_an_unchanged_archive_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "it.tar").write_bytes(images.make_oci_archive())
    async with open_consoles(tmp_path / "nodes") as (console, _):
        first = await make(console, tmp_path, "./it.tar")
        stamped = console.jobs.images.images.all()[0].stamp
        await ask(console, "job.plan", **job_text(tmp_path, "./it.tar"))
        assert console.jobs.images.images.all()[0].stamp == stamped
        (tmp_path / "it.tar").write_bytes(images.make_oci_archive("something new"))
        assert (await make(console, tmp_path, "./it.tar")).image.digest != first.image.digest


async def test_many_who_take_one_archive_in_take_it_in_once(tmp_path: Path) -> None:
    (tmp_path / "it.tar").write_bytes(images.make_oci_archive())
    found: list[str] = []

    async def submit(console: Console) -> None:
        found.append((await make(console, tmp_path, "./it.tar")).image.digest)

    async with open_consoles(tmp_path / "nodes") as (console, _):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(submit, console)
        assert len(found) == 10 and len(set(found)) == 1 and len(console.jobs.images.images.all()) == 1


async def test_what_an_archive_holds_beside_the_image_is_not_kept(tmp_path: Path) -> None:
    maker = LayoutMaker()
    entries = [maker.image("arm64", platform=images.platform("arm64")), maker.image(platform=images.platform("amd64"))]
    (tmp_path / "it.tar").write_bytes(images.write_tar(maker.files(entries)))
    async with open_consoles(tmp_path / "nodes") as (console, _):
        before = blob_names(console)
        job = await make(console, tmp_path, "./it.tar")
        assert blob_names(console) - before == {blob.sha256.hex() for blob in job.image.blobs}
        other = await make(console, tmp_path, "./it.tar", "platform: linux/arm64\n")
        assert (job.image.architecture, other.image.architecture) == ("amd64", "arm64")


async def test_an_archive_that_is_none_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "it.tar").write_bytes(images.write_tar([("a", b"b"), ("c", b"d" * 5000)]))
    async with open_consoles(tmp_path / "nodes") as (console, _):
        before = blob_names(console)
        with pytest.raises(Permanent, match="neither index"):
            await ask(console, "image.import", path=str(tmp_path / "it.tar"))
        assert blob_names(console) == before and await ask(console, "image.list") == []


async def test_what_a_failed_import_leaves_stays_until_nobody_takes_anything_in(tmp_path: Path) -> None:
    """It may be what another import has just found, or written itself."""
    whole = LayoutMaker()
    entry = whole.image()
    (tmp_path / "half.tar").write_bytes(images.write_tar(whole.files([entry])[:-1]))
    (tmp_path / "whole.tar").write_bytes(images.write_tar(whole.files([entry])))
    async with open_consoles(tmp_path / "nodes") as (console, _):
        before = blob_names(console)
        with console.jobs.images.busy():
            with pytest.raises(Permanent, match="neither index"):
                await make(console, tmp_path, "./half.tar")
            assert blob_names(console) > before
            job = await make(console, tmp_path, "./whole.tar")
        assert blob_names(console) - before == {blob.sha256.hex() for blob in job.image.blobs}


async def test_an_image_is_removed_with_what_only_it_needs(tmp_path: Path) -> None:
    for name, text in (("one", "same"), ("two", "same"), ("three", "other")):
        maker = LayoutMaker()
        maker.put(name.encode(), "text/plain")
        (tmp_path / f"{name}.tar").write_bytes(images.write_tar(maker.files([maker.image(text=text)])))
    async with open_consoles(tmp_path / "nodes") as (console, _):
        before = blob_names(console)
        for name in ("one", "two", "three"):
            await ask(console, "image.import", path=str(tmp_path / f"{name}.tar"), name=name)
        assert {names for row in await ask(console, "image.list") for names in row.names} == {"one", "two", "three"}
        await ask(console, "image.remove", image="one")
        await ask(console, "image.remove", image="three")
        assert blob_names(console) == before
        with pytest.raises(UserError, match="no image one is kept here"):
            await make(console, tmp_path, "one")


async def test_an_image_that_a_live_job_needs_stays(tmp_path: Path) -> None:
    (tmp_path / "it.tar").write_bytes(images.make_oci_archive())
    async with open_consoles(tmp_path / "nodes") as (console, _):
        await ask(console, "image.import", path=str(tmp_path / "it.tar"), name="needed")
        placed = await ask(console, "job.submit", **job_text(tmp_path, "needed"))
        assert placed.job_id[2:] in {job.job_hash.hex() for job in list_live_jobs(console.loop.state)}
        with pytest.raises(UserError, match=f"job {placed.job_id[:10]} still needs it") as refused:
            await ask(console, "image.remove", image="needed")
        assert refused.value.code == ExitCode.CONFLICT
        assert (await ask(console, "image.list"))[0].used_by.startswith("job 0x")
        await make(console, tmp_path, "needed")


async def test_a_name_moves_to_the_image_that_takes_it_last(tmp_path: Path) -> None:
    async with open_consoles(tmp_path / "nodes") as (console, _):
        for text in ("old", "new"):
            (tmp_path / f"{text}.tar").write_bytes(images.make_oci_archive(text))
            row = await ask(console, "image.import", path=str(tmp_path / f"{text}.tar"), name="latest")
        assert (await make(console, tmp_path, "latest")).image.digest == row.digest
        assert [one.names for one in await ask(console, "image.list")] == [("latest",), ()]


async def test_the_plan_says_which_platform_it_took_and_why_none_fits(tmp_path: Path) -> None:
    images.make_buildx_layout(tmp_path / "image")
    async with open_consoles(tmp_path / "nodes") as (console, _):
        plan = await ask(console, "job.plan", **job_text(tmp_path, "oci:./image"))
        assert plan.image == "linux/amd64, also for linux/arm64/v8" and plan.candidates
        other = await ask(console, "job.plan", **job_text(tmp_path, "oci:./image", "platform: linux/arm64\n"))
        assert other.candidates == () and other.image_size > 0
        (reason,) = [one for one in other.shortfalls if one.check == "offer_architecture"]
        assert "its processors are amd64, the image is for arm64" in reason.nearest


@pytest.mark.parametrize(
    ("image", "more", "words"),
    [
        ("nothing", "", "no image nothing is kept here"),
        (DIGEST, "", "no image sha256:abab"),
        ("./nothing.tar", "", "there is no such image"),
        ("oci:./image", "inputs: [./nothing]\n", "file ./nothing was not found"),
        ("oci:./image", "platform: linux/s390x\n", "not for linux/s390x"),
    ],
)
async def test_what_is_not_there_is_a_line(tmp_path: Path, image: str, more: str, words: str) -> None:
    images.make_buildx_layout(tmp_path / "image")
    async with open_consoles(tmp_path / "nodes") as (console, _):
        with pytest.raises((UserError, Permanent), match=words):
            await ask(console, "job.submit", **job_text(tmp_path, image, more))


async def test_many_small_inputs_are_one_pack_and_large_ones_stay_alone(tmp_path: Path) -> None:
    images.make_buildx_layout(tmp_path / "image")
    (tmp_path / "data").mkdir()
    for number in range(100):
        (tmp_path / f"data/{number}").write_text(str(number))
    (tmp_path / "data/run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "data/run.sh").chmod(0o755)
    (tmp_path / "data/large").write_bytes(bytes(2 << 20))
    async with open_consoles(tmp_path / "nodes") as (console, _):
        job = await make(console, tmp_path, "oci:./image", "inputs: [./data]\n")
        assert [(one.path, one.packed) for one in job.inputs] == [("data/large", False), (".", True)]
        spec: Any = [(one.path, console.jobs.blobs.path(one.blob.sha256)) for one in job.inputs]
        link_inputs(spec, tmp_path / "in", packed=frozenset({"."}))
        assert (tmp_path / "in/data/7").read_text() == "7" and (tmp_path / "in/data/large").stat().st_size == 2 << 20
        assert (tmp_path / "in/data/run.sh").stat().st_mode & 0o777 == 0o555
        few = await make(console, tmp_path, "oci:./image", "inputs: ['data/1?', ./data/run.sh]\n")
        assert len(few.inputs) == 11 <= MAX_ALONE and not any(one.packed for one in few.inputs)
        assert [one.path for one in few.inputs if one.executable] == ["run.sh"]
