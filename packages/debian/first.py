"""First: a provider from nothing, timed: the package installed on a clean Debian, then set up against a devnet of this machine.

    python -m packages.debian.first DEB     (from the repository's root, as root; see `make time-setup`)

Prints how long each command took, and what it said. The node runs in a root of its own, with this machine's network and cgroups,
and is stopped and taken away afterwards.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packages.debian.build import CACHE
from packages.debian.root import CERTIFICATES, DEADLINE_S, SUITES, make_root, say, unpack

DEVNET_WAIT_S = 120.0

ENTER = """
set -e
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; touch "$root$2"; fi
  mount --bind "$1" "$root$2"; shift 2
done
shift
exec chroot "$root" "$@"
"""
"""sh ENTER ROOT (OUTSIDE INSIDE)... -- COMMAND: a root that containers can be started in."""

COMMANDS = """
set -e
export XNODE_HOME=/var/lib/xnode
apt-get -q update >/dev/null
now() { date +%s%N; }
took() { echo "== $1: $((($(now) - $2) / 1000000000)) s"; }
begun=$(now)
apt-get -qq install -y /first.deb >/tmp/apt.log 2>&1 || { tail -20 /tmp/apt.log; exit 1; }
took "apt-get install" "$begun"
begun=$(now)
xnode provider setup --chain /devnet/manifest.toml --yes
took "xnode provider setup" "$begun"
xnode provider status
xnode daemon stop
"""


def main() -> None:
    """Time the package that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m packages.debian.first DEB")
    deb = Path(sys.argv[1]).resolve()
    suite = next((word for word, number in SUITES.items() if f"+deb{number}" in deb.name), None)
    if suite is None or not deb.is_file():
        sys.exit(f"error: {deb.name}: not a package of ours\nhint: make deb")
    base = make_root(suite, ["ca-certificates"], CACHE)
    with tempfile.TemporaryDirectory(prefix="xnode-first-", dir=CACHE) as folder:
        root = unpack(base, Path(folder, "root"))
        with open_devnet() as devnet:
            say(f"load of this machine: {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} processors")
            binds = {deb: "/first.deb", devnet: "/devnet", Path("/etc/resolv.conf"): "/etc/resolv.conf"}
            enter(root, binds | {CERTIFICATES: str(CERTIFICATES)})


@contextmanager
def open_devnet() -> Iterator[Path]:
    """A market of this machine while the block runs; its folder. Directly in /tmp: a unix socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="xnode-") as home:
        log = Path(home, "log")
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "xnode.cli.main", "--home", home, "devnet", "up", "--port", "0"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        try:
            end = time.monotonic() + DEVNET_WAIT_S
            while "Ctrl-C" not in log.read_text():
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"error: the devnet does not come up: {log.read_text()[-500:]}")
                time.sleep(0.2)
            yield Path(home, "devnet")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def enter(root: Path, binds: dict[Path, str]) -> None:
    """Run COMMANDS in the root, with what they print shown. SystemExit when one fails."""
    mounts = [word for outside, inside in binds.items() for word in (str(outside.resolve()), inside)]
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "sh",
            "-c",
            ENTER,
            "sh",
            str(root),
            *mounts,
            "--",
            "sh",
            "-c",
            COMMANDS,
        ],
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        },
        timeout=DEADLINE_S,
        check=False,
    )
    if done.returncode:
        sys.exit(f"error: exit code {done.returncode}")


if __name__ == "__main__":
    main()
