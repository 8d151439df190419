"""Values: one value of a job file each, from its text; raises InvalidValue."""

from __future__ import annotations

import re
import shlex

from metering.units import BYTES_PER_GB, NANOS_PER_SECOND
from scheduler.job import MAX_GRACE_NS, MAX_NAME_CHARS, MAX_REFERENCE_CHARS, PACK_PATH, STOP_SIGNALS, check_path
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
PATH_FORMS = ("oci", "oci-archive", "docker-archive")
"""Words before the path of an image, as other tools have them; which it is, is seen from what lies there."""

IMAGE_HINT = (
    "write a path (./image, ./image.tar), REFERENCE@sha256:DIGEST, or the name of one that `xnode image ls` shows"
)

_PATH_PATTERN = r"[^\x00-\x1f\x7f]+"
_BARE_PATH_PATTERN = r"(?:[./~][^\x00-\x1f\x7f]*|[^\x00-\x1f\x7f:@]+\.(?:tar|tgz|tar\.gz))"
_DIGEST_PATTERN = r"sha256:[0-9a-f]{64}"
_REFERENCE_PATTERN = rf"[a-z0-9][\x21-\x3f\x41-\x7e]{{0,{MAX_REFERENCE_CHARS - 1}}}@sha256:[0-9a-f]{{64}}"
IMAGE_NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
_IMAGE_PATTERNS = (
    f"(?:{'|'.join(PATH_FORMS)}):{_PATH_PATTERN}",
    _BARE_PATH_PATTERN,
    _DIGEST_PATTERN,
    _REFERENCE_PATTERN,
    IMAGE_NAME_PATTERN,
)
IMAGE_PATTERN = f"^(?:{'|'.join(_IMAGE_PATTERNS)})$"
PLATFORM_PATTERN = r"^linux/[a-z0-9_]{1,16}(?:/[a-z0-9]{1,8})?$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
ASSET_PATTERN = r"^(?:0x[0-9a-fA-F]{40}|[A-Za-z][A-Za-z0-9]{0,15})$"
REGION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SIGNAL_PATTERN = f"^(?:{'|'.join(filter(None, STOP_SIGNALS))})$"
GRACE_PATTERN = r"^(?=.)(?:[0-9]{1,9}m)?(?:[0-9]{1,9}s)?$"
MODEL_PATTERN = r"^[\x20-\x7e]{0,64}$"


KEPT_FROM = ("podman", "docker")
"""What `xnode image import` takes images from, and a job file does not."""


def read_name(text: str) -> str:
    """A job's name."""
    if not 0 < len(text) <= MAX_NAME_CHARS or not text.isprintable():
        raise InvalidValue("not a name", f"write 1 to {MAX_NAME_CHARS} printable characters")
    return text


def read_image(text: str) -> ImageSource:
    """An image by its digest, or where its bytes are at hand."""
    form, colon, rest = text.partition(":")
    if colon and form in PATH_FORMS and re.fullmatch(_PATH_PATTERN, rest):
        return ImageSource("layout" if form == "oci" else "archive", path=rest)
    if re.fullmatch(_BARE_PATH_PATTERN, text):
        return ImageSource("path", path=text)
    if re.fullmatch(_DIGEST_PATTERN, text):
        return ImageSource("digest", digest=text)
    if re.fullmatch(_REFERENCE_PATTERN, text):
        return ImageSource("registry", digest=text.rpartition("@")[2], reference=text)
    if re.fullmatch(IMAGE_NAME_PATTERN, text):
        return ImageSource("name", name=text)
    if form in KEPT_FROM:
        raise InvalidValue(
            f"{text[:40]!a} is where an image comes from",
            f"keep it with `xnode image import {text[:60]}`, then name it {rest[:60]}",
        )
    if form not in PATH_FORMS and "sha256:" not in text:
        raise InvalidValue(
            f"{text[:40]!a} is not pinned by a digest",
            f"add @sha256:DIGEST, or keep it here with `xnode image import podman:{text[:60]}`",
        )
    raise InvalidValue(f"{text[:40]!a} is not an image", IMAGE_HINT)


def read_platform(text: str) -> str:
    """Which of an image's platforms to take."""
    if not re.fullmatch(PLATFORM_PATTERN, text):
        raise InvalidValue(f"{text[:40]!a} is not a platform", "write linux/ and an architecture, such as linux/arm64")
    return text


def read_words(text: str) -> tuple[str, ...]:
    """A command line's words, split as a shell does."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise InvalidValue(f"not a command line ({error})", "write it as a list of words") from None


def read_input_path(text: str) -> str:
    """A path below /work/in, or "." for /work/in itself."""
    text = text.removesuffix("/") or text
    wrong = check_path(text) if text != PACK_PATH else None
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
        most_s = MAX_GRACE_NS // NANOS_PER_SECOND
        raise InvalidValue(f"{text[:40]!a} is longer than {most_s}s", f"write at most {most_s}s")
    return grace_ns


def read_network(text: str) -> int:
    """Bytes each way; 0 for no network."""
    if text in _YES or text in _NO:
        return DEFAULT_NETWORK_BYTES if text in _YES else 0
    try:
        return read_size(text)
    except InvalidValue:
        raise InvalidValue(
            f"{text[:40]!a} is neither true nor false nor a size", 'write a number and a unit, such as "10GB"'
        ) from None
