"""A full disk, a broken one, and back: nothing acknowledged is lost, nothing is signed, one line says why, and work goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from metering.codec import decode_strict, encode
from metering.units import Address, Hash32
from scheduler.quote import SignedQuote
from tests.make.nodes import make_provider_settings, make_started
from tests.make.values import address_of, make_job
from tests.make.waiting import wait_until
from xnode.clock import SystemClock
from xnode.errors import Permanent, Retryable
from xnode.loop import Loop
from xnode.net.blobs import BlobStore
from xnode.node import changes, effects
from xnode.node.records import HeldQuote
from xnode.peers.job_log import LogArchive
from xnode.peers.serve import PeerService
from xnode.store.database import open_database
from xnode.store.journal import Batch, Journal

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent

FULL = os.environ.get("XNODE_DISK") == "all"
"""make test-full-disk: every write of every writer fails, and not each writer's eight."""

TRIAL_S = 3600 if FULL else 600


def test_every_writer_meets_a_full_and_a_broken_disk_at_its_writes(tmp_path: Path) -> None:
    library = tmp_path / "bad_disk.so"
    compiler = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "bad_disk.c"), "-ldl"]
    subprocess.run(compiler, check=True, timeout=60)
    folder = tmp_path / "disk"
    known = {"LD_PRELOAD": str(library), "BAD_DISK_PREFIX": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.disk.trial", str(folder), "1" if FULL else "3"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **known}, capture_output=True, text=True, timeout=TRIAL_S, check=False
    )
    faults = [line for line in done.stdout.splitlines() if line.startswith("FAULT")]
    assert done.returncode == 0 and not faults, "\n".join(faults) or done.stderr[-2000:]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of three MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=True, timeout=20)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=20)


def fill(folder: Path) -> Path:
    """What takes all room that is left."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    assert shutil.disk_usage(folder).free == 0
    return path


class WatchedJournal(Journal):
    """Counts commits that the disk refused."""

    refused = 0

    async def commit(self, batch: Batch) -> None:
        try:
            await super().commit(batch)
        except Retryable:
            self.refused += 1
            raise


class Signer:
    """ports.Signer: what it signed."""

    def __init__(self) -> None:
        self.signed: list[str] = []

    @property
    def address(self) -> Address:
        return address_of(1)

    def sign(self, name: str, _value: object) -> bytes:
        self.signed.append(name)
        return bytes(65)


async def do_nothing(_effect: effects.DurableEffect) -> changes.Change:
    return changes.EffectDone()


async def test_no_signature_leaves_a_full_disk_and_the_same_question_is_answered_once_there_is_room(
    small: Path, tmp_path: Path, nursery: trio.Nursery
) -> None:
    database = open_database(f"sqlite:///{small}/node.db")
    journal, clock, signer = WatchedJournal(database), SystemClock(), Signer()
    loop = Loop(journal, clock, do_nothing)
    await nursery.start(loop.run, make_started(1, provider=make_provider_settings(1)))
    service = PeerService(loop, clock, signer, None, LogArchive(tmp_path / "archive"), journal)
    ask = service.methods()["quote.request"]
    filler, answers = fill(small), list[bytes]()
    job = make_job(command=("x" * 60_000,))

    async def request() -> None:
        answers.append(await ask(address_of(0), encode(job)))

    nursery.start_soon(request)
    await wait_until(lambda: journal.refused >= 2)
    assert not signer.signed and not answers and not list(loop.state.all(HeldQuote))
    filler.unlink()
    await wait_until(lambda: answers)
    quote = decode_strict(answers[0], SignedQuote).quote
    second = open_database(f"sqlite:///{small}/node.db")
    held = [one for one in (await Journal(second).load()).records if isinstance(one, HeldQuote)]
    assert [one.quote for one in held] == [quote], "what was signed is durable"
    assert signer.signed == ["Quote"]
    second.dispose()
    database.dispose()


async def test_a_blob_that_does_not_fit_leaves_nothing_and_fits_once_there_is_room(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xnode.net.blobs.FREE_RESERVE_BYTES", 0)
    store = BlobStore(small / "blobs", lambda *_: None)  # type: ignore[arg-type]
    with pytest.raises(Permanent, match="disk full") as caught:
        await store.add_bytes(bytes(4 << 20))
    assert "\n" not in str(caught.value)
    assert not list((small / "blobs").iterdir())
    filler = fill(small)
    with pytest.raises(Permanent):
        await store.add_bytes(b"x" * 5000)
    filler.unlink()
    blob = await store.add_bytes(b"x" * 5000)
    assert store.path(Hash32(blob.sha256)).read_bytes() == b"x" * 5000
