"""Build the demo image: Debian's python3 and its standard library, as an OCI layout folder. Standard library only.

    python3 -m images.python.build OUT      (from the repository's root, as root, on Debian; needs mmdebstrap)

Prints one line a step, and last the image's digest. OUT is keyed by a hash of the recipe: a second call builds nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from images.oci import write_layout, write_tar

PACKAGES = ("python3-minimal", "libpython3-stdlib")
SOURCE_DATE_EPOCH = 1_700_000_000

CONFIG = {
    "Cmd": ["python3"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "PYTHONUNBUFFERED=1"],
    "WorkingDir": "/work/out",
}

COMPILE = """chroot "$1" python3 -c "
import compileall, os, py_compile
by_hash = py_compile.PycInvalidationMode.UNCHECKED_HASH
compileall.compile_dir(os.path.dirname(os.__file__), quiet=1, invalidation_mode=by_hash)
" """
"""The root is read-only at run time: what is not compiled here is compiled at every start. By hash: no times in it."""

DROPPED = re.compile(
    r"^\./(dev/.+|proc/.+|sys/.+|tmp/.+|run/.+|boot/.+|var/cache/.+|var/lib/apt/.+|var/lib/dpkg/.+|var/log/.+"
    r"|usr/share/(doc|man|info|locale|lintian|bash-completion|common-licenses|debconf|perl5|zoneinfo|pixmaps|menu)/.+"
    r"|usr/lib/apt/.+|usr/lib/[^/]+/(perl-base|gconv|libapt-[^/]+|libdb-[^/]+|e2fsprogs)(/.+)?"
    r"|usr/lib/python3[^/]*/(test|idlelib|tkinter|turtledemo|lib2to3|ensurepip|distutils|pydoc_data)/.+"
    r"|usr/(s?bin|lib/dpkg)/(perl.*|apt.*|dpkg.*|debconf.*)|usr/lib/python3/.*/__pycache__(/.+)?)$"
)
"""Files that no workload opens: package management, documentation, other languages' runtimes, compiled caches."""

ADDED_FOLDERS = ("./work", "./work/in", "./work/out")
"""Made here because the container's root is read-only."""


def main() -> None:
    """Build into the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python3 -m images.python.build OUT")
    print(build(Path(sys.argv[1]).absolute()))


def build(out: Path) -> str:
    """The image's digest, built into the layout folder `out` unless it is there already."""
    stamp, recipe = out / "recipe.sha256", _recipe_hash()
    if stamp.exists() and stamp.read_text().startswith(recipe):
        _say("already built: the recipe has not changed")
        return stamp.read_text().split()[1]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="xnode-image-") as folder:
        full, slim = Path(folder, "full.tar"), Path(folder, "slim.tar")
        _bootstrap(full)
        _say("removing files that no workload opens")
        with tarfile.open(full) as source, slim.open("wb") as target:
            write_tar(target, _slim(source))
        _say(f"compressing {slim.stat().st_size >> 20} MiB")
        with slim.open("rb") as layer:
            digest = write_layout(out, layer, CONFIG)
    size = sum(path.stat().st_size for path in (out / "blobs/sha256").iterdir())
    _say(f"{size / 1e6:.1f} MB in {out}")
    stamp.write_text(f"{recipe} {digest}")
    return digest


def _recipe_hash() -> str:
    sources = (Path(__file__), Path(__file__).parent.parent / "oci.py")
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _bootstrap(full: Path) -> None:
    """A root of the packages and what they need, from the machine's own package sources."""
    if shutil.which("mmdebstrap") is None:
        sys.exit("mmdebstrap is not installed; apt install mmdebstrap")
    _say(f"installing {', '.join(PACKAGES)} by mmdebstrap")
    command = [
        "mmdebstrap",
        "--variant=extract",
        "--mode=root",
        "--format=tar",
        f"--include={','.join(PACKAGES)},base-files,libc-bin,dash,coreutils",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--skip=cleanup/reproducible",
        f"--extract-hook={COMPILE}",
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


def _slim(source: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, BinaryIO | None]]:
    """The entries worth keeping, by name, and the folders a workload expects."""
    kept = {member.name: member for member in source if not DROPPED.match("./" + member.name.removeprefix("./"))}
    for name in ADDED_FOLDERS:
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        kept.setdefault(name, folder)
    for name in sorted(kept):
        member = kept[name]
        content = source.extractfile(member) if member.isreg() else None
        yield member, content  # type: ignore[misc]


START = time.monotonic()


def _say(text: str) -> None:
    print(f"[{time.monotonic() - START:5.1f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
