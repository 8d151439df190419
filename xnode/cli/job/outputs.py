"""Outputs: has the daemon fetch what a job left, and copies it out of the blob store, by names that a stranger chose."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from metering.units import Hash32
from scheduler.outputs import LeftOut, is_wanted, read_inventory, show_path
from xnode.cli.terminal.brief import brief_size
from xnode.cli.terminal.screen import printable
from xnode.control.client import Control
from xnode.control.views import FetchStep
from xnode.delivery import deliver
from xnode.errors import ExitCode, UserError

NO_LIMIT = 1 << 63
"""The daemon has checked the list by the lease's limits."""


def fetch_outputs(control: Control, job_id: str, only: tuple[str, ...]) -> FetchStep:
    """Where the job's outputs lie, once all are here that the provider still has. Shows on a terminal how far it is."""
    progress, step = _Progress(), FetchStep(0, 0)
    try:
        for item in control.stream("job.fetch", {"job_id": job_id, "only": only}):
            step = msgspec.convert(item, FetchStep)
            progress.draw(f"fetching: {step.files:,} files, {brief_size(step.size)}")
    finally:
        progress.clear()
    if not step.inventory and not step.missing:
        raise UserError("the job produced no outputs", where=job_id, code=ExitCode.NOT_FOUND)
    return step


def copy_outputs(step: FetchStep, folder: Path, only: tuple[str, ...], force: bool) -> tuple[list[str], list[LeftOut]]:
    """(what lies in the folder now, what could not be written) of the outputs that are here."""
    if not step.inventory:
        return [], []
    found = read_inventory(Path(step.inventory).read_bytes(), NO_LIMIT)
    blobs = Path(step.blobs)

    def path_of(sha256: Hash32) -> Path:
        return blobs / sha256.hex()

    here = {file.path for file in found.files() if path_of(file.blob.sha256).exists()}
    files = {file.path for file in found.files()}
    wanted = [one for one in found.entries if is_wanted(one.path, only) and (one.path in here or one.path not in files)]
    progress = _Progress()
    try:
        faults = deliver(
            wanted, path_of, folder, force, lambda count: progress.draw(f"copying: {count:,} of {len(wanted):,}")
        )
    finally:
        progress.clear()
    failed = {one.path for one in faults}
    return [str(folder / show_path(one.path)) for one in wanted if one.path not in failed], list(faults)


class _Progress:
    """One line on stderr, drawn over and over, when that is a terminal."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._drawn = ""

    def draw(self, text: str) -> None:
        if self._live and text != self._drawn:
            sys.stderr.write(f"\r\x1b[2K{printable(text)}")
            sys.stderr.flush()
            self._drawn = text

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._drawn = ""
