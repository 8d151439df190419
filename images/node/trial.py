"""Trial: the node's image, run by podman as its users run it: not as root, over a read-only root, against a real chain.

    python -m images.node.trial ARCHIVE      (from the repository's root, as root; see `make test-node-image`)

podman keeps what it needs in a folder of its own, which is gone afterwards.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from images.node.build import USER

NAME = "xnode-trial"
DEADLINE_S = 180.0
SECURITY = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host")
PROBE = "import os; print(os.getuid()); open('/usr/bin/x', 'w')"


def main() -> None:
    """Try the archive that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m images.node.trial ARCHIVE")
    with tempfile.TemporaryDirectory(prefix="xnode-trial-") as folder, running_chain(Path(folder)) as manifest:
        Trial(Path(folder), Path(sys.argv[1])).run(manifest)
    print("the image ran: not as root, over a read-only root, with a peer and a chain")


@contextmanager
def running_chain(folder: Path) -> Iterator[Path]:
    """A devnet of this checkout; its manifest."""
    environment = os.environ | {"XNODE_HOME": str(folder / "devnet-home")}
    command = [sys.executable, "-m", "xnode.cli.main", "devnet", "up", "--port", "0"]
    manifest = folder / "devnet-home/devnet/manifest.toml"
    with (folder / "devnet.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: "Ctrl-C" in (folder / "devnet.log").read_text(), "the chain runs")
        # The daemon's own is for its owner's eyes.
        copy = folder / "manifest.toml"
        copy.write_bytes(manifest.read_bytes())
        yield copy
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


class Trial:
    """One image in a store of its own."""

    def __init__(self, folder: Path, archive: Path) -> None:
        store = ["--root", str(folder / "store"), "--runroot", str(folder / "run"), "--tmpdir", str(folder / "tmp")]
        self.podman = ["podman", *store, "--cgroup-manager=cgroupfs", "--events-backend=none"]
        self.folder, self.archive = folder, archive

    def run(self, manifest: Path) -> None:
        """Everything that a node's owner does first."""
        image = self.call("load", "-q", "-i", str(self.archive)).split()[-1]
        secret = self.folder / "secret"
        secret.mkdir()
        (secret / "pw").write_text("correct horse\n")
        # The folder that a person names for it belongs to the user that the image runs as.
        home = self.folder / "home"
        home.mkdir(mode=0o700)
        os.chown(home, USER, USER)
        mounts = ["-v", f"{home}:/home/xnode", "-v", f"{secret}:/secret:ro", "-v", f"{manifest}:/manifest.toml:ro"]
        options = [*SECURITY, "--ulimit=nofile=8192:8192", "--ulimit=nproc=4096:4096", "--cgroups=disabled", *mounts]
        try:
            once = ["run", "--rm", *options, image]
            say(self.call(*once, "--version").strip())
            self.call(*once, "wallet", "new", "--password-file", "/secret/pw")
            self.call(*once, "daemon", "init", "--chain", "/manifest.toml")
            self.call("run", "-d", "--name", NAME, *options, image)
            wait_until(lambda: self.status()["peers"] > 0, "the node has a peer")
            probe = [*self.podman, "exec", NAME, "/usr/lib/xnode/bin/python", "-c", PROBE]
            done = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
            expect(done.stdout.strip() == str(USER), "it runs as its own user")
            expect("Read-only file system" in done.stderr, "its root is read-only")
            expect(
                self.call("exec", NAME, "/bin/sh", "-c", "command -v podman || echo none").strip() == "none",
                "no engine",
            )
            self.call("exec", NAME, "xnode", "version", "--verify")
            self.call("stop", "-t", "60", NAME)
            code = json.loads(self.call("inspect", NAME))[0]["State"]["ExitCode"]
            expect(code == 0, f"it ends when it is told to (exit code {code})")
        finally:
            subprocess.run([*self.podman, "rm", "-f", NAME], capture_output=True, timeout=60, check=False)
            subprocess.run([*self.podman, "system", "reset", "-f"], capture_output=True, timeout=60, check=False)

    def status(self) -> dict[str, Any]:
        """What the node in the container says of itself; no peers while it does not answer."""
        done = subprocess.run(
            [*self.podman, "exec", NAME, "xnode", "daemon", "status", "-o", "json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"peers": 0}
        return found

    def call(self, *arguments: str) -> str:
        """What podman printed. SystemExit with its words when it fails."""
        done = subprocess.run(
            [*self.podman, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        if done.returncode:
            sys.exit(f"error: podman {' '.join(arguments)[:300]}: exit code {done.returncode}\n{done.stderr[-1500:]}")
        return done.stdout


def wait_until(is_so: Any, what: str) -> None:
    """Looks again until it is so. SystemExit after a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"error: not within {DEADLINE_S:g} s: {what}")
        time.sleep(0.5)
    say(f"ok: {what}")


def expect(is_so: bool, what: str) -> None:
    """Says what holds; ends the trial where it does not."""
    if not is_so:
        sys.exit(f"error: not so: {what}")
    say(f"ok: {what}")


def say(text: str) -> None:
    """One line a step."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
