"""Text: a few megabytes of what documentation this machine has, always the same on the same machine."""

from __future__ import annotations

import gzip
import sysconfig
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("/usr/share/doc", "/usr/share/common-licenses", "/usr/share/man/man1", "/usr/share/perl")
"""Documentation of the installed packages; Python's own sources come last and are always there."""


def make_text(into: Path, size_bytes: int) -> int:
    """Write that much text, from the first files in order of name; gives how many bytes there are in the end."""
    written = 0
    into.parent.mkdir(parents=True, exist_ok=True)
    with into.open("wb") as file:
        for path in _list_files():
            if written >= size_bytes:
                break
            text = _read_text(path)
            written += file.write(text[: size_bytes - written])
    return written


def _list_files() -> Iterator[Path]:
    for folder in (*FOLDERS, sysconfig.get_paths()["stdlib"]):
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and not path.is_symlink() and path.suffix in ("", ".gz", ".txt", ".md", ".py", ".pod"):
                yield path


def _read_text(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, gzip.BadGzipFile):
        return b""
    # Binary files are not text, whatever their names say.
    return b"" if b"\0" in text[:4096] else text
