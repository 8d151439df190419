"""Job: what a submitter wants run, with its limits and its bid."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from metering.bounds import Label
from metering.codec import encode
from metering.eip712 import keccak
from metering.refusal import Refusal
from metering.resources import Resources
from metering.tariff import Tariff
from metering.time_words import say_duration
from metering.units import NANOS_PER_SECOND, U64, ZERO, Address, Amount, Hash32, Nanos, Ppm
from scheduler.architecture import MAX_CHARS
from scheduler.registry import parse_reference

MAX_NAME_CHARS = 64
"""A name is for people's tables."""

MAX_WORDS = 1_024
"""Arguments, and environment variables; more belong into an input file."""

MAX_TEXT_BYTES = 64 * 1024
"""Of all arguments and of all variables: half of what Linux takes for them together."""

MAX_INPUTS = 256
"""Inputs of a job, each of which is one fetch; where a submitter has more files, the small ones travel in a pack."""

MAX_INPUT_FILES = 100_000
"""Files that all inputs of a job come to, those in packs included; more belong into an archive."""

MAX_IMAGE_BLOBS = 256
"""Twice the layers that a container engine mounts."""

MAX_PATH_BYTES = 1024
"""Of a whole path: a quarter of what Linux takes, so that there is room for the folders above it."""

MAX_PART_BYTES = 255
"""The longest name that every file system takes."""

MAX_DIGEST_CHARS = len("sha256:") + 64

MAX_REFERENCE_CHARS = 512
"""Of where a registry has an image: twice what registries take."""

MAX_REGIONS = 64
"""Who names more regions than this accepts any."""

MAX_SIGNAL_CHARS = 16

MAX_OLD_OUTPUTS = 10_000
"""Of a list as versions up to 0.2 sent it; since then it travels as a blob."""

Path = Annotated[str, msgspec.Meta(max_length=MAX_PATH_BYTES)]
Word = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_BYTES)]
"""Of a command, or of the environment; check_job() bounds them all together."""

Words = Annotated[tuple[Word, ...], msgspec.Meta(max_length=MAX_WORDS)]


