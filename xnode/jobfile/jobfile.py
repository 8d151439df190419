"""Job file: what a submitter asks for, checked; as written, before any chain or peer is asked."""

from __future__ import annotations

from typing import Literal

import msgspec

from metering.resources import Resources
from metering.tariff import Tariff
from metering.units import BYTES_PER_GIB, U128_MAX, Amount
from scheduler.job import DEFAULT_GRACE_NS
from xnode.text.quantity import Money

STAKE_ASSET = "OPENX"
"""The network's own asset: what stake is in, and what a job pays in when its file names none."""

DEFAULT_NAME = "job"

DEFAULT_RESOURCES = Resources(1_000, BYTES_PER_GIB // 2, BYTES_PER_GIB)
"""Enough to try something on any host."""


class ImageSource(msgspec.Struct, frozen=True):
    """Where the image is. kind "digest", "name": in our store, kept before; "layout", "archive", "path": a directory or a file
    at `path`; "registry": at `reference`, which ends in the digest."""

    kind: Literal["digest", "name", "layout", "archive", "path", "registry"]
    digest: str = ""
    path: str = ""
    reference: str = ""
    name: str = ""

    def describe(self) -> str:
        """As one may write it."""
        return self.reference or self.digest or self.name or self.path


class InputSource(msgspec.Struct, frozen=True):
    """Local files: the job finds the file `source` at /work/in/`path`, what is in the directory `source` below it."""

    path: str
    source: str


class OutputTarget(msgspec.Struct, frozen=True):
    """to: the local directory that /work/out comes into; only: patterns of the paths wanted (empty: everything)."""

    to: str
    only: tuple[str, ...] = ()


class ResourceShare(msgspec.Struct, frozen=True):
    """What a job gets of a host, and how much of its memory may be files in /dev/shm and /tmp (0: half of it each)."""

    resources: Resources = DEFAULT_RESOURCES
    shm_bytes: int = 0
    tmp_bytes: int = 0


class StopOrder(msgspec.Struct, frozen=True):
    """How a job is asked to end: the signal ("": what its image says), and the time from it to the kill."""

    signal: str = ""
    grace_ns: int = DEFAULT_GRACE_NS


class JobFile(msgspec.Struct, frozen=True):
    """A checked job file. asset: a symbol or 0x address; bid: price name and price (None: any price);
    outputs: None when the submitter asks for none; platform: which of the image's, "" for any."""

    name: str
    image: ImageSource
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    inputs: tuple[InputSource, ...]
    outputs: OutputTarget | None
    resources: Resources
    duration_limit_ns: int
    network: bool
    network_bytes: int
    asset: str
    budget: Money
    bid: tuple[tuple[str, Money], ...] | None
    regions: tuple[str, ...]
    min_stake: Money
    min_availability_ppm: int
    prepay_ns: int
    args: tuple[str, ...] = ()
    shm_bytes: int = 0
    tmp_bytes: int = 0
    stop: StopOrder = StopOrder()
    platform: str = ""


def bid_of(jobfile: JobFile, decimals: int) -> Tariff | None:
    """The bid in base units of an asset with so many decimals; a price not named may be anything. Raises InvalidValue."""
    if jobfile.bid is None:
        return None
    named = {name: price.to_amount(decimals) for name, price in jobfile.bid}
    return Tariff(**{name: named.get(name, Amount(U128_MAX)) for name in Tariff.__struct_fields__})
