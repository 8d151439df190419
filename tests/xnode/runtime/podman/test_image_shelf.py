"""What an engine holds on the disk: its images, with when they were used, and its leases' disks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.xnode.runtime.conftest import MIB, Bench
from xnode.errors import Permanent


async def test_an_image_is_listed_with_its_last_use_stays_while_a_container_is_made_of_it_and_goes_then(
    bench: Bench,
) -> None:
    await bench.use_image({"etc/mine": "only here"})
    digest = bench.image.digest
    (listed,) = [one for one in await bench.engine.list_images() if one.digest == digest]
    assert listed.size_bytes > 0
    for mark in bench.state_dir.rglob("used/*"):
        os.utime(mark, ns=(1, 1))
    spec = bench.spec("cat /etc/mine")
    await bench.engine.start(spec)
    await bench.engine.wait(spec.lease_id)
    (used,) = [one for one in await bench.engine.list_images() if one.digest == digest]
    assert used.used_at_ns > 1
    with pytest.raises(Permanent, match="container"):
        await bench.engine.remove_image(digest)
    assert await bench.engine.has_image(bench.image)
    await bench.engine.remove(spec.lease_id)
    await bench.engine.remove_image(digest)
    assert not await bench.engine.has_image(bench.image)
    assert digest not in [one.digest for one in await bench.engine.list_images()]


async def test_what_a_job_brings_is_not_there_to_write_and_counts_as_leased(bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / "input"
    source.write_bytes(b"x" * (5 * MIB))
    spec = bench.spec(
        "head -c 6000000 /dev/zero > full; wc -c < full; wc -c < /work/in/a",
        inputs=(("a", source),),
        input_bytes=5 * MIB,
    )
    state, said = await bench.run_spec(spec)
    written, brought = said.split()[-2:]
    assert state.exit_code == 0 and int(written) < 3 * MIB and int(brought) == 5 * MIB
    assert 2 * MIB < await bench.engine.read_leased_bytes() <= 4 * MIB
    await bench.engine.remove(spec.lease_id)
    assert await bench.engine.read_leased_bytes() == 0