class Blob(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Bytes named by their SHA-256."""

    sha256: Hash32
    size_bytes: U64


class InputFile(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A file the workload finds read-only at /work/in/`path` (relative, no ".."); executable where it was so here.

    packed: the blob is a pack of many files, and path is PACK_PATH: they lie in /work/in by their own paths."""

    path: Path
    blob: Blob
    executable: bool = False
    packed: bool = False


PACK_PATH = "."
"""The path of packed inputs: /work/in itself."""


class OutputFile(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A file the workload left at /work/out/`path`."""

    path: Path
    blob: Blob


class Image(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An OCI image, pinned. digest: of its manifest, "sha256:<64 hex>"; size_bytes: of all its blobs together;
    reference: where a registry has it ("" when it comes from the submitter); blobs: manifest, config and layers, when it
    does; architecture: what it runs on, by the image's own word ("amd64"; "" when not known)."""

    digest: Annotated[str, msgspec.Meta(max_length=MAX_DIGEST_CHARS)]
    size_bytes: U64
    reference: Annotated[str, msgspec.Meta(max_length=MAX_REFERENCE_CHARS)] = ""
    blobs: Annotated[tuple[Blob, ...], msgspec.Meta(max_length=MAX_IMAGE_BLOBS)] = ()
    architecture: Annotated[str, msgspec.Meta(max_length=MAX_CHARS)] = ""


MAX_GRACE_NS = 120 * NANOS_PER_SECOND
"""From the stop signal to the kill, at most: time to write a checkpoint, and unpaid work that a provider can bear."""

DEFAULT_GRACE_NS = 10 * NANOS_PER_SECOND
"""What container engines give by default."""


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """submitter: address of the submitter's node; nonce: 16 random bytes, so that equal jobs differ.

    command: argv in the container, in place of the image's entrypoint and command; args: in place of the image's command
    only; env: name and value pairs; duration_limit_ns: wall-clock limit of the workload; bid: highest unit prices (None:
    any); budget: the most the whole job may cost; regions: any of these (empty: any);
    min_availability_ppm: the least availability to be promised, with something back for less. shm_bytes, tmp_bytes: room in
    /dev/shm and /tmp, both memory of the lease (0: half of the memory each). stop_signal: "SIGTERM" and the like ("": the
    image's own, else SIGTERM); stop_grace_ns: from it to the kill. prepay_ns: how far ahead vouchers are signed, so that
    the submitter may be away for so long.
    """

    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
    submitter: Address
    nonce: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    image: Image
    command: Words
    env: Annotated[tuple[tuple[Word, Word], ...], msgspec.Meta(max_length=MAX_WORDS)]
    inputs: Annotated[tuple[InputFile, ...], msgspec.Meta(max_length=MAX_INPUTS)]
    resources: Resources
    duration_limit_ns: Nanos
    asset: Address
    budget: Amount
    bid: Tariff | None = None
    network: bool = False
    network_bytes: U64 = 0
    regions: Annotated[tuple[Label, ...], msgspec.Meta(max_length=MAX_REGIONS)] = ()
    min_stake: Amount = ZERO
    min_availability_ppm: Ppm = 0
    args: Words = ()
    shm_bytes: U64 = 0
    tmp_bytes: U64 = 0
    stop_signal: Annotated[str, msgspec.Meta(max_length=MAX_SIGNAL_CHARS)] = ""
    stop_grace_ns: Nanos = DEFAULT_GRACE_NS
    prepay_ns: Nanos = 0


def job_hash_of(job: Job) -> Hash32:
    """The job's identity in quotes and lease terms."""
    return keccak(encode(job))


STOP_SIGNALS = ("", "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH")
"""What may ask a workload to end ("": what its image says); SIGKILL comes after the grace in any case."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PATH_PART = re.compile(r"[^/\x00-\x1f\x7f]+")


def check_job(job: Job) -> Refusal | None:
    """What is wrong with a job in itself, whichever provider would run it: a stranger may have written it."""
    return _check_image(job) or _check_text(job) or _check_numbers(job) or _check_inputs(job)


def check_path(path: str) -> str | None:
    """Why this is not a path for an input, or None: relative, no "..", no control characters."""
    if any("\ud800" <= char <= "\udfff" for char in path):
        return "is not UTF-8"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes"
    for part in path.split("/"):
        if len(part.encode()) > MAX_PART_BYTES:
            return f"has a name longer than {MAX_PART_BYTES} bytes"
        if part in ("", ".", "..") or not _PATH_PART.fullmatch(part):
            return 'must be relative, without empty, "." or ".." parts and without control characters'
    return None


def _check_image(job: Job) -> Refusal | None:
    if not _DIGEST.fullmatch(job.image.digest):
        return Refusal("job_image", "the image must be pinned: sha256: and 64 hex digits")
    blobs = job.image.blobs
    if len(blobs) > MAX_IMAGE_BLOBS:
        return Refusal("job_image", f"the image has {len(blobs)} blobs, the limit is {MAX_IMAGE_BLOBS}")
    if job.image.reference and parse_reference(job.image.reference) is None:
        return Refusal("job_image", "the image's reference is not one of a registry, such as ghcr.io/me/train")
    if len(job.image.architecture) > MAX_CHARS or not (job.image.architecture + "-").isprintable():
        return Refusal("job_image", f"the image's architecture has more than {MAX_CHARS} characters, or odd ones")
    # Else the size that a provider agrees to would say nothing of what it is made to fetch.
    if blobs and sum(blob.size_bytes for blob in blobs) != job.image.size_bytes:
        return Refusal("job_image", f"the image's blobs do not add up to its {job.image.size_bytes} bytes")
    return None


def _check_text(job: Job) -> Refusal | None:
    if not 0 < len(job.name) <= MAX_NAME_CHARS or not job.name.isprintable():
        return Refusal("job_name", f"the name must have 1 to {MAX_NAME_CHARS} printable characters")
    words = (*job.command, *job.args, *(word for pair in job.env for word in pair))
    size_bytes = sum(len(word.encode()) + 1 for word in words)
    if len(job.command) + len(job.args) > MAX_WORDS or len(job.env) > MAX_WORDS or size_bytes > MAX_TEXT_BYTES:
        return Refusal("job_text", f"command and env have {size_bytes} bytes, the limit is {MAX_TEXT_BYTES}")
    if any("\0" in word for word in words):
        return Refusal("job_text", "command and env must not contain NUL")
    for name, _ in job.env:
        if not _VARIABLE.fullmatch(name):
            return Refusal("job_env", f"{name[:64]!r} is not a variable's name: letters, digits and _")
    return None


def _check_numbers(job: Job) -> Refusal | None:
    if not job.resources.vcpu_milli or not job.resources.memory_bytes:
        return Refusal("job_resources", "a job needs some vCPU and some memory")
    if job.resources.gpu_model and not job.resources.gpus:
        return Refusal("job_resources", f"GPU model {job.resources.gpu_model!r} without a number of GPUs")
    if not job.duration_limit_ns:
        return Refusal("job_duration", "the time limit is zero")
    if job.stop_signal not in STOP_SIGNALS:
        return Refusal(
            "job_stop", f"stop signal {job.stop_signal[:32]!r} is none of {', '.join(filter(None, STOP_SIGNALS))}"
        )
    if job.stop_grace_ns > MAX_GRACE_NS:
        return Refusal(
            "job_stop", f"a grace of {say_duration(job.stop_grace_ns)}, the limit is {say_duration(MAX_GRACE_NS)}"
        )
    if max(job.shm_bytes, job.tmp_bytes) > job.resources.memory_bytes:
        return Refusal("job_resources", "/dev/shm and /tmp are memory of the lease: neither can be larger than it")
    if job.network_bytes and not job.network:
        return Refusal("job_network", f"{job.network_bytes} network bytes for a job without network")
    return None


def input_bytes_of(job: Job) -> int:
    """What its inputs take of the job's disk."""
    return sum(file.blob.size_bytes for file in job.inputs)


def _check_inputs(job: Job) -> Refusal | None:
    if len(job.inputs) > MAX_INPUTS:
        return Refusal("job_inputs", f"{len(job.inputs)} inputs, the limit is {MAX_INPUTS}")
    paths = {file.path for file in job.inputs}
    if len(paths) < len(job.inputs):
        return Refusal("job_inputs", "two inputs have the same path")
    if input_bytes_of(job) > job.resources.disk_bytes:
        detail = f"inputs of {input_bytes_of(job)} bytes do not fit on the job's disk of {job.resources.disk_bytes}"
        return Refusal("job_inputs", f"{detail}; ask for more disk")
    packs = [file.path for file in job.inputs if file.packed]
    if len(packs) > 1 or packs not in ([], [PACK_PATH]):
        return Refusal("job_inputs", f"packed inputs are one, at {PACK_PATH!r}")
    for path in paths.difference(packs):
        wrong = check_path(path)
        if wrong:
            return Refusal("job_inputs", f"input path {path[:64]!r} {wrong}")
        # a and a/b cannot both be files.
        parts = path.split("/")
        if any("/".join(parts[:depth]) in paths for depth in range(1, len(parts))):
            return Refusal("job_inputs", f"input path {path[:64]!r} lies below another input")
    return None
