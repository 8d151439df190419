"""Job maker: from a job file to a Job whose image and inputs lie in the blob store; and jobs found by their ids."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import hexdigits

import msgspec
import trio

from metering.units import Address, Amount, Hash32
from scheduler.job import MAX_INPUTS, PACK_PATH, Image, InputFile, Job
from xnode.chain.deployment.manifest import Asset
from xnode.console.image_maker import ImageMaker, stoppable
from xnode.errors import ExitCode, UserError
from xnode.jobfile.input_files import find_inputs
from xnode.jobfile.jobfile import JobFile, bid_of
from xnode.jobfile.read import validate_jobfile
from xnode.ports.store import Blobs, LocalFile
from xnode.runtime.lease.pack import write_pack
from xnode.runtime.oci_layout import FoundImage
from xnode.text.amount import OPENX_DECIMALS
from xnode.text.hex import to_hex

MAX_ALONE = 16
"""Inputs that are fetched one by one: each costs a round trip, and a line in every record of the job."""

MAX_PACKED_BYTES = 1 << 20
"""A larger file is worth a fetch of its own: it is then linked on the provider's disk, and not copied out of a pack."""


class JobText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """job: text of a job file; base_dir: what relative paths in it are relative to; filename: for error lines; out: an
    absolute folder for the outputs, in place of the job file's."""

    job: str
    base_dir: str
    filename: str = "job file"
    out: str = ""

    def find_target(self) -> tuple[str, tuple[str, ...]]:
        """(absolute folder for the outputs, "" when they go nowhere; patterns of those wanted). Raises UserError."""
        outputs = _read(self).outputs
        if self.out and not Path(self.out).is_absolute():
            raise UserError(f"{self.out} is not an absolute path", where="out")
        if outputs is None:
            return self.out, ()
        return self.out or os.path.normpath(Path(self.base_dir) / Path(outputs.to).expanduser()), outputs.only


@dataclass(frozen=True, slots=True)
class JobMaker:
    """Reads job files for one submitter's node."""

    submitter: Address
    assets: Mapping[str, Asset]
    blobs: Blobs
    images: ImageMaker

    async def make(self, text: JobText) -> Job:
        """The Job of a job file; its image and inputs are in the blob store after this.

        Raises UserError with a line for each mistake.
        """
        jobfile = _read(text)
        asset = self.find_asset(jobfile.asset)
        folder = Path(text.base_dir)
        found = await trio.to_thread.run_sync(find_inputs, jobfile.inputs, folder)
        if found.problems:
            raise UserError("\n".join(f"{text.filename}: {line}" for line in found.lines()))
        kept = await self.images.take(jobfile.image, folder, jobfile.platform)
        return self._make(jobfile, asset, kept.image, await self._make_inputs(tuple(found.files.values())))

    async def _make_inputs(self, files: tuple[LocalFile, ...]) -> tuple[InputFile, ...]:
        """Each large file as it is, many small ones as one pack."""
        alone, packed = divide_inputs(files)
        inputs = []
        with self.images.board.show("inputs", sum(file.size_bytes for file in files)) as work:
            report = stoppable(work)
            for file in alone:
                blob = await self.blobs.add_file(file.source, report)
                inputs.append(InputFile(file.path, blob, file.executable))
            if packed:
                pack = await trio.to_thread.run_sync(self.blobs.take_pieces, report_pieces(write_pack(packed), report))
                inputs.append(InputFile(PACK_PATH, pack, packed=True))
        return tuple(inputs)

    async def make_for_plan(self, text: JobText) -> tuple[Job, FoundImage]:
        """The same, good for a search and not for a lease: inputs are not read. And what is known of the image."""
        jobfile = _read(text)
        folder = Path(text.base_dir)
        found = await self.images.look(jobfile.image, folder, jobfile.platform)
        return self._make(jobfile, self.find_asset(jobfile.asset), found.image, ()), found

    def find_asset(self, name: str) -> Asset:
        """The accepted asset of this symbol or 0x address."""
        for asset in self.assets.values():
            if name.lower() in (asset.symbol.lower(), to_hex(asset.address)):
                return asset
        known = ", ".join(sorted(self.assets))
        raise UserError(f"asset {name} is not accepted on this chain", where="asset", hint=f"use one of: {known}")

    def _make(self, jobfile: JobFile, asset: Asset, image: Image, inputs: tuple[InputFile, ...]) -> Job:
        try:
            budget = jobfile.budget.to_amount(asset.decimals)
            bid = bid_of(jobfile, asset.decimals)
            min_stake = jobfile.min_stake.to_amount(OPENX_DECIMALS)
        except ValueError as error:
            raise UserError(str(error), where="budget, bid or min_stake") from error
        return Job(
            name=jobfile.name,
            submitter=self.submitter,
            nonce=os.urandom(16),
            image=image,
            command=jobfile.command,
            env=jobfile.env,
            inputs=inputs,
            resources=jobfile.resources,
            duration_limit_ns=jobfile.duration_limit_ns,
            asset=asset.address,
            budget=Amount(budget),
            bid=bid,
            network=jobfile.network,
            network_bytes=jobfile.network_bytes,
            regions=jobfile.regions,
            min_stake=Amount(min_stake),
            min_availability_ppm=jobfile.min_availability_ppm,
            prepay_ns=jobfile.prepay_ns,
            args=jobfile.args,
            shm_bytes=jobfile.shm_bytes,
            tmp_bytes=jobfile.tmp_bytes,
            stop_signal=jobfile.stop.signal,
            stop_grace_ns=jobfile.stop.grace_ns,
        )


