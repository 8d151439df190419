"""Values: one value of a job file each, from its text; raises InvalidValue."""

from __future__ import annotations

import re
import shlex

from metering.units import BYTES_PER_GB, NANOS_PER_SECOND
from scheduler.job import MAX_GRACE_NS, MAX_NAME_CHARS, STOP_SIGNALS, check_path
from xnode.errors import InvalidValue
from xnode.jobfile.jobfile import ImageSource
from xnode.text.quantity import read_duration_ns, read_size

DEFAULT_NETWORK_BYTES = BYTES_PER_GB
"""`network: true` without a size: enough to fetch packages, not enough to surprise."""

MAX_GPUS = 1_024
"""Of one job, which runs on one host."""

HALF = "half"
"""Of the memory: the default of each folder whose files are memory."""

_YES = tuple(form for word in ("true", "yes", "on") for form in (word, word.capitalize(), word.upper()))
_NO = tuple(form for word in ("false", "no", "off") for form in (word, word.capitalize(), word.upper()))

NETWORK_PATTERN = f"^(?:{'|'.join(_YES + _NO)})$"
IMAGE_PATTERN = r"^(?:sha256:[0-9a-f]{64}|oci:[^\x00-\x1f\x7f]+|[a-z0-9][\x21-\x3f\x41-\x7e]*@sha256:[0-9a-f]{64})$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
ASSET_PATTERN = r"^(?:0x[0-9a-fA-F]{40}|[A-Za-z][A-Za-z0-9]{0,15})$"
REGION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SIGNAL_PATTERN = f"^(?:{'|'.join(filter(None, STOP_SIGNALS))})$"
GRACE_PATTERN = r"^(?=.)(?:[0-9]{1,9}m)?(?:[0-9]{1,9}s)?$"
MODEL_PATTERN = r"^[\x20-\x7e]{0,64}$"


def read_name(text: str) -> str:
    """A job's name."""
    if not 0 < len(text) <= MAX_NAME_CHARS or not text.isprintable():
        raise InvalidValue("not a name", f"write 1 to {MAX_NAME_CHARS} printable characters")
    return text


def read_image(text: str) -> ImageSource:
    """An image pinned by its digest, or a layout, whose bytes are at hand."""
    if text.startswith("oci:") and re.fullmatch(IMAGE_PATTERN, text):
        return ImageSource("layout", path=text.removeprefix("oci:"))
    if re.fullmatch(IMAGE_PATTERN, text):
        reference, _, digest = text.rpartition("@")
        return ImageSource("registry" if reference else "digest", digest=digest, reference=text if reference else "")
    if "sha256:" not in text and not text.startswith("oci:"):
        raise InvalidValue(
            f"{text[:40]!a} is not pinned by a digest", "add @sha256:DIGEST, or use oci:DIRECTORY or sha256:DIGEST"
        )
    raise InvalidValue(
        f"{text[:40]!a} is not an image",
        "write oci:DIRECTORY, sha256:DIGEST or REFERENCE@sha256:DIGEST (64 hex digits)",
    )


def read_words(text: str) -> tuple[str, ...]:
    """A command line's words, split as a shell does."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise InvalidValue(f"not a command line ({error})", "write it as a list of words") from None


def read_input_path(text: str) -> str:
    """A path below /work/in."""
    wrong = check_path(text)
    if wrong:
        raise InvalidValue(f"{text[:40]!a} {wrong}")
    return text


def read_local_path(text: str) -> str:
    """A path on the submitter's machine."""
    if not text.isprintable() or not text:
        raise InvalidValue("not a path", "write printable characters")
    return text


def read_count(text: str) -> int:
    """How many GPUs."""
    if not re.fullmatch("0|[1-9][0-9]{0,3}", text) or int(text) > MAX_GPUS:
        raise InvalidValue(f"{text[:40]!a} is not a whole number from 0 to {MAX_GPUS}")
    return int(text)


def read_room(text: str) -> int:
    """Bytes of files in memory; 0 for half of it."""
    if text == HALF:
        return 0
    size = read_size(text)
    if not size:
        raise InvalidValue("no room at all", f'write a size such as "64MiB", or {HALF}')
    return size


def read_grace_ns(text: str) -> int:
    """Nanoseconds from the signal to the kill; none is a grace too."""
    grace_ns = 0 if re.fullmatch("0+s", text) else read_duration_ns(text)
    if grace_ns > MAX_GRACE_NS:
        raise InvalidValue(f"{text[:40]!a} is longer than {MAX_GRACE_NS // NANOS_PER_SECOND}s")
    return grace_ns


def read_network(text: str) -> int:
    """Bytes each way; 0 for no network."""
    if text in _YES or text in _NO:
        return DEFAULT_NETWORK_BYTES if text in _YES else 0
    try:
        return read_size(text)
    except InvalidValue:
        raise InvalidValue(f'{text[:40]!a} is not true, false or a size such as "10GB"') from None
