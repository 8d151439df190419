"""A tiny image for tests: the host's static busybox, built once into the repository's cache folder."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from images.oci import write_layout, write_tar

CACHE = Path(__file__).parents[3] / ".cache"
PLAIN: Mapping[str, Any] = {"Cmd": ["sh"], "Env": ["PATH=/bin"], "WorkingDir": "/"}
"""What the plain image says of how it is to be run."""

NO_FILES: Mapping[str, str] = {}

FOLDERS = ("bin", "dev", "etc", "proc", "sys", "tmp", "work", "work/in", "work/out")


def make_busybox_layout(config: Mapping[str, Any] = PLAIN, files: Mapping[str, str] = NO_FILES) -> Path:
    """The layout folder of an image with busybox and all its applets. config: what it says of how it is to be run;
    files: more of its files, by path."""
    busybox = shutil.which("busybox")
    if busybox is None:
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "busybox-static"], check=True, capture_output=True, timeout=300
        )
        busybox = "/usr/bin/busybox"
    program = Path(busybox).read_bytes()
    more = json.dumps([dict(config), dict(files)], sort_keys=True).encode()
    recipe = hashlib.sha256(program + Path(__file__).read_bytes() + more).hexdigest()
    layout = CACHE / f"busybox-{recipe[:16]}"
    if not (layout / "index.json").exists():
        layer = io.BytesIO()
        write_tar(layer, chain(_entries(busybox, program), _more_entries(files)))
        layer.seek(0)
        write_layout(layout, layer, {**PLAIN, **config})
    return layout


def _entries(busybox: str, program: bytes) -> Iterator[tuple[tarfile.TarInfo, BinaryIO | None]]:
    for name in FOLDERS:
        yield _entry(name, tarfile.DIRTYPE), None
    binary = _entry("bin/busybox", tarfile.REGTYPE)
    binary.size = len(program)
    yield binary, io.BytesIO(program)
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in sorted(set(applets) - {"busybox"}):
        link = _entry(f"bin/{name}", tarfile.SYMTYPE)
        link.linkname = "busybox"
        yield link, None


def _more_entries(files: Mapping[str, str]) -> Iterator[tuple[tarfile.TarInfo, BinaryIO | None]]:
    for name in sorted({str(parent) for path in files for parent in PurePosixPath(path).parents} - {".", *FOLDERS}):
        yield _entry(name, tarfile.DIRTYPE), None
    for path, text in files.items():
        file = _entry(path, tarfile.REGTYPE)
        file.size = len(text.encode())
        yield file, io.BytesIO(text.encode())


def _entry(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, 0o1777 if name == "tmp" else 0o755
    return info
