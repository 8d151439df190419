"""Architecture: the kinds of processors, by the names that images have for them."""

from __future__ import annotations

NAMES = {
    "x86_64": "amd64",
    "i386": "386",
    "i686": "386",
    "aarch64": "arm64",
    "armv6l": "arm",
    "armv7l": "arm",
    "loongarch64": "loong64",
}
"""What Linux calls a processor: what images call it, where these differ."""

MAX_CHARS = 32


def architecture_of(machine: str) -> str:
    """An image's word for a kernel's ("x86_64" -> "amd64")."""
    return NAMES.get(machine, machine)


def can_run(machine: str, architecture: str) -> bool:
    """True when a host whose kernel says `machine` runs images for `architecture`, or when either does not say."""
    return not machine or not architecture or architecture_of(machine) == architecture
