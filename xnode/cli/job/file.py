"""Job file, as the command line sees it: read, check together with the files it names, and describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from xnode.cli.terminal.brief import brief_command, brief_duration, brief_size
from xnode.errors import ExitCode, UserError
from xnode.given_file import read_given
from xnode.jobfile.image_place import check_place
from xnode.jobfile.input_files import find_inputs
from xnode.jobfile.jobfile import STAKE_ASSET, JobFile
from xnode.jobfile.read import validate_jobfile
from xnode.jobfile.yaml_tree import MAX_PAGE_BYTES
from xnode.text.amount import format_amount

MAX_READ_BYTES = 4 * MAX_PAGE_BYTES
"""Enough to say of a page that is too long what to do about it."""


@dataclass(frozen=True)
class ReadJob:
    """A job file that is fine, with its text."""

    path: Path
    text: str
    job: JobFile

    def request(self, out: Path | None = None) -> dict[str, str]:
        """The params of job.plan and job.submit: the daemon reads the text again, with relative paths from base_dir.

        out: where to put the outputs, in place of what the file says.
        """
        folder = self.path.absolute().parent
        target = {"out": str(out.expanduser().absolute())} if out else {}
        return {"job": self.text, "filename": self.path.name, "base_dir": str(folder)} | target


def read_job(path: Path) -> ReadJob:
    """Raises UserError with a line for each problem of the file and of the files it names."""
    try:
        data = read_given(path, MAX_READ_BYTES)
    except FileNotFoundError as error:
        hint = "`xnode job init` writes one to start from"
        raise UserError("no such job file", where=str(path), hint=hint, code=ExitCode.NOT_FOUND) from error
    except OSError as error:
        raise UserError(
            f"cannot read the job file: {error.strerror}", where=str(path), hint="check the path"
        ) from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UserError("not a text file", where=str(path), hint="a job file is YAML in UTF-8") from error
    found = validate_jobfile(text, str(path))
    if isinstance(found, list):
        raise UserError("\n".join(str(problem) for problem in found))
    missing = _find_missing(path, found)
    if missing:
        raise UserError("\n".join(missing))
    return ReadJob(path, text, found)


def describe_job(read: ReadJob) -> dict[str, Any]:
    """What a job file comes to, as plain data."""
    job = read.job
    return {
        "name": job.name,
        "image": job.image.describe(),
        "command": brief_command((*job.command, *job.args)),
        "inputs": len(find_inputs(job.inputs, read.path.absolute().parent).files),
        "resources": job.resources.describe(),
        "time_limit": brief_duration(job.duration_limit_ns),
        "network": f"{brief_size(job.network_bytes)} each way" if job.network else "none",
        "budget": f"{job.budget} {'' if job.budget.symbol else job.asset}".strip(),
        "bid": ", ".join(f"{name} {price}" for name, price in job.bid or ()) or "any price within the budget",
        "regions": ", ".join(job.regions) or "any",
        "min_stake": str(replace(job.min_stake, symbol=STAKE_ASSET)) if job.min_stake.digits else "none",
        "min_availability": f"{format_amount(job.min_availability_ppm, 4)} %" if job.min_availability_ppm else "none",
        "prepay": brief_duration(job.prepay_ns) if job.prepay_ns else "none",
    }


def _find_missing(path: Path, job: JobFile) -> list[str]:
    """A line for each file that the job needs and cannot have."""
    folder = path.absolute().parent
    problems = [f"{path}: {line}" for line in find_inputs(job.inputs, folder).lines()]
    wrong = check_place(folder, job.image)
    if wrong:
        hint = "hint: `podman save --format oci-archive -o image.tar NAME` writes one to name by its path"
        problems = [f"{path}: image: {wrong}", hint, *problems]
    return problems
