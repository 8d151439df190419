"""Work of minutes in a thread ends when its task is cancelled: a daemon that is told to stop does not wait for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import trio

from metering.units import Hash32
from scheduler.job import Blob
from scheduler.outputs import FileEntry
from xnode.delivery import deliver
from xnode.long_work import hash_file
from xnode.net.blobs import BlobStore
from xnode.ports.net import Peer
from xnode.runtime.lease import outputs

HUGE_BYTES = 32 << 30
"""Sparse, so that it costs no disk: a minute and more of hashing."""


def _no_stream(peer: Peer, method: str, body: bytes) -> AbstractAsyncContextManager[Any]:
    raise AssertionError("nothing is fetched here")


def collect(folder: Path, huge: Path) -> None:
    outputs.collect(huge.parent, folder, 2 * HUGE_BYTES)


def put_out(folder: Path, huge: Path) -> None:
    entry = FileEntry(b"huge", Blob(Hash32(bytes(32)), HUGE_BYTES), False, 0)
    deliver([entry], lambda _sha256: huge, folder / "results", replace=False)


def read_again(folder: Path, huge: Path) -> None:
    with huge.open("rb") as file:
        hash_file(file)


def take_in(folder: Path, huge: Path) -> None:
    BlobStore(folder, _no_stream).take_pieces(repeat(b"", 50_000_000))


@pytest.mark.parametrize("work", [collect, put_out, read_again, take_in])
async def test_long_work_ends_when_its_task_is_cancelled(work: Callable[[Path, Path], None], tmp_path: Path) -> None:
    huge = tmp_path / "out" / "huge"
    huge.parent.mkdir()
    with huge.open("wb") as file:
        file.truncate(HUGE_BYTES)
    folder = tmp_path / "into"
    folder.mkdir()
    with trio.fail_after(30), trio.move_on_after(0.3) as waiting:
        await trio.to_thread.run_sync(work, folder, huge)
    assert waiting.cancelled_caught
    assert not [left for left in folder.rglob("*") if left.is_file()], "nothing partial is left"
