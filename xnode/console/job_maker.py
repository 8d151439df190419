"""Job maker: from a job file to a Job whose image and inputs lie in the blob store; and jobs found by their ids."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from metering.units import Address, Amount, Hash32
from scheduler.job import Image, InputFile, Job
from xnode.chain.deployment.manifest import Asset
from xnode.errors import ExitCode, UserError
from xnode.jobfile.jobfile import ImageSource, JobFile, bid_of
from xnode.jobfile.read import validate_jobfile
from xnode.ports.store import Blobs
from xnode.runtime.oci_layout import blob_path, digest_of, list_blobs, read_layout
from xnode.text.amount import OPENX_DECIMALS
from xnode.text.hex import to_hex


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
        return self.out or os.path.normpath(_find(Path(self.base_dir), outputs.to)), outputs.only


@dataclass(frozen=True, slots=True)
class JobMaker:
    """Reads job files for one submitter's node."""

    submitter: Address
    assets: Mapping[str, Asset]
    blobs: Blobs

    async def make(self, text: JobText) -> Job:
        """The Job of a job file; its image and inputs are in the blob store after this.

        Raises UserError with a line for each mistake.
        """
        jobfile = _read(text)
        asset = self.find_asset(jobfile.asset)
        folder = Path(text.base_dir)
        inputs = []
        for one in jobfile.inputs:
            blob = await self.blobs.add_file(_find(folder, one.source))
            inputs.append(InputFile(one.path, blob))
        return self._make(jobfile, asset, await self._make_image(jobfile.image, folder), tuple(inputs))

    async def make_for_plan(self, text: JobText) -> Job:
        """The same without copying anything: good for a search, not for a lease."""
        jobfile = _read(text)
        folder = Path(text.base_dir)
        source = jobfile.image
        image = Image(source.digest, 0, source.reference)
        if source.kind == "layout":
            image = read_layout(_find(folder, source.path))
        return self._make(jobfile, self.find_asset(jobfile.asset), image, ())

    def find_asset(self, name: str) -> Asset:
        """The accepted asset of this symbol or 0x address."""
        for asset in self.assets.values():
            if name.lower() in (asset.symbol.lower(), to_hex(asset.address)):
                return asset
        known = ", ".join(sorted(self.assets))
        raise UserError(f"asset {name} is not accepted on this chain", where="asset", hint=f"use one of: {known}")

    async def _make_image(self, source: ImageSource, folder: Path) -> Image:
        if source.kind == "registry":
            return Image(source.reference.rpartition("@")[2], 0, source.reference)
        if source.kind == "digest":
            raise UserError(
                "a digest alone does not say where the image is",
                where="image",
                hint="name an OCI layout (oci:PATH) or a registry reference with @sha256:...",
                code=ExitCode.NOT_FOUND,
            )
        layout = _find(folder, source.path)
        image = read_layout(layout)
        blobs = list_blobs(layout, image)
        for blob in blobs:
            if not self.blobs.has(blob):
                added = await self.blobs.add_file(blob_path(layout, digest_of(blob)))
                if added != blob:
                    raise UserError(
                        f"blob {digest_of(blob)} does not match its digest",
                        where=str(layout),
                        hint="build the image again",
                    )
        return Image(image.digest, image.size_bytes, "", blobs)

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


def _find(folder: Path, text: str) -> Path:
    """A path of the job file: relative to its folder, ~ for the user's home."""
    return folder / Path(text).expanduser()


def find_job_id(text: str, known: Iterable[Hash32]) -> Hash32:
    """The one known job whose id begins so."""
    return _find_id("job", text, known, "see `xnode job ls`")


def find_lease_id(text: str, known: Iterable[Hash32]) -> Hash32:
    """The one known lease whose id begins so."""
    return _find_id("lease", text, known, "see `xnode provider status`")


def _find_id(noun: str, text: str, known: Iterable[Hash32], hint: str) -> Hash32:
    digits = text.removeprefix("0x").lower()
    found = [one for one in known if one.hex().startswith(digits)] if digits else []
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} {noun}s begin with {text}" if found else f"{noun} {text} was not found"
    raise UserError(what, hint=hint, code=ExitCode.NOT_FOUND)
