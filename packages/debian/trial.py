"""Trial: a package installed, upgraded over the version before, removed and purged on a clean Debian; see `make test-deb`.

    python -m packages.debian.trial DEB [BEFORE]     (from the repository's root, as root)

BEFORE is the package of the version before. Without it, one is made of DEB itself: an older version with one module more, which
the upgrade must take away. Fails at the first thing that is not as it should be.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from packages.debian.build import CACHE, COMPLETIONS, PREFIX, RECOMMENDS, list_dependencies
from packages.debian.root import SUITES, make_root, run_in, say, unpack

VOLATILE = (
    "dev",
    "proc",
    "run",
    "sys",
    "tmp",
    "debs",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/log",
    "root/.cache",
)
"""What the package manager and a running system write for themselves."""

ASIDE = {
    "etc/ld.so.cache",
    "etc/resolv.conf",
    "etc/passwd-",
    "etc/shadow-",
    "etc/group-",
    "etc/gshadow-",
    "etc/.pwd.lock",
}
"""The package manager's own caches and backups; resolv.conf is this machine's, lent while a command runs."""

BEFORE_VERSION = "0.0.1-1"
SHOWN = 20
"""So many files are named."""

KEYS = ("keystore/key.json", "node-key.json", "node.password", "node.address")
STATE = ("config.toml", "data/xnode.db", "daemon.log")

USER_COMMANDS = """
set -eu
export HOME=/mnt/someone
mkdir -p "$HOME"; cd "$HOME"
printf 'correct horse\\n' > pw; chmod 600 pw
xnode --version
xnode wallet new --password-file pw
xnode wallet ls | grep -q 0x
xnode job init
xnode chain views escrow >/dev/null
xnode doctor > doctor.txt || test $? -eq 1
grep -q python doctor.txt
"""
"""As a submitter, an ordinary user whose home is on another file system: /mnt is one of its own in each root."""


def main() -> None:
    """Try the package that the command line names."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m packages.debian.trial DEB [BEFORE]")
    deb = Path(sys.argv[1]).resolve()
    suite = next((word for word, number in SUITES.items() if f"+deb{number}" in deb.name), None)
    if suite is None:
        sys.exit(f"error: {deb.name}: not a package of ours")
    base = make_root(suite, ["ca-certificates"], CACHE)
    with tempfile.TemporaryDirectory(prefix="xnode-trial-", dir=CACHE) as folder:
        root = unpack(base, Path(folder, "root"))
        debs = Path(folder, "debs")
        debs.mkdir()
        before = Path(sys.argv[2]).resolve() if len(sys.argv) == 3 else make_before(deb, debs)
        Trial(root, suite).run(before, deb)
    print(f"Debian {SUITES[suite]}: installed, upgraded, removed and purged: {deb.name}")


def make_before(deb: Path, folder: Path) -> Path:
    """An older package of the same files and one module more."""
    tree, target = folder / "before", folder / "before.deb"
    subprocess.run(["dpkg-deb", "-R", str(deb), str(tree)], check=True, timeout=300)
    (module,) = tree.glob(f"{PREFIX}/lib/python3*/site-packages/xnode")
    (module / "gone.py").write_text("GONE = 1\n")
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text(
        "\n".join(f"Version: {BEFORE_VERSION}" if one.startswith("Version:") else one for one in lines) + "\n"
    )
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", str(tree), str(target)], check=True, timeout=300
    )
    return target