def _read(text: JobText) -> JobFile:
    found = validate_jobfile(text.job, text.filename)
    if isinstance(found, list):
        raise UserError("\n".join(str(problem) for problem in found))
    return found


def divide_inputs(files: tuple[LocalFile, ...]) -> tuple[tuple[LocalFile, ...], tuple[LocalFile, ...]]:
    """(files that are inputs of their own, files for a pack): a few go as they are, of many the small ones together."""
    if len(files) <= MAX_ALONE:
        return files, ()
    by_size = sorted(files, key=lambda file: (-file.size_bytes, file.path))
    large = sum(file.size_bytes > MAX_PACKED_BYTES for file in files)
    alone = min(large, MAX_INPUTS - 1)
    return tuple(by_size[:alone]), tuple(by_size[alone:])


def report_pieces(pieces: Iterator[bytes], report: Callable[[int], None]) -> Iterator[bytes]:
    """The pieces, each reported."""
    for piece in pieces:
        report(len(piece))
        yield piece


FindKeys = Callable[[bytes, bytes], Awaitable[tuple[Hash32, ...]]]
"""The keys from the first to the last, a few at most."""

_ID_DIGITS = 64


async def find_job_id(text: str, find_keys: FindKeys) -> Hash32:
    """The one known job whose id begins so."""
    return await _find_id("job", text, find_keys, "see `xnode job ls`")


async def find_lease_id(text: str, find_keys: FindKeys) -> Hash32:
    """The one known lease whose id begins so."""
    return await _find_id("lease", text, find_keys, "see `xnode provider leases`")


async def _find_id(noun: str, text: str, find_keys: FindKeys, hint: str) -> Hash32:
    digits = text.removeprefix("0x").lower()
    found: tuple[Hash32, ...] = ()
    if digits and len(digits) <= _ID_DIGITS and set(digits) <= set(hexdigits):
        first, last = (bytes.fromhex(digits.ljust(_ID_DIGITS, end)) for end in "0f")
        found = await find_keys(first, last)
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} or more {noun}s begin with {text[:70]}" if found else f"{noun} {text[:70]} was not found"
    raise UserError(what, hint=hint, code=ExitCode.NOT_FOUND)
