"""Sysfs: the small files in which the kernel says one thing each."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def read_line(path: Path) -> str:
    """A small file's text, "" when it is not there or gives nothing (a link that is down has no speed)."""
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""


def read_number(path: Path) -> int:
    """The number in a small file, 0 when there is none."""
    text = read_line(path)
    return int(text) if text.isdigit() else 0


def read_link(path: Path) -> str:
    """The name of what a link leads to (a device's driver), "" when it is none."""
    with suppress(OSError):
        return path.readlink().name
    return ""
