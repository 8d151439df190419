"""Job: what a submitter wants run, with its limits and its bid."""

from __future__ import annotations

from typing import Annotated

import msgspec

from metering.codec import encode
from metering.eip712 import keccak
from metering.resources import Resources
from metering.tariff import Tariff
from metering.units import U64, ZERO, Address, Amount, Hash32


class Blob(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Bytes named by their SHA-256."""

    sha256: Hash32
    size_bytes: U64


class InputFile(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A file the workload finds read-only at /work/in/`path` (relative, no "..")."""

    path: str
    blob: Blob


class OutputFile(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A file the workload left at /work/out/`path`."""

    path: str
    blob: Blob


class Image(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An OCI image, pinned. digest: of its manifest, "sha256:<64 hex>"; size_bytes: of all its blobs together;
    reference: where a registry has it ("" when it comes from the submitter); blobs: manifest, config and layers, when it does."""

    digest: str
    size_bytes: U64
    reference: str = ""
    blobs: tuple[Blob, ...] = ()


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """submitter: address of the submitter's node; nonce: 16 random bytes, so that equal jobs differ.

    command: argv in the container; env: name and value pairs; duration_limit_ns: wall-clock limit of the workload;
    bid: highest unit prices (None: any); budget: the most the whole job may cost; regions: any of these (empty: any).
    """

    name: str
    submitter: Address
    nonce: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    image: Image
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    inputs: tuple[InputFile, ...]
    resources: Resources
    duration_limit_ns: U64
    asset: Address
    budget: Amount
    bid: Tariff | None = None
    network: bool = False
    network_bytes: U64 = 0
    regions: tuple[str, ...] = ()
    min_stake: Amount = ZERO


def make_job_hash(job: Job) -> Hash32:
    """The job's identity in quotes and lease terms."""
    return keccak(encode(job))
