"""Check: the host as it is, against what is offered of it: what must be mended before anything is sold."""

from __future__ import annotations

from pathlib import Path

from xnode.errors import Permanent
from xnode.runtime.host.facts import read_facts
from xnode.runtime.host.fitness import Finding, Wanted, judge_host
from xnode.runtime.host.gpus import Survey


def check_host(data_dir: Path, wanted: Wanted, survey: Survey) -> tuple[Finding, ...]:
    """What is worth a warning. Blocks. Raises Permanent with a line, and a hint below it, for each thing to be mended."""
    found = tuple(judge_host(read_facts(data_dir, wanted.runtime, survey), wanted))
    # One GPU that was lost over a reboot keeps the others from nothing: they are what is offered.
    faults = [one for one in found if one.verdict == "fail" and not (one.what == "gpus" and survey.gpus)]
    if faults:
        lines = [line for one in faults for line in (f"{one.what}: {one.detail}", f"hint: {one.hint}")]
        raise Permanent("\n".join(lines), code="host", hint="see `xnode doctor`")
    return tuple(one for one in found if one.verdict != "ok")
