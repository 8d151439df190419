"""An image from Debian's own packages, as an OCI layout folder. Standard library only; as root, on Debian, with mmdebstrap.

A layout is keyed by a hash of its recipe: a second call builds nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from images.oci import write_layout, write_tar

SOURCE_DATE_EPOCH = 1_700_000_000

DROPPED = re.compile(
    r"^\./(dev/.+|proc/.+|sys/.+|tmp/.+|run/.+|boot/.+|var/cache/.+|var/lib/apt/.+|var/lib/dpkg/.+|var/log/.+"
    r"|usr/share/(doc|man|info|locale|lintian|bash-completion|common-licenses|debconf|perl5|zoneinfo|pixmaps|menu)/.+"
    r"|usr/lib/apt/.+|usr/lib/[^/]+/(perl-base|gconv|libapt-[^/]+|libdb-[^/]+|e2fsprogs)(/.+)?"
    r"|usr/lib/python3[^/]*/(test|idlelib|tkinter|turtledemo|lib2to3|ensurepip|distutils|pydoc_data)/.+"
    r"|usr/(s?bin|lib/dpkg)/(perl.*|apt.*|dpkg.*|debconf.*)|usr/lib/python3/.*/__pycache__(/.+)?)$"
)
"""Files that no program of these images opens: package management, documentation, other languages' runtimes, compiled caches."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """packages: of Debian; hook: a shell command on the extracted root, "$1"; config: what the image's config says; folders:
    made here, because the container's root is read-only: path, mode, owner; sources: files that the image depends on."""

    packages: tuple[str, ...]
    hook: str
    config: dict[str, Any]
    folders: tuple[tuple[str, int, int], ...]
    sources: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """Of all that goes into the image but the packages' own versions."""
        said = json.dumps([self.packages, self.hook, self.config, self.folders])
        files = (Path(__file__), Path(__file__).parent / "oci.py", *self.sources)
        return hashlib.sha256(said.encode() + b"".join(path.read_bytes() for path in files)).hexdigest()


def build(recipe: Recipe, out: Path) -> str:
    """The image's digest, built into the layout folder `out` unless it is there already."""
    stamp = out / "recipe.sha256"
    if stamp.exists() and stamp.read_text().startswith(recipe.digest):
        _say("already built: the recipe has not changed")
        return stamp.read_text().split()[1]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="xnode-image-") as folder:
        full, slim = Path(folder, "full.tar"), Path(folder, "slim.tar")
        _bootstrap(recipe, full)
        _say("removing files that nothing opens")
        with tarfile.open(full) as source, slim.open("wb") as target:
            write_tar(target, _slim(source, recipe))
        _say(f"compressing {slim.stat().st_size >> 20} MiB")
        with slim.open("rb") as layer:
            digest = write_layout(out, layer, recipe.config)
    size = sum(path.stat().st_size for path in (out / "blobs/sha256").iterdir())
    _say(f"{size / 1e6:.1f} MB in {out}")
    stamp.write_text(f"{recipe.digest} {digest}")
    return digest


def _bootstrap(recipe: Recipe, full: Path) -> None:
    """A root of the packages and what they need, from the machine's own package sources."""
    if shutil.which("mmdebstrap") is None:
        sys.exit("mmdebstrap is not installed; apt install mmdebstrap")
    _say(f"installing {', '.join(recipe.packages)} by mmdebstrap")
    command = [
        "mmdebstrap",
        "--variant=extract",
        "--mode=root",
        "--format=tar",
        f"--include={','.join(recipe.packages)},base-files,libc-bin,dash,coreutils",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--skip=cleanup/reproducible",
        f"--extract-hook={recipe.hook}",
        _codename(),
        str(full),
        *_apt_sources(),
    ]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH), "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"mmdebstrap failed:\n{done.stderr[-2000:]}")


def _codename() -> str:
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return release["VERSION_CODENAME"].strip('"')


def _apt_sources() -> list[str]:
    """The files that name the machine's own package sources."""
    folder = Path("/etc/apt")
    files = (
        folder / "sources.list",
        *sorted(folder.glob("sources.list.d/*.list")),
        *folder.glob("sources.list.d/*.sources"),
    )
    return [str(path) for path in files if path.exists() and path.stat().st_size]


def _slim(source: tarfile.TarFile, recipe: Recipe) -> Iterator[tuple[tarfile.TarInfo, BinaryIO | None]]:
    """The entries worth keeping, by name, and the folders that the image's programs expect."""
    kept = {member.name: member for member in source if not DROPPED.match("./" + member.name.removeprefix("./"))}
    for name, mode, owner in recipe.folders:
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, mode, owner, owner
        kept.setdefault(name, folder)
    for name in sorted(kept):
        member = kept[name]
        content = source.extractfile(member) if member.isreg() else None
        yield member, content  # type: ignore[misc]


_START = time.monotonic()


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _START:5.1f} s] {text}", file=sys.stderr, flush=True)
