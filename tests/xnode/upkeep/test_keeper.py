"""The disk keeper on a real folder: what nobody needs goes, what is in use stays, and the core hears what is left."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from metering.units import NANOS_PER_HOUR, Hash32
from scheduler.job import Blob, Image, InputFile
from tests.make.records import LEASE_ID, make_running_lease
from tests.make.values import NOW_NS, make_job
from tests.make.waiting import wait_until
from xnode.errors import Permanent
from xnode.node.changes import DiskSeen
from xnode.node.needed import find_needed
from xnode.node.records import Record
from xnode.node.retention import DiskRules
from xnode.node.state import make_state
from xnode.peers.job_log import JobLog
from xnode.ports.runtime import HeldImage
from xnode.upkeep import keeper
from xnode.upkeep.keeper import STEP_BYTES, DiskKeeper, Keeping
from xnode.upkeep.stock import Stock, make_rules

DAY_NS = 24 * NANOS_PER_HOUR
LAYER, INPUT = Blob(Hash32(b"l" * 32), 5), Blob(Hash32(b"i" * 32), 7)
JOB = make_job(image=Image("sha256:" + "ab" * 32, 5, blobs=(LAYER,)), inputs=(InputFile("data", INPUT),))
OUTPUT = Hash32(b"o" * 32)
HUGE = 1 << 60


@dataclass
class Shelf:
    """ports.runtime.ImageShelf."""

    images: dict[str, int] = field(default_factory=dict)
    in_use: set[str] = field(default_factory=set)
    leased_bytes: int = 0

    async def list_images(self) -> tuple[HeldImage, ...]:
        return tuple(HeldImage(digest, 100, NOW_NS - days * DAY_NS) for digest, days in self.images.items())

    async def remove_image(self, digest: str) -> None:
        if digest in self.in_use:
            raise Permanent("a container is made of it")
        del self.images[digest]

    async def read_leased_bytes(self) -> int:
        return self.leased_bytes


class Pruning:
    """Counts."""

    pruned = 0

    async def prune(self, keep_history_ns: int, now_ns: int) -> object:
        self.pruned += 1
        return None

    async def give_back(self) -> int:
        return 0


class Place:
    """A data folder with its keeper. min_free: so much that the disk is always, or never, short of room."""

    def __init__(self, folder: Path, *records: Record, min_free: int = 0, share: int = 0, **fields: Any) -> None:
        self.folder, self.told, self.records = folder, list[DiskSeen](), records
        for name in ("blobs", "archive", "logs"):
            (folder / name).mkdir()
        self.shelf, self.pruning = Shelf(), Pruning()
        self.keeper = DiskKeeper(
            folder=folder,
            stock=Stock(folder / "blobs", (folder / "archive", folder / "logs")),
            keeping=Keeping(make_rules(7 * DAY_NS, 14 * DAY_NS), DiskRules(HUGE, min_free), 0, share),
            find_needed=lambda: find_needed(make_state(self.records)),
            tell=self._tell,
            pruning=self.pruning,
            clock=self,
            shelf=self.shelf,
            **fields,
        )

    async def _tell(self, seen: DiskSeen) -> None:
        self.told.append(seen)

    def now_ns(self) -> int:
        return NOW_NS

    def put(self, name: str, days: float, size: int = 10) -> Path:
        """A file that was last used so long ago."""
        path = self.folder / name
        path.write_bytes(b"x" * size)
        at_ns = NOW_NS - int(days * DAY_NS)
        os.utime(path, ns=(at_ns, at_ns))
        return path

    async def sweep(self) -> set[str]:
        """What is left of the files."""
        await self.keeper.look()
        await self.keeper.sweep()
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}


def blob(sha256: bytes) -> str:
    return f"blobs/{sha256.hex()}"


async def test_what_a_running_lease_needs_stays_however_old_it_is_and_however_short_the_room(tmp_path: Path) -> None:
    place = Place(tmp_path, make_running_lease(job=JOB), min_free=HUGE)
    place.put(blob(LAYER.sha256), 400)
    place.put(blob(INPUT.sha256), 400)
    place.put(f"archive/{LEASE_ID.hex()}", 400)
    place.shelf.images = {JOB.image.digest: 400}
    assert await place.sweep() == {blob(LAYER.sha256), blob(INPUT.sha256), f"archive/{LEASE_ID.hex()}"}
    assert place.shelf.images


async def test_files_of_an_ended_lease_go_after_hours_its_outputs_and_log_after_their_days(tmp_path: Path) -> None:
    place = Place(tmp_path, make_running_lease(job=JOB, status="settled"))
    place.put(blob(LAYER.sha256), 0.1)
    place.put(blob(INPUT.sha256), 0.3)
    place.put(blob(OUTPUT), 6.9)
    place.put(blob(b"p" * 32), 7.1)
    place.put(f"archive/{LEASE_ID.hex()}", 6.9)
    place.put("archive/" + "77" * 32, 7.1)
    place.put("archive/" + "77" * 32 + ".hole", 7.1)
    place.put(blob(b"q" * 32) + ".part", 1.1)
    assert await place.sweep() == {blob(LAYER.sha256), blob(OUTPUT), f"archive/{LEASE_ID.hex()}"}


async def test_what_a_job_brought_goes_after_hours_also_when_the_state_has_forgotten_the_job(tmp_path: Path) -> None:
    place = Place(tmp_path, make_running_lease(job=JOB))
    place.put(blob(INPUT.sha256), 0.3)
    place.put(blob(OUTPUT), 0.3)
    assert await place.sweep() == {blob(INPUT.sha256), blob(OUTPUT)}
    place.records = ()
    assert await place.sweep() == {blob(OUTPUT)}


async def test_what_another_job_counts_on_since_it_was_listed_stays(tmp_path: Path) -> None:
    place = Place(tmp_path)
    old = place.put(blob(OUTPUT), 400)

    def use_meanwhile() -> bool:
        os.utime(old)
        return False

    place.keeper.is_busy = use_meanwhile
    assert await place.sweep() == {blob(OUTPUT)}


async def test_a_jobs_log_goes_with_its_mark_and_a_live_ones_stays(tmp_path: Path) -> None:
    place = Place(tmp_path, make_running_lease())
    for lease_id in (LEASE_ID, Hash32(b"z" * 32)):
        JobLog(tmp_path / "logs", lease_id).append(5, b"line\n", ended=True)
        old_ns = NOW_NS - 8 * DAY_NS
        os.utime(tmp_path / "logs" / f"{lease_id.hex()}.log", ns=(old_ns, old_ns))
    assert await place.sweep() == {f"logs/{LEASE_ID.hex()}.log", f"logs/{LEASE_ID.hex()}.offset"}


async def test_spares_go_early_while_room_is_short_and_outputs_that_wait_for_their_submitter_do_not(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path, make_running_lease(job=JOB, status="settled"), min_free=HUGE)
    place.put(blob(LAYER.sha256), 0.1)
    place.put(blob(OUTPUT), 0.1)
    place.shelf.images = {JOB.image.digest: 1, "sha256:" + "cd" * 32: 0}
    assert await place.sweep() == {blob(OUTPUT)}
    assert set(place.shelf.images) == {"sha256:" + "cd" * 32}, "used within the hour"
    state = place.keeper.state
    assert state is not None and state.freed == 2 and state.freed_bytes > 100


async def test_an_image_that_a_container_is_made_of_stays_and_the_others_go(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.shelf.images, place.shelf.in_use = (
        {"sha256:" + "ab" * 32: 15, "sha256:" + "cd" * 32: 15},
        {"sha256:" + "ab" * 32},
    )
    await place.sweep()
    assert set(place.shelf.images) == place.shelf.in_use


async def test_nothing_goes_while_something_is_taken_in(tmp_path: Path) -> None:
    busy = [True]
    place = Place(tmp_path, is_busy=lambda: busy[0])
    place.put(blob(OUTPUT), 30)
    assert await place.sweep() == {blob(OUTPUT)}
    busy[0] = False
    assert await place.sweep() == set()


class LateShelf(Shelf):
    """Its images are listed after the files: then, the second time, somebody comes."""

    asked = 0

    async def list_images(self) -> tuple[HeldImage, ...]:
        self.asked += 1
        return ()


async def test_what_comes_to_be_needed_after_the_list_was_made_stays(tmp_path: Path) -> None:
    place, shelf = Place(tmp_path), LateShelf()
    place.put(blob(INPUT.sha256), 30)
    place.put(blob(OUTPUT), 30)
    place.keeper.shelf = shelf
    lease = make_running_lease(job=JOB)
    place.keeper.find_needed = lambda: find_needed(make_state((lease,) if shelf.asked > 1 else ()))
    assert await place.sweep() == {blob(INPUT.sha256)}


async def test_the_task_sweeps_and_prunes_by_itself_and_lives_through_a_disk_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    # Real time, made short: a clock that jumps takes the threads that look at the disk for idle.
    for name in ("LOOK_S", "FIRST_PRUNE_S"):
        monkeypatch.setattr(keeper, name, 0.01)
    place, wrong, looks = Place(tmp_path), [True], list[int]()
    place.put(blob(OUTPUT), 30)

    async def read() -> int:
        looks.append(1)
        if wrong[0]:
            raise OSError(errno.EIO, "Input/output error", "/data")
        return 0

    place.shelf.read_leased_bytes = read  # type: ignore[method-assign]
    nursery.start_soon(place.keeper.run)
    await wait_until(lambda: len(looks) > 2)
    assert (tmp_path / blob(OUTPUT)).exists()
    wrong[0] = False
    await wait_until(lambda: place.pruning.pruned)
    assert not (tmp_path / blob(OUTPUT)).exists()


async def test_the_core_is_told_what_is_left_for_leases_only_when_it_changes(tmp_path: Path) -> None:
    place = Place(tmp_path, share=1)
    await place.keeper.look()
    await place.keeper.look()
    assert place.told == [DiskSeen(1, is_short=False)]


async def test_on_a_full_disk_leases_that_stand_have_theirs_and_nothing_new_is_sold(tmp_path: Path) -> None:
    place = Place(tmp_path, share=HUGE, min_free=HUGE)
    place.shelf.leased_bytes = 3 * STEP_BYTES + 7
    await place.keeper.look()
    assert place.told == [DiskSeen(3 * STEP_BYTES, is_short=True)]
    state = place.keeper.state
    assert state is not None and "no new work is taken until there is room" in state.problem


@pytest.mark.parametrize("name", ["images.json", "xnode.db", "ports.json"])
async def test_what_is_no_file_of_the_kinds_is_never_touched(tmp_path: Path, name: str) -> None:
    place = Place(tmp_path, min_free=HUGE)
    place.put(name, 400)
    place.put(f"blobs/{name}", 400)
    assert await place.sweep() == {name, f"blobs/{name}"}
