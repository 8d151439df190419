"""On a disk that is nearly full a person hears so before anything is copied, and the job or image is not taken."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.make.scene import FULL_DISK, make_scene, open_consoles
from tests.xnode.console.asking import ask
from tests.xnode.console.test_views import make_plans
from xnode.cli.terminal.brief import brief_disk
from xnode.console.disk import make_disk_use
from xnode.errors import ExitCode, UserError
from xnode.node.records import SubmitterJob


async def test_a_full_disk_refuses_a_new_job_and_a_new_image_with_the_numbers_and_copies_nothing(
    tmp_path: Path,
) -> None:
    async with open_consoles(tmp_path) as (console, _):
        blobs = {path.name for path in (tmp_path / "submitter/blobs").iterdir()}
        full = dataclasses.replace(console, node=dataclasses.replace(console.node, disk=lambda: FULL_DISK))
        known = len(list(console.loop.state.all(SubmitterJob)))
        plan = make_plans(tmp_path, make_scene())[0]
        for name, params in (("job.submit", plan), ("image.import", {"path": str(tmp_path / "image")})):
            with pytest.raises(UserError, match=r"nearly full: 1\.0 GiB are free, 2\.0 GiB must be") as caught:
                await ask(full, name, **params)
            assert caught.value.code == ExitCode.REFUSED and caught.value.hint
        assert {path.name for path in (tmp_path / "submitter/blobs").iterdir()} == blobs
        assert len(list(console.loop.state.all(SubmitterJob))) == known
        await ask(console, "job.submit", **plan)


async def test_a_job_is_taken_as_soon_as_space_was_freed(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (console, _):
        seen = [FULL_DISK]

        async def look() -> None:
            seen[0] = dataclasses.replace(FULL_DISK, reading=dataclasses.replace(FULL_DISK.reading, free_bytes=1 << 40))

        node = dataclasses.replace(console.node, disk=lambda: seen[0], look_at_disk=look)
        freed = dataclasses.replace(console, node=node)

        await ask(freed, "job.submit", **make_plans(tmp_path, make_scene())[0])


def test_the_status_line_says_what_is_free_and_what_is_ours() -> None:
    use = make_disk_use(FULL_DISK)
    assert use is not None
    assert brief_disk(use) == "1 GiB free, own files 3 GiB, leases 4 GiB; no new work below 2 GiB"
