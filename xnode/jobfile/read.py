"""Read: a job file from the text of one YAML page, or every problem in it by line."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

from xnode.jobfile.fields import Reading, read_keys
from xnode.jobfile.jobfile import DEFAULT_NAME, STAKE_ASSET, JobFile, ResourceShare, StopOrder
from xnode.jobfile.keys import JOB_KEYS
from xnode.jobfile.yaml_tree import MAX_PROBLEMS, PageError, Problem, read_page
from xnode.text.quantity import Money


def validate_jobfile(text: str, filename: str) -> JobFile | list[Problem]:
    """The job file, or every problem in it by line. Raises nothing, whatever the text is."""
    reading = Reading(filename)
    try:
        page = read_page(text)
    except PageError as error:
        return [Problem(filename, error.line, "", error.text, error.hint)]
    values = read_keys(reading, page, "", JOB_KEYS)
    jobfile = _jobfile_of(reading, values)
    if jobfile is None or reading.problems:
        return sorted(reading.problems, key=lambda problem: problem.line)[:MAX_PROBLEMS]
    return jobfile


_PLAIN = re.compile(r"[A-Za-z0-9./][A-Za-z0-9./:@_-]*")
"""A scalar that YAML takes as it is."""

EXAMPLE_IMAGE = "oci:./image"
"""The image that the example names."""


def make_example(image: str = EXAMPLE_IMAGE) -> str:
    """A job file with every key explained, to begin from. image: as `image` in a job file names one."""
    text = files("xnode.jobfile").joinpath("example.yaml").read_text(encoding="utf-8")
    line = f"image: {EXAMPLE_IMAGE}\n"
    assert text.count(line) == 1, "the example names its image once"
    # JSON's text is YAML's, and needs quotes only where a name is odd.
    return text.replace(line, f"image: {image if _PLAIN.fullmatch(image) else json.dumps(image)}\n")


def _jobfile_of(reading: Reading, values: dict[str, Any]) -> JobFile | None:
    budget = values.get("budget")
    asset = values.get("asset") or (budget.symbol if budget else "") or STAKE_ASSET
    _check_assets(reading, values, asset)
    if reading.problems:
        return None
    network_bytes = values.get("network", 0)
    share = values.get("resources", ResourceShare())
    return JobFile(
        name=values.get("name", DEFAULT_NAME),
        image=values["image"],
        command=values.get("command", ()),
        env=values.get("env", ()),
        inputs=values.get("inputs", ()),
        outputs=values.get("outputs"),
        resources=share.resources,
        duration_limit_ns=values["time_limit"],
        network=network_bytes > 0,
        network_bytes=network_bytes,
        asset=asset,
        budget=values["budget"],
        bid=values.get("bid"),
        regions=values.get("regions", ()),
        min_stake=values.get("min_stake", Money(0, 0)),
        min_availability_ppm=values.get("min_availability", 0),
        prepay_ns=values.get("prepay", 0),
        args=values.get("args", ()),
        shm_bytes=share.shm_bytes,
        tmp_bytes=share.tmp_bytes,
        stop=values.get("stop", StopOrder()),
        platform=values.get("platform", ""),
    )


def _check_assets(reading: Reading, values: dict[str, Any], asset: str) -> None:
    """Note every amount that is in another asset than it can be."""
    stake = values.get("min_stake")
    if stake and stake.symbol not in ("", STAKE_ASSET):
        line = reading.lines["min_stake"]
        reading.note(line, "min_stake", f"in {stake.symbol}, but stake is always in {STAKE_ASSET}")
    prices = [("budget", values.get("budget")), *((f"bid.{name}", price) for name, price in values.get("bid") or ())]
    for path, money in prices:
        if money and money.symbol not in ("", asset):
            reading.note(reading.lines.get(path, 1), path, f"in {money.symbol}, but the job pays in {asset}")
