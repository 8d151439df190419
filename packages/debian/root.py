"""Root: a Debian system in a folder, from this machine's own package sources, and programs run inside it.

As root, on Debian; needs mmdebstrap and unshare. Programs inside share this machine's network and nothing else of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SUITES = {"bookworm": "12", "trixie": "13"}
"""Debian's releases that packages are made for, by the word in its sources."""

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
DEADLINE_S = 1200.0

ENTER = """
set -e
root=$1; shift
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=1777 tmpfs "$root/mnt"
for one in null zero random urandom; do touch "$root/dev/$one"; mount --bind "/dev/$one" "$root/dev/$one"; done
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; [ -e "$root$2" ] || touch "$root$2"; fi
  mount --bind "$1" "$root$2"; shift 2
done
shift
exec chroot "$root" "$@"
"""
"""sh ENTER ROOT (OUTSIDE INSIDE)... -- COMMAND: in a mount namespace of its own, so that nothing stays mounted."""

_START = time.monotonic()


def say(text: str) -> None:
    """One line a step, with the time since the start."""
    print(f"[{time.monotonic() - _START:5.1f} s] {text}", file=sys.stderr, flush=True)


def make_root(suite: str, packages: Sequence[str], cache: Path) -> Path:
    """A tar of a minimal Debian with these packages and what they need, in the cache while the list is the same."""
    key = hashlib.sha256(" ".join([suite, *packages]).encode()).hexdigest()[:16]
    tar = cache / f"{suite}-{key}.tar"
    if tar.is_file():
        return tar
    if shutil.which("mmdebstrap") is None:
        sys.exit("error: mmdebstrap is not installed\nhint: apt install mmdebstrap")
    cache.mkdir(parents=True, exist_ok=True)
    fresh = tar.with_suffix(".part")
    say(f"making a Debian {SUITES[suite]} with {', '.join(packages) or 'nothing more'}")
    include = [f"--include={','.join(packages)}"] if packages else []
    command = ["mmdebstrap", "--variant=apt", "--mode=root", "--format=tar", f"--keyring={KEYRING}", *include, suite]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        [*command, str(fresh), "-"],
        input=make_sources(suite),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    if done.returncode:
        sys.exit(f"error: mmdebstrap for {suite}: {done.stderr[-1500:]}")
    fresh.replace(tar)
    return tar


def make_sources(suite: str, etc: Path = Path("/etc")) -> str:
    """The machine's own sources of Debian packages, for another release of it. Raises SystemExit when it has none."""
    ours = _codename(etc)
    files = [
        *sorted((etc / "apt/sources.list.d").glob("*.sources")),
        *sorted((etc / "apt/sources.list.d").glob("*.list")),
    ]
    for path in [etc / "apt/sources.list", *files]:
        text = path.read_text() if path.is_file() else ""
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        if any(ours in line.split() for line in lines):
            uris = [line.split()[1] for line in lines if line.startswith("URIs:")]
            uris += [next(word for word in line.split() if "://" in word) for line in lines if line.startswith("deb ")]
            return f"deb [signed-by={KEYRING}] {uris[0]} {suite} main\n"
    sys.exit(f"error: /etc/apt: no source of Debian {ours}\nhint: these packages are made on Debian")


def _codename(etc: Path) -> str:
    fields = dict(line.split("=", 1) for line in (etc / "os-release").read_text().splitlines() if "=" in line)
    return fields.get("VERSION_CODENAME", "").strip('"')


def unpack(tar: Path, folder: Path) -> Path:
    """The root's files, in a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xpf", str(tar), "-C", str(folder), "--numeric-owner"], check=True, timeout=DEADLINE_S)
    return folder


def run_in(
    root: Path,
    command: Sequence[str],
    *,
    binds: Mapping[Path, str] | None = None,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """What a command said inside of a root. binds: files and folders of ours that it sees there, by where.

    Raises SystemExit with its last words when it fails and check is set.
    """
    seen = {Path("/etc/resolv.conf"): "/etc/resolv.conf", CERTIFICATES: str(CERTIFICATES), **(binds or {})}
    mounts = [word for outside, inside in seen.items() if outside.exists() for word in (str(outside.resolve()), inside)]
    kept = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-c", ENTER, "sh", str(root), *mounts, "--", *command],
        env={**kept, "DEBIAN_FRONTEND": "noninteractive", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if check and done.returncode:
        sys.exit(
            f"error: {' '.join(command)[:200]}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}"
        )
    return done