class Trial:
    """One clean system and what is done to it."""

    def __init__(self, root: Path, suite: str) -> None:
        self.root, self.suite = root, suite

    def run(self, before: Path, deb: Path) -> None:
        """Everything, in the order of a life."""
        self.sh("apt-get update -q")
        # What it needs of Debian is not ours: whether that goes with us, the package manager decides.
        self.sh(f"apt-get install -y -q --no-install-recommends {' '.join(list_dependencies(deb))}")
        clean = snapshot(self.root)
        self.install(before, "installed")
        self.check_commands()
        old = self.list_ours()
        expect(
            any(name.endswith("xnode/gone.py") for name in old) or "0.0.1" not in before.name,
            "the version before is there",
        )
        self.make_state()
        self.install(deb, "upgraded")
        self.check_upgrade(deb)
        self.check_commands()
        self.check_recommends()
        self.sh("apt-get remove -y -q xnode")
        expect(not (self.root / PREFIX).exists(), "removing takes the program away")
        expect(all((self.home / name).is_file() for name in (*KEYS, *STATE)), "removing keeps the node's home")
        said = self.sh("apt-get purge -y -q xnode")
        left, gone = find_strays(clean, snapshot(self.root))
        keys = {"var/lib/xnode", "var/lib/xnode/keystore", *(f"var/lib/xnode/{name}" for name in KEYS)}
        expect(left == keys, "purging leaves the keys alone", sorted(left ^ keys))
        expect(not gone, "and takes nothing else away", sorted(gone))
        expect("the keys in /var/lib/xnode stay" in said, "and says so")
        owners = {(self.home / name).stat().st_uid for name in KEYS}
        expect(owners == {0}, "they belong to root, when their user is gone")

    @property
    def home(self) -> Path:
        return self.root / "var/lib/xnode"

    def sh(self, script: str) -> str:
        """What a shell script said in the system."""
        done = run_in(self.root, ["sh", "-ec", script])
        return done.stdout + done.stderr

    def install(self, deb: Path, what: str) -> None:
        """By apt, from its file, asking nobody."""
        start = time.monotonic()
        done = run_in(
            self.root,
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", "/debs/xnode.deb"],
            binds={deb: "/debs/xnode.deb"},
        )
        say(f"{what} in {time.monotonic() - start:.1f} s: {deb.name}")
        expect("xnode" in done.stdout, "apt names it")

    def check_commands(self) -> None:
        """As root and as an ordinary user whose home is on another file system."""
        self.sh("xnode --version")
        someone = ["setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups"]
        run_in(self.root, [*someone, "sh", "-c", USER_COMMANDS])
        for place in (*COMPLETIONS.values(), "usr/share/man/man1/xnode.1.gz", "usr/share/doc/xnode/copyright"):
            expect((self.root / place).is_file(), f"/{place} is there")
        complete = ". /usr/share/bash-completion/completions/xnode; complete -p xnode"
        expect(
            "_xnode_completion" in run_in(self.root, ["bash", "-ec", complete]).stdout, "bash completes its commands"
        )
        expect("/var/lib/xnode" in self.sh("getent passwd xnode"), "the service's user is there")
        expect(self.home.stat().st_mode & 0o777 == 0o700, "and its home is its own")
        compiled = list((self.root / PREFIX).rglob("xnode/cli/__pycache__/main*.pyc"))
        expect(bool(compiled), "it is compiled")

    def make_state(self) -> None:
        """As a node would leave it."""
        for name in (*KEYS, *STATE):
            path = self.home / name
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.write_text(name)
        self.sh("chown -R xnode:xnode /var/lib/xnode")

    def check_upgrade(self, deb: Path) -> None:
        """The new version whole, nothing of the old, and the node's home as it was."""
        version = subprocess.run(
            ["dpkg-deb", "-f", str(deb), "Version"], capture_output=True, text=True, check=True
        ).stdout
        expect(
            self.sh("dpkg-query -W -f '${Version}' xnode").strip() == version.strip(), "the new version is installed"
        )
        expect("files of xnode are as released" in self.sh("xnode version --verify"), "it is whole by its own account")
        shipped = subprocess.run(
            ["dpkg-deb", "-c", str(deb)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        wanted = {line.split(None, 5)[5].split(" -> ")[0].removeprefix("./").rstrip("/") for line in shipped}
        ours = set(self.list_ours())
        expect(ours <= wanted, "nothing of the version before is left", sorted(ours - wanted))
        expect(all((self.home / name).read_text() == name for name in (*KEYS, *STATE)), "the node's home is as it was")

    def check_recommends(self) -> None:
        """This Debian has what a provider needs, by these names."""
        said = self.sh(f"apt-get install -s -q {' '.join(RECOMMENDS)}")
        missing = [name for name in RECOMMENDS if f"Inst {name} " not in said and f"{name} is already" not in said]
        expect(not missing, "what a provider needs is to be had", missing)

    def list_ours(self) -> list[str]:
        """The files below the package's own folder."""
        folder = self.root / PREFIX
        return [str(path.relative_to(self.root)) for path in folder.rglob("*")]


def snapshot(root: Path) -> dict[str, str]:
    """Every file of a system with its owner, mode and content's hash, without what is VOLATILE."""
    return dict(_describe(root))


def find_strays(clean: dict[str, str], now: dict[str, str]) -> tuple[set[str], set[str]]:
    """What is there now and was not, or was otherwise; and what is gone."""
    return {name for name, kind in now.items() if clean.get(name) != kind}, clean.keys() - now.keys()


def _describe(root: Path) -> Iterator[tuple[str, str]]:
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = [one for one in folders if (here / one).as_posix() not in VOLATILE]
        for name in (*folders, *files):
            path, place = Path(folder, name), (here / name).as_posix()
            info = path.lstat()
            if place in ASIDE:
                continue
            content = str(path.readlink()) if path.is_symlink() else ""
            if path.is_file() and not path.is_symlink():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            yield place, f"{info.st_uid}:{info.st_gid} {info.st_mode:o} {content}"


def expect(is_so: bool, what: str, wrong: Sequence[str] = ()) -> None:
    """Says what holds; ends the trial where it does not, naming the first of what is wrong."""
    if not is_so:
        sys.exit(f"error: not so: {what}: {', '.join(wrong[:SHOWN])}")
    say(f"ok: {what}")


if __name__ == "__main__":
    main()
